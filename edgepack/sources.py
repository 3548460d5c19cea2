"""From what the user has (a file, a folder, a factory) to a Model."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from . import registry
from .bundle.writer import file_sha256, source_sha256
from .errors import ModelError, UsageError
from .model import LoadRequest, Model
from .project import Project
from .readers import peek
from .usercode import is_reference, resolve, user_frames


def check(source: str) -> None:
    """Refuse what cannot be a source before anything heavy starts. Raises UsageError, ModelError."""
    if not source:
        raise UsageError(
            "There is no source to build.",
            "Name one: edgepack build model.keras --data samples.npz; or write an edgepack.toml with edgepack init.",
        )
    if is_reference(source):
        file = source.rpartition(":")[0]
        if file.endswith(".py") and not Path(file).is_file():
            raise UsageError(
                f"There is no file {file}.", "Check the path in the source, as in model.py:build."
            )
        return
    path = Path(source)
    if not path.exists():
        raise UsageError(
            f"There is no source at {source}.", "Check the path. Code is named as model.py:build."
        )
    if registry.framework_of_path(path) is None:
        known = ", ".join(suffix for info in registry.frameworks() for suffix in info.suffixes)
        hint = f"A source is a {known} file, a SavedModel folder, or code: file.py:factory."
        if path.suffix == ".py":
            hint = f"Name the function in it: {source}:build."
        raise UsageError(f"{source} is no kind of model that edgepack reads.", hint)


def load(project: Project) -> Model:
    """Load and wrap the source. Raises UsageError, ModelError, MissingToolError."""
    source = project.model.source
    request = LoadRequest(
        name=project.name,
        path=None if is_reference(source) else Path(source),
        signature=project.model.signature,
        shapes=project.shapes,
        sample_specs=peek(project.data.representative),
        wrap=project.wrap,
        allow_code=project.model.allow_code,
    )
    if request.path is not None:
        info = registry.framework_of_path(request.path)
        if info is None:
            raise UsageError(f"{source} is no kind of model that edgepack reads.")
        return registry.load_framework(info).load(request)
    return _from_factory(source, request)


def _from_factory(reference: str, request: LoadRequest) -> Model:
    factory = resolve(reference)
    with user_frames(f"The factory {reference}"):
        made = factory()
    parts = ("signature", "forms", "form")
    if callable(made) and not inspect.isclass(made) and all(hasattr(made, part) for part in parts):
        return made  # type: ignore[no-any-return]  # it is a Model already
    info = registry.framework_of_object(made)
    if info is None:
        what = "nothing (None)" if made is None else f"a {type(made).__module__}.{type(made).__qualname__}"
        hint = (
            "Return a Keras model, a tf.Module with a tf.function(input_signature=...), or a torch.nn.Module."
        )
        if inspect.isclass(made):
            what = f"the class {made.__qualname__}, not an instance of it"
            hint = f"Make one: return {made.__name__}(...)."
        raise ModelError(f"The factory {reference} returned {what}.", hint)
    return registry.load_framework(info).adopt(made, request)


def sha256(source: str) -> str:
    """Identifies the source: the bytes of a file, a folder, or the .py file that a factory is in."""
    if not is_reference(source):
        return source_sha256(Path(source))
    file = Path(source.rpartition(":")[0])
    return file_sha256(file) if file.is_file() else hashlib.sha256(source.encode()).hexdigest()
