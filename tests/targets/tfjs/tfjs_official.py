"""Run the official converter, which pip cannot install beside a current TensorFlow: python tfjs_official.py WHEEL SAVED_MODEL OUT.

What it imports and does not need here (decision forests, TensorFlow Hub, Keras 2, JAX) is put in its place as empty modules.
Prints the seconds of the conversion alone, imports aside.
"""

import sys
import time
import types
from importlib.machinery import ModuleSpec
from pathlib import Path


class Empty(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


wheel, saved_model, out = sys.argv[1:]
sys.path.insert(0, wheel)
for name in (
    "tensorflow_decision_forests",
    "tensorflow_hub",
    "tf_keras",
    "tensorflowjs.converters.jax_conversion",
):
    sys.modules[name] = Empty(name)
    sys.modules[name].__spec__ = ModuleSpec(name, None)
# the package's own __init__ files import all of it: only the converter itself is wanted
for name in ("tensorflowjs", "tensorflowjs.converters"):
    module = types.ModuleType(name)
    module.__path__ = [str(Path(wheel, *name.split(".")))]
    sys.modules[name] = module

from tensorflowjs.converters import tf_saved_model_conversion_v2 as conversion  # noqa: E402

start = time.perf_counter()
conversion.convert_tf_saved_model(saved_model, out)
print(time.perf_counter() - start)
