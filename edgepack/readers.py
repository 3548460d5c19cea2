"""Where samples come from: .npz and .npy files, folders of images, generators. All stream, one sample at a time.

A reader yields (label, arrays): the label says which sample it is in messages; the arrays are by input name, as found.
"""

from __future__ import annotations

import hashlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps

from .errors import UsageError
from .spec import Array, TensorSpec
from .usercode import is_reference, resolve, user_frames
from .wrap import Wrap

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}

DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError,
    EOFError, OSError, ValueError, OverflowError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What zipfile and NumPy raise on bytes that are no array, or one that was cut off or overwritten."""

Sample = tuple[str, dict[str, Array]]


def read_samples(
    source: str, inputs: tuple[TensorSpec, ...], wrap: Wrap, limit: int | None
) -> Iterator[Sample]:
    """The samples of a source, at most ``limit``, spread over a file or folder rather than its beginning.

    Raises:
        UsageError: there is no such source, or it is broken.
    """
    check(source)
    path = Path(source)
    if is_reference(source):
        return islice(
            (
                (f"{source} sample {number}", named(item, inputs, source, number))
                for number, item in enumerate(generated(source, "The samples"))
            ),
            limit,
        )
    if path.is_dir():
        return _images(path, inputs, wrap, limit)
    return _numpy(path, inputs, limit)


def check(source: str) -> None:
    """Refuse what cannot be samples, before anything heavy starts. Raises UsageError."""
    hint = "Give --data a .npz (one array per input), a folder of images or file.py:generator."
    path = Path(source)
    if not source:
        raise UsageError("There are no samples.", hint)
    if is_reference(source):
        file = source.rpartition(":")[0]
        if file.endswith(".py") and not Path(file).is_file():
            raise UsageError(f"There is no file {file}, which --data names.", hint)
    elif not path.exists():
        raise UsageError(f"There are no samples at {source}.", hint)
    elif path.is_file() and path.suffix not in (".npz", ".npy"):
        raise UsageError(f"Samples cannot be read from {source}: '{path.suffix}' is not a known kind.", hint)


def peek(source: str) -> tuple[TensorSpec, ...]:
    """What the arrays of the first sample are, where that can be told without a model: for arrays, not for images."""
    path = Path(source)
    if path.is_dir() or not (is_reference(source) or path.is_file()):
        return ()
    for _, arrays in read_samples(source, (), Wrap(), 1):
        return tuple(TensorSpec(name, array.shape, array.dtype.name) for name, array in arrays.items())
    return ()


def generated(reference: str, what: str) -> Iterator[Any]:
    """What the user's generator yields. Raises ModelError for what it raises."""
    function = resolve(reference)
    with user_frames(f"{what} {reference}"):
        items = iter(function())
    for number in range(1 << 62):
        with user_frames(f"Sample {number} of {reference}"):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def named(item: Any, inputs: tuple[TensorSpec, ...], reference: str, number: int) -> dict[str, Array]:
    """A sample that user code yielded: arrays by input name, or in their order. Raises UsageError, ModelError."""
    values = item if isinstance(item, dict | tuple | list) else (item,)
    if not isinstance(values, dict):
        names = [spec.name for spec in inputs] or [f"input_{number}" for number in range(len(values))]
        if len(values) != len(names):
            raise UsageError(
                f"{reference} yields {len(values)} arrays; the model has {len(names)} inputs: {', '.join(names)}.",
                "Yield a dict by input name, or a tuple in that order.",
            )
        values = dict(zip(names, values, strict=True))
    with user_frames(f"Sample {number} of {reference}"):
        return {name: np.asarray(value) for name, value in values.items()}


class _Rows:
    """The rows of one .npy stream, read one by one: ``np.load`` would hold the whole array in memory."""

    def __init__(self, file: IO[bytes], label: str) -> None:
        self._file, self._label = file, label
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, self.dtype = read(file)
        except DAMAGE as error:
            raise UsageError(f"{label} is not a NumPy array: {error}", "Write it with np.savez.") from error
        if self.dtype.hasobject:
            raise UsageError(
                f"{label} holds Python objects.", "Save plain numeric arrays: np.savez(path, name=array)."
            )
        if fortran and len(shape) > 1:
            raise UsageError(f"{label} is in Fortran order.", "Save np.ascontiguousarray(array).")
        if not shape:
            raise UsageError(
                f"{label} is a single number.", "The first axis of every array counts the samples."
            )
        self.count, self.shape = shape[0], shape[1:]
        self._bytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        self._at = 0

    def row(self, index: int) -> Array:
        """Row ``index``; indices only go up."""
        skip = (index - self._at) * self._bytes
        self._at = index + 1
        try:
            while skip > 0:
                skip -= len(self._file.read(min(skip, 1 << 20))) or skip
            data = self._file.read(self._bytes)
        except DAMAGE as error:
            raise UsageError(
                f"{self._label} is damaged at sample {index}: {error}", "Write the file again."
            ) from error
        if len(data) != self._bytes:
            raise UsageError(f"{self._label} ends in the middle of sample {index}.", "Write the file again.")
        array = np.frombuffer(data, self.dtype).reshape(self.shape)
        return array.astype(self.dtype.newbyteorder("="))


def _numpy(path: Path, inputs: tuple[TensorSpec, ...], limit: int | None) -> Iterator[Sample]:
    with ExitStack() as stack:
        rows = _open_rows(path, inputs, stack)
        counts = {name: each.count for name, each in rows.items()}
        if len(set(counts.values())) > 1:
            raise UsageError(
                f"{path} holds different numbers of samples: {', '.join(f'{k} {v}' for k, v in counts.items())}.",
                "The first axis of every array counts the samples.",
            )
        for index in _spread(next(iter(counts.values())), limit):
            yield f"{path.name} sample {index}", {name: each.row(index) for name, each in rows.items()}


def _open_rows(path: Path, inputs: tuple[TensorSpec, ...], stack: ExitStack) -> dict[str, _Rows]:
    if path.suffix == ".npy":
        name = inputs[0].name if inputs else "input_0"
        return {name: _Rows(stack.enter_context(path.open("rb")), path.name)}
    archive = stack.enter_context(_archive(path))
    members = {name.removesuffix(".npy"): name for name in archive.namelist()}
    wanted = [spec.name for spec in inputs] or sorted(members)
    if len(wanted) == 1 and len(members) == 1:
        members = {wanted[0]: next(iter(members.values()))}  # one array, one input: the name does not matter
    missing = [name for name in wanted if name not in members]
    if missing or not wanted:
        raise UsageError(
            f"{path} has no array '{', '.join(missing)}'; it has {', '.join(members) or 'none'}.",
            f"Save one array per input: np.savez(path, {', '.join(f'{name}=...' for name in wanted)}).",
        )
    return {name: _open_member(archive, members[name], f"{path.name}[{name}]", stack) for name in wanted}


def array_names(path: Path) -> list[str]:
    """The arrays of a .npz. Raises UsageError."""
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        raise UsageError(
            f"{path} is not a .npz file: {error}", "Write it with np.savez(path, name=array)."
        ) from error


def _open_member(archive: zipfile.ZipFile, member: str, label: str, stack: ExitStack) -> _Rows:
    try:
        file = stack.enter_context(archive.open(member))
    except DAMAGE as error:
        raise UsageError(f"{label} is damaged: {error}", "Write the file again.") from error
    return _Rows(file, label)


def _spread(total: int, limit: int | None) -> Iterator[int]:
    """``limit`` indices evenly over ``total``: files are often sorted by class, their first rows are one class."""
    count = total if limit is None else min(total, limit)
    return (index * total // count for index in range(count))


def image_files(folder: Path) -> list[Path]:
    """Its images and those of its subfolders. Raises UsageError where there is none."""
    files = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES),
        # a fixed order that mixes the classes which subfolders often are
        key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest(),
    )
    if not files:
        raise UsageError(
            f"There are no images in {folder}.", f"Known kinds: {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return files


def image_reader(inputs: tuple[TensorSpec, ...], wrap: Wrap) -> Callable[[Path], dict[str, Array]]:
    """What makes a picture file the array that the model's only input is fed. Raises UsageError where it is no image."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise UsageError(
            f"A folder of images fits a model with one image input; this one has {', '.join(map(str, inputs))}.",
            "Give --data a .npz or file.py:generator.",
        )
    spec = inputs[0]
    declared = wrap.input(spec.name)
    layout = "NHWC" if declared and declared.kind == "image" else declared.layout if declared else "NHWC"
    height, width, channels = (
        spec.static_shape[1:] if layout == "NHWC" else (*spec.static_shape[2:], spec.static_shape[1])
    )
    if channels not in (1, 3):
        raise UsageError(
            f"Input '{spec.name}' has {channels} channels; images give 1 (grey) or 3 (RGB).",
            "For channels first declare [input." + spec.name + '] kind = "image", layout = "NCHW".',
        )

    def read(path: Path) -> dict[str, Array]:
        pixels = _decode(path, (width, height), grey=channels == 1)
        return {spec.name: pixels if layout == "NHWC" else pixels.transpose(2, 0, 1)}

    return read


def _images(folder: Path, inputs: tuple[TensorSpec, ...], wrap: Wrap, limit: int | None) -> Iterator[Sample]:
    read = image_reader(inputs, wrap)
    for path in image_files(folder)[:limit]:
        yield path.relative_to(folder).as_posix(), read(path)


def _decode(path: Path, size: tuple[int, int], grey: bool) -> Array:
    """RGB or grey pixels (H, W, C) uint8, upright, resized with antialiasing to ``size`` (width, height)."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            upright.load()
    except Exception as error:  # on damaged bytes Pillow raises SyntaxError, struct.error, TypeError, ...
        raise UsageError(f"{path} is not a readable image: {error}", "Remove or replace it.") from error
    upright = _eight_bits(upright, path).convert("L" if grey else "RGB")
    pixels = np.asarray(upright.resize(size, Image.Resampling.BILINEAR))
    return pixels[..., np.newaxis] if grey else pixels


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Pillow would cut 16-bit pixels off at 255 and show a white picture; their high byte is the picture."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UsageError(
            f"{path} has 32-bit pixels.", "Save it with 8 bits a channel, or give --data a .npz."
        )
    return image
