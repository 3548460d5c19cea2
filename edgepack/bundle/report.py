"""``report.html``: one file that opens offline and tells someone who was not there what was built and how good it is.

Everything in it that a model supplied (names, labels, notes) is untrusted: the template escapes all of it, the charts
hold none of it, and a content security policy forbids scripts and requests should both of these fail.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass
from io import BytesIO

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from ..parity import MAX_DB
from ..precision.causes import Values, Weights
from ..spec import Array, Precision
from ..target import Audit
from . import charts, front, smaller
from .histogram import histogram
from .manifest import Manifest, TensorEntry
from .ranked import LayerError, Ranked, steepest_fall, worst_layers

# A report stays well below 2 MB, whatever it is given.
MAX_PICTURES, MAX_SCATTERS, MAX_TEXT = 8, 6, 2000
PICTURE_SIDE = 288  # twice the width it is shown in, for dense displays
PIXEL_ART = 96  # up to this side a picture is kept exact, as PNG

QUANTIZED = {Precision.INT8.value, Precision.INT16X8.value}
LEFT_FLOAT = {Precision.FLOAT32.value, Precision.FLOAT16.value}
MEANINGS = {
    "int8": "int8 weights and activations",
    "int16x8": "int8 weights, int16 activations",
    "int8_dynamic": "int8 weights, float activations",
    "float16": "weights in 16-bit float",
    "float32": "as the original computes",
    "int8_weights": "weights stored in 8 bits, made float when loaded",
    "int16_weights": "weights stored in 16-bit integers, made float when loaded",
    "float16_weights": "weights stored in 16-bit float, made float32 when loaded",
    "integer": "indices, shapes and booleans: never were real numbers",
    "convert": "quantize and dequantize: from float to integers and back",
}

# What to try: an option (or none), and why.
FLOAT_TIPS = (
    ("", "Rounding does not explain this: an op was likely converted to one that computes something else."),
    ("", "See that the data is prepared once: a model that scales its pixels itself wants raw pixels."),
)
CLOSER = {
    ("tflite", "int8"): (
        "--precision int16x8",
        "or int8_dynamic: larger or slower, and closer to the original.",
    ),
    ("tflite", "int16x8"): ("--precision float16", "is closer to the original; so is int8_dynamic, often."),
    ("tflite", "int8_dynamic"): ("--precision float16", "is twice the size, and next to exact."),
    ("tfjs", "int8"): ("--precision int16", "is twice the size, and next to exact."),
}
CALIBRATION_TIP = ("--calibration", "with more samples, like real use: ranges it did not see are cut off.")
COMPRESSION_TIP = ("", "Ask for less compression: edgepack compress --curve shows what the gate allows.")
GATE_TIP = ("--gate", "with lower thresholds, if the parity below is good enough for the app.")


@dataclass(frozen=True)
class Scatter:
    """Matching values of an output, at most some 2000, from the original and from the artifact."""

    output: str
    original: Array
    artifact: Array


@dataclass(frozen=True)
class Prediction:
    label: str
    score: float


@dataclass(frozen=True)
class Picture:
    """A held-back sample, and what both make of it, best first; no predictions where no output is a class list.

    Attributes:
        pixels: uint8 HxWxC, C 1 or 3.
    """

    pixels: Array
    original: tuple[Prediction, ...] = ()
    artifact: tuple[Prediction, ...] = ()


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        sizes: what it was and became, in bytes: the source first, this bundle's artifact last.
        layers: in the order of the graph; empty where the target cannot be looked into.
    """

    manifest: Manifest
    audit: Audit
    sizes: tuple[tuple[str, int], ...]
    layers: tuple[LayerError, ...] = ()
    scatters: tuple[Scatter, ...] = ()
    pictures: tuple[Picture, ...] = ()


def render(report: Report) -> str:
    """The page. The same report gives the same bytes."""
    worst = worst_layers(report.layers)
    return template("report.html.j2").render(
        report=report,
        manifest=report.manifest,
        audit=report.audit,
        worst=worst,
        steepest=steepest_fall(report.layers),
        advice=advice(report.manifest),
        lowest=_lowest(report.manifest),
        smaller=smaller.figures(report.manifest.compression),
        asked=smaller.asked(report.manifest.compression),
        ran=[device for device, entry in report.manifest.parity.items() if not entry.error],
        layer_charts=_layer_charts(report.layers, worst),
        explained=[
            (place, layer, *_histograms(layer.values, layer.weights))
            for place, layer in enumerate(report.layers, 1)
            if layer.values is not None
        ],
        front_charts=front.charts_of(report.manifest.search),
        scatters=[(scatter.output, _scatter_chart(scatter)) for scatter in report.scatters[:MAX_SCATTERS]],
        pictures=[(picture, *_data_url(picture.pixels)) for picture in report.pictures[:MAX_PICTURES]],
        quantized=bool(QUANTIZED & set(report.audit.ops_by_precision)),
        holds=_holds,
        left_float=LEFT_FLOAT,
        infinite=math.inf,
        by_count=lambda counts: sorted(counts.items(), key=lambda item: (-item[1], item[0])),
        meanings=MEANINGS,
    )


def template(name: str) -> Template:
    """A page of ``templates/``: all text is escaped, and a few words are there to write figures with."""
    environment = Environment(
        loader=PackageLoader("edgepack.bundle"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        sentence=_sentence,
        db=_db,
        size=_size,
        number=_number,
        score=_score,
        real=_real,
        shape=_shape,
        parts=_parts,
    )
    return environment.get_template(name)


def advice(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """What to try when the gate is not met, most promising first: an option (or none), and a sentence."""
    compressed = (COMPRESSION_TIP,) if manifest.compression else ()
    if manifest.precision in LEFT_FLOAT:
        return (*compressed, *FLOAT_TIPS)
    tip = CLOSER.get((manifest.target, manifest.precision))
    closer = (tip,) if tip else ()
    calibrated = (CALIBRATION_TIP,) if manifest.precision in QUANTIZED else ()
    return (*compressed, *closer, *calibrated, GATE_TIP)


def _lowest(manifest: Manifest) -> float | None:
    """The worst SQNR of any output on any device."""
    values = [metrics.sqnr_db for entry in manifest.parity.values() for metrics in entry.outputs.values()]
    return min(values, default=None)


def _layer_charts(layers: tuple[LayerError, ...], worst: tuple[Ranked, ...]) -> front.Charts:
    """A wide and a narrow one, if any; the style sheet shows the one that fits."""
    if not layers:
        return ()
    values = [layer.sqnr_db for layer in layers]
    filled = [layer.precision not in LEFT_FLOAT for layer in layers]
    marked = [item.place - 1 for item in worst[:5]]
    return tuple(
        (name, Markup(charts.layer_chart(values, filled, marked, width))) for name, width in charts.WIDTHS
    )


def _histograms(values: Values, weights: Weights | None) -> tuple[Markup, Markup | None]:
    """Of a layer's output and, where they are integers, its weights."""
    output = histogram(values.bars, (values.low, values.high), values.limits)
    if weights is None or not weights.bars:
        return Markup(output), None
    half = weights.steps / 2
    return Markup(output), Markup(histogram(weights.bars, (-half, half), None))


def _scatter_chart(scatter: Scatter) -> Markup:
    return Markup(charts.scatter_chart(scatter.original, scatter.artifact))


def _data_url(pixels: Array) -> tuple[Markup, bool]:
    """A picture as a ``data:`` URL, and whether it is so small that its pixels should be seen."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    exact = max(image.size) <= PIXEL_ART
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    buffer = BytesIO()
    if exact:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=85, subsampling=0)
    kind = "png" if exact else "jpeg"
    return Markup(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"), exact


def _clean(value: object) -> object:
    """No character that HTML cannot hold or that UTF-8 cannot write, and no name that fills the page."""
    if type(value) is not str:
        return value
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", value)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " …"


def _parts(name: str) -> Markup:
    """A long name, escaped, that breaks where its parts end."""
    return Markup(re.sub(r"(?<=[/:;])", "<wbr>", str(escape(_clean(name)))))


def _sentence(text: str) -> str:
    """As it is, but for a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")


def _db(value: float) -> str:
    """Decibels; "exact" where there is no error that could be measured."""
    return "exact" if value >= MAX_DB else "undefined" if math.isnan(value) else _minus(f"{value:.1f} dB")


def _size(count: int) -> str:
    """Bytes in decimal units, as app stores and download dialogs count them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.{2 if count < 10 * scale else 1 if count < 100 * scale else 0}f} {unit}"
    return f"{count} B"


def _number(value: float) -> str:
    """Four digits, enough to compare by."""
    return _minus(f"{value:.4g}")


def _score(value: float) -> str:
    """Three decimals, so that a column of probabilities lines up; four digits for large logits."""
    return _minus(f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}")


def _real(value: float) -> str:
    """All the digits of a float32, to copy from."""
    return f"{value:.9g}"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "scalar"


def _holds(entry: TensorEntry, labels: tuple[str, ...]) -> str:
    """What a tensor means, in words."""
    parts = [entry.meaning] if entry.meaning else []
    if entry.image:
        channels = {"rgb": "colour picture, red green blue", "grey": "grey picture"}[entry.image.channels]
        parts.append(f"{channels}, {entry.image.layout}")
    if entry.audio:
        parts.append(f"{entry.audio.rate} values a second")
    if entry.range:
        parts.append(f"values {_number(entry.range[0])} to {_number(entry.range[1])}")
    if entry.top_k:
        parts.append(f"best {entry.top_k} of {len(labels) or entry.shape[-1]} classes")
    return "; ".join(parts) or "not declared"
