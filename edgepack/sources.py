"""From what the user has (a file, a folder, a factory) to a Model."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from . import frameworks, registry
from .bundle.writer import file_sha256, source_sha256
from .errors import ModelError, UsageError
from .frameworks import FrameworkInfo
from .model import LoadRequest, Model, Movable, Origin
from .project import Project
from .readers import peek
from .registry import TargetInfo
from .spec import TensorSpec
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
    _framework(path)


def original(project: Project, folder: Path) -> tuple[Model, Origin]:
    """Load and wrap the source in its own framework; ``folder`` takes what other processes need to load the same.

    Raises:
        UsageError, ModelError, MissingToolError.
    """
    request = _request(project, peek(project.data.representative))
    if request.path is not None:
        info = _framework(request.path)
        model = frameworks.load(info).load(request)
        return model, Origin(info.form, model.signature, request.sample_specs)
    made = _made(project.model.source)
    if _is_model(made):
        return cast(Model, made), Origin(next(iter(made.forms)), made.signature, request.sample_specs)
    info = _framework_of(made, project.model.source)
    framework = frameworks.load(info)
    model = framework.adopt(made, request)
    handed_over = framework.hand_over(made, folder)
    return model, Origin(info.form, model.signature, request.sample_specs, handed_over)


def handed_over(model: Model, origin: Origin, folder: Path) -> Origin:
    """The origin of a model that was changed in its own framework, for another that stands in."""
    return replace(origin, handed_over=cast(Movable, model).hand_over(folder))


def load(project: Project, info: TargetInfo, origin: Origin | None = None) -> Model:
    """Load and wrap the source in a framework whose models the target takes.

    Args:
        origin: where the original was asked by another process.

    Raises:
        UsageError, MissingToolError; ModelError, also where the target takes no models of the source's framework.
    """
    source = project.model.source
    request = _request(project, origin.sample_specs if origin else peek(project.data.representative))
    stand_in = frameworks.stand_in(origin.form, info.forms) if origin else None
    if origin is not None:
        request = replace(request, original=origin.signature, weights=origin.handed_over.weights)
    if stand_in is not None:
        frameworks.hide_what_it_stands_in_for(stand_in)
    if origin is not None and stand_in is not None and (request.path is None or origin.handed_over.source):
        model = _through_stand_in(source, request, info, origin, stand_in)
    elif request.path is not None:
        model = frameworks.load(_framework(request.path, info.forms)).load(request)
    else:
        made = _made(source)
        model = (
            cast(Model, made)
            if _is_model(made)
            else frameworks.load(_framework_of(made, source)).adopt(made, request)
        )
    if not model.forms & set(info.forms):
        raise _other_form(next(iter(model.forms)), info)
    return model


def _through_stand_in(
    source: str, request: LoadRequest, info: TargetInfo, origin: Origin, stand_in: FrameworkInfo
) -> Model:
    """What the framework that stands in makes of what was handed over: all of the model, or weights for the factory's."""
    if request.weights is None:
        raise _other_form(origin.form, info)
    framework = frameworks.load(stand_in)
    if origin.handed_over.source is not None:
        with suppress(ModelError):  # it may have classes that only the user's code knows
            return framework.load(replace(request, path=origin.handed_over.source, allow_code=True))
    try:
        made = _made(source)
    except ModelError as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if missing not in frameworks.hidden():
            raise
        raise ModelError(
            f"{source} needs {missing}; for the target '{info.label}', its model is run by {stand_in.title}.",
            f"Leave {missing} out of the file that has the model's classes: keras.layers and keras.ops do the same on both.",
        ) from error
    return framework.adopt(made, request)


def is_asked_elsewhere(source: str, forms: Sequence[str]) -> bool:
    """Whether the original may have to be asked in another framework than a target of these forms lowers it from."""
    if is_reference(source):
        return any(frameworks.stand_in(info.form, forms) for info in frameworks.every())
    path = Path(source)
    own, fitting = frameworks.of_path(path), frameworks.of_path(path, forms)
    return own is not None and fitting is not None and own.form not in forms and fitting.form in forms


def check_form(source: str, info: TargetInfo) -> None:
    """Refuse a file that the target cannot take before anything heavy starts. Raises ModelError."""
    if not is_reference(source):
        form = _framework(Path(source), info.forms).form
        if form not in info.forms:
            raise _other_form(form, info)


def _other_form(form: str, info: TargetInfo) -> ModelError:
    titles = {each.form: each.title for each in reversed(frameworks.every())}
    takes = " or ".join(titles.get(each, each) for each in info.forms)
    return ModelError(
        f"The target '{info.label}' takes {takes} models; this one is of {titles.get(form, form)}.",
        _way_round(form, info),
    )


def _way_round(form: str, info: TargetInfo) -> str:
    """What to give, or to ask for, instead."""
    known = registry.targets()
    for name, runtime in info.runtimes.items():
        if form in known[runtime.maker].forms:
            return f"Give --runtime {name} ({runtime.summary}), which takes it."
    stand_in = frameworks.stand_in(form, info.forms)
    if stand_in is not None:
        files = " or ".join(stand_in.suffixes)
        return (
            f"If it was made with Keras, give the Keras model itself: a {files} file, or a factory that returns it. "
            f"It is then run by {stand_in.title}."
        )
    others = [each.name for each in known.values() if form in each.forms]
    return f"Targets that take it: {', '.join(others) or 'none'}."


def _request(project: Project, sample_specs: tuple[TensorSpec, ...]) -> LoadRequest:
    source = project.model.source
    return LoadRequest(
        name=project.name,
        path=None if is_reference(source) else Path(source),
        signature=project.model.signature,
        shapes=project.shapes,
        sample_specs=sample_specs,
        wrap=project.wrap,
        allow_code=project.model.allow_code,
    )


def _framework(path: Path, forms: Sequence[str] = ()) -> FrameworkInfo:
    info = frameworks.of_path(path, forms)
    if info is not None:
        return info
    known = ", ".join(dict.fromkeys(suffix for each in frameworks.every() for suffix in each.suffixes))
    hint = f"A source is a {known} file, a SavedModel folder, or code: file.py:factory."
    if path.suffix == ".py":
        hint = f"Name the function in it: {path}:build."
    raise UsageError(f"{path} is no kind of model that edgepack reads.", hint)


def _made(reference: str) -> Any:
    """What the user's factory returns."""
    factory = resolve(reference)
    with user_frames(f"The factory {reference}"):
        return factory()


def _is_model(made: Any) -> bool:
    """Whether it is an edgepack.model.Model already."""
    parts = ("signature", "forms", "form")
    return callable(made) and not inspect.isclass(made) and all(hasattr(made, part) for part in parts)


def _framework_of(made: object, reference: str) -> FrameworkInfo:
    info = frameworks.of_object(made)
    if info is not None:
        return info
    what = "nothing (None)" if made is None else f"a {type(made).__module__}.{type(made).__qualname__}"
    hint = "Return a Keras model, a tf.Module with a tf.function(input_signature=...), or a torch.nn.Module."
    if inspect.isclass(made):
        what = f"the class {made.__qualname__}, not an instance of it"
        hint = f"Make one: return {made.__name__}(...)."
    raise ModelError(f"The factory {reference} returned {what}.", hint)


def sha256(source: str) -> str:
    """Identifies the source: the bytes of a file, a folder, or the .py file that a factory is in."""
    if not is_reference(source):
        return source_sha256(Path(source))
    file = Path(source.rpartition(":")[0])
    return file_sha256(file) if file.is_file() else hashlib.sha256(source.encode()).hexdigest()
