"""A frozen TensorFlow function to a float .tflite; what TensorFlow Lite lacks is named with its layer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import tensorflow as tf

from edgepack.errors import ModelError

from .flatbuffer import with_signature

if TYPE_CHECKING:
    from .._tf.frozen import Frozen


def convert(frozen: Frozen) -> bytes:
    """The float32 .tflite with the signature's names. Raises ModelError that names op and layer.

    Frozen first: the converter answers a function that still holds variables with a file that computes NaN.
    """
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen.concrete])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        data = converter.convert()
    except Exception as error:
        raise _explain(error, frozen) from error
    return with_signature(data, frozen.signature)


def _explain(error: Exception, frozen: Frozen) -> ModelError:
    """The converter's diagnostics as one sentence: the ops it lacks and the layers that use them."""
    text = str(error)
    missing = dict.fromkeys(
        re.findall(r"'tf\.([A-Za-z0-9_]+)' op is neither a custom op nor a flex op", text)
    )
    if missing:
        used = _layers(frozen, set(missing))
        return ModelError(
            f"TensorFlow Lite has no op {', '.join(missing)}"
            + (f", used in {', '.join(used)}." if used else "."),
            "Write that layer with other ops, or leave its work to the app, before or after the model.",
        )
    lines = [line.strip() for line in text.splitlines() if "error:" in line] or text.strip().splitlines()[:1]
    return ModelError(
        f"The converter refused the model: {lines[0][:300] if lines else type(error).__name__}",
        "Run with --debug to see all that it says.",
        text[-2000:],
    )


def _layers(frozen: Frozen, kinds: set[str]) -> list[str]:
    """The scopes, which Keras names by layer, of the nodes of these kinds; bodies of loops included."""
    graph = frozen.concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    scopes = {re.sub(r"^((Stateful)?PartitionedCall/)+", "", node.name) for node in nodes if node.op in kinds}
    return [f"'{scope.rpartition('/')[0] or scope}'" for scope in sorted(scopes)[:5]]
