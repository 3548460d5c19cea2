"""report.html: the same bytes, safe with hostile names, nothing from outside, small."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from edgepack.bundle.histogram import histogram
from edgepack.bundle.manifest import (
    AuditEntry,
    GateEntry,
    GoldenEntry,
    ImageEntry,
    Manifest,
    MetricsEntry,
    ParityEntry,
    ProcessingEntry,
    QuantizationEntry,
    ScoreEntry,
    SourceEntry,
    TensorEntry,
)
from edgepack.bundle.ranked import LayerError, steepest_fall, worst_layers
from edgepack.bundle.report import Picture, Prediction, Report, Scatter, render
from edgepack.parity import MAX_DB
from edgepack.precision.causes import Values, Weights
from edgepack.spec import Signature
from edgepack.target import Audit, AuditOp

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}$\\frac$\x00\ud800"
EVENT = re.compile(r"^on|^srcdoc$|^formaction$")
TAGS = """html head meta title style body header main footer section nav h1 h2 h3 h4 p ul li dl div dt dd a small strong
    code pre bdi span table caption thead tbody tr th td figure figcaption img svg g path text wbr"""


VALUES = Values(
    -530, 581, 282, 5, 1.2, (3, 0, 9), (-626.0, 687.0), 5.172, -7, 256, 179, 180, 0.013, 15.2, 8.1
)
WEIGHTS = Weights(48.6, 297, (1, 2, 3), 197, 256)


def make_layers(
    count: int = 60, name: str = "block_{}/conv", precision: str = "int8"
) -> tuple[LayerError, ...]:
    falls = np.random.default_rng(0).normal(0, 2, count)
    return tuple(
        LayerError(
            name.format(i), "CONV_2D", precision, 45 - 20 * i / count + falls[i] - 9 * (i > count // 2)
        )
        for i in range(count)
    )


def explained(layers: tuple[LayerError, ...]) -> tuple[LayerError, ...]:
    """The layers, the fifth with all that can be known of it."""
    name = layers[4].name
    told = replace(layers[4], cause=f"because of {name}", remedy=name, values=VALUES, weights=WEIGHTS)
    return (*layers[:4], told, *layers[5:])


def make_report(precision: str = "int8", passed: bool = True, text: str = "probabilities") -> Report:
    """A realistic report; ``text`` stands wherever a model supplies a name."""
    rng = np.random.default_rng(1)
    integer = precision == "int8"
    ops = (
        AuditOp(f"{text}/conv", "CONV_2D", precision, 150_000),
        AuditOp(f"{text}/dense", "FULLY_CONNECTED", precision, 1_300_000),
        AuditOp(text, "SOFTMAX", "float32", 0, f"no integer kernel: {text}" if integer else ""),
    )
    metrics = MetricsEntry(
        sqnr_db=31.4 if integer else MAX_DB, max_abs=0.03, cosine=0.9993, argmax_agreement=0.98
    )
    parity = ParityEntry(passed=passed, samples=50, outputs={_valid(text): metrics, "mask": metrics})
    manifest = Manifest(
        name="flowers",
        version="1.0.0",
        target="tflite",
        precision=precision,
        artifact=("model.tflite",),
        source=SourceEntry(name="flowers.keras", sha256="ab" * 32),
        inputs=(
            TensorEntry(
                name=_valid(text),
                shape=(1, 224, 224, 3),
                dtype="uint8",
                image=ImageEntry(channels="rgb"),
                range=(0, 255),
            ),
        ),
        outputs=(
            TensorEntry(
                name=_valid(text),
                shape=(1, 5),
                dtype="int8" if integer else "float32",
                quantization=QuantizationEntry(scale=0.00390625, zero_point=-128) if integer else None,
                meaning=_valid(text),
                top_k=3,
            ),
        ),
        labels=tuple(f"{_valid(text)} {i}" for i in range(8)),
        processing=(ProcessingEntry(tensor=_valid(text), step="x * 0.0078 - 1", where="baked"),),
        audit=AuditEntry(
            ops_total=3,
            ops_by_precision={},
            tensors_by_dtype={},
            bytes_by_dtype={},
            float_islands=(),
            full_int8=False,
        ),
        gate=GateEntry(expression="sqnr_db>=20,argmax_agreement>=0.98", passed=passed),
        parity={"host": parity, "raspberry-pi-4": parity},
        metrics={
            "top1": ScoreEntry(
                original=98.4375,
                artifact=98.03,
                samples=1500,
                against="labels",
                unit="%",
                asked=("top1_drop<=0.5",),
                passed=True,
            ),
            _valid(text): ScoreEntry(
                original=0.5,
                artifact=0.75,
                samples=1500,
                against="labels",
                asked=(f"{_valid(text)}<=0.6",),
                passed=False,
            ),
            "mae": ScoreEntry(original=0.5, artifact=0.5, samples=1500, against="labels", passed=True),
        },
        golden=GoldenEntry(measured=50, shipped=8),
        notes=(_valid(text),),
        command=f"edgepack build flowers.keras --name '{_valid(text)}'",
        toolchain={"tensorflow": "2.21.0", "edgepack": "0.1.0"},
    )
    values = rng.normal(size=2000)
    names = [Prediction(f"{text} {i}", 0.5 / (i + 1)) for i in range(5)]
    return Report(
        manifest=manifest,
        audit=Audit(
            ops, Signature((), ()), {"int8": 9}, {"int8": 1_450_000, "int32": 9_000}, False, {text: "2"}
        ),
        sizes=(("flowers.keras", 9_400_000), (f"{text} .tflite", 8_900_000), ("model.tflite", 2_400_000)),
        layers=explained(
            make_layers(name=text.replace("{", "").replace("}", "") + "_{}", precision=precision)
        ),
        scatters=(Scatter(text, values, values + rng.normal(0, 0.05, 2000)),),
        pictures=(
            Picture(
                rng.integers(0, 255, (320, 240, 3), np.uint8), tuple(names), (names[1], names[0], *names[2:])
            ),
            Picture(rng.integers(0, 255, (28, 28, 1), np.uint8), tuple(names), tuple(names)),
        ),
    )


def _valid(text: str) -> str:
    """Without lone surrogates, which pydantic refuses."""
    return text.encode("utf-8", "replace").decode()


class Page(HTMLParser):
    """What a browser would find: tags, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


VARIANTS = [
    make_report("int8"),
    make_report("float32"),
    make_report("int8", passed=False),
    make_report(text=EVIL),
]


@pytest.mark.parametrize("report", VARIANTS, ids=["int8", "float32", "rejected", "hostile"])
class TestEveryPage:
    def test_same_bytes(self, report: Report) -> None:
        assert render(report).encode() == render(report).encode()

    def test_known_tags_no_scripts_no_outside(self, report: Report) -> None:
        page = render(report)
        parsed = Page(page)
        assert parsed.open == []
        assert {tag for tag, _ in parsed.tags} <= set(TAGS.split())
        for tag, attributes in parsed.tags:
            assert not [name for name in attributes if EVENT.match(name)]
            for name in {"href", "src", "xlink:href", "action", "data"} & set(attributes):
                assert (attributes[name] or "").startswith("data:image/" if tag == "img" else "#")
        assert set(re.findall(r"https?:[^\s\"')]*", page)) <= {"http://www.w3.org/2000/svg"}
        assert "url(" not in page
        assert "@import" not in page

    def test_accessible(self, report: Report) -> None:
        parsed = Page(render(report))
        assert parsed.count("table") == parsed.count("caption")
        assert all(attributes.get("alt") for tag, attributes in parsed.tags if tag == "img")
        assert all(attributes.get("scope") for tag, attributes in parsed.tags if tag == "th")
        ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = {attributes["href"] for tag, attributes in parsed.tags if tag == "a"}
        assert links <= {f"#{name}" for name in ids}


def test_policy_forbids_everything_else() -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    metas = [attributes for tag, attributes in Page(render(VARIANTS[0])).tags if tag == "meta"]
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in metas


def test_hostile_text_is_shown_as_text() -> None:
    page = render(make_report(text=EVIL))
    assert "<script>alert(1)</script>" in Page(page).text
    assert "{{ 7*7 }}" in Page(page).text
    assert "\x00" not in page


def test_rejected_names_the_layer_and_what_to_try() -> None:
    text = Page(render(make_report(passed=False))).text
    assert "REJECTED" in text
    assert "PASSED" not in text
    assert "Nothing was shipped" in text
    assert "--precision int16x8" in text
    fall = steepest_fall(make_layers(name="probabilities_{}"))
    assert fall is not None
    assert fall.layer.name in text


def test_metrics_of_the_task_are_told_with_their_bounds() -> None:
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render(make_report())))
    assert "labelled samples that neither calibration nor any choice of precision saw" in page
    assert "top1 98.44 % 98.03 % \u22120.4075 1500 top1_drop&lt;=0.5 passed" in page
    assert "probabilities 0.5 0.75 0.25 1500 probabilities&lt;=0.6 failed" in page
    assert "mae 0.5 0.5 0 1500 nothing none" in page


def test_passed_gives_no_advice() -> None:
    text = Page(render(make_report())).text
    assert "PASSED" in text
    assert "What to try" not in text
    assert "sqnr_db>=20,argmax_agreement>=0.98" in text


def test_float32_speaks_of_no_islands() -> None:
    text = Page(render(make_report("float32"))).text
    assert "exact" in text
    assert "islands" not in text
    assert "islands" in Page(render(make_report("int8"))).text


def test_small_with_many_layers_and_pictures() -> None:
    rng = np.random.default_rng(2)
    picture = Picture(rng.integers(0, 255, (1024, 1024, 3), np.uint8))
    values = rng.normal(size=50_000)
    page = render(
        replace(
            make_report(),
            layers=make_layers(300),
            pictures=(picture,) * 12,
            scatters=tuple(Scatter(f"output {i}", values, values) for i in range(9)),
        )
    )
    assert len(page.encode()) < 2_000_000
    assert Page(page).count("img") == 8
    assert "3 further outputs are not drawn" in Page(page).text
    assert Page(page).count("path") < 300


@pytest.mark.parametrize("count", [1, 2, 5, 300])
def test_any_number_of_layers(count: int) -> None:
    assert Page(render(replace(make_report(), layers=make_layers(count)))).count("svg") == 3


def test_without_pictures_layers_scatters_sizes() -> None:
    parsed = Page(render(replace(make_report(), pictures=(), layers=(), scatters=(), sizes=())))
    assert parsed.count("img") == parsed.count("svg") == 0
    assert "not compared layer by layer" in parsed.text


def test_pictures_without_predictions() -> None:
    picture = Picture(np.zeros((64, 64, 1), np.uint8))
    assert "no names to compare" in Page(render(replace(make_report(), pictures=(picture,)))).text


@pytest.mark.parametrize("values", [[], [0.0], [3.0, 3.0], [math.nan, math.inf, 1.0], [-1e30, 1e30]])
def test_scatter_of_odd_values(values: list[float]) -> None:
    array = np.array(values, np.float32)
    page = render(replace(make_report(), layers=(), scatters=(Scatter("y", array, array),)))
    chart = page[page.index("<svg") : page.index("</svg>")]
    assert not re.search("nan|inf", chart)


@pytest.mark.parametrize("values", [[math.inf] * 3, [math.nan, -math.inf, 12.0], [-300.0, 150.0]])
def test_layers_of_odd_sqnr(values: list[float]) -> None:
    layers = tuple(LayerError(f"l{i}", "ADD", "int8", value) for i, value in enumerate(values))
    assert ">nan<" not in render(replace(make_report(passed=False), layers=layers))


def test_steepest_fall_is_the_culprit_not_the_victim() -> None:
    layers = tuple(
        LayerError(str(i), "ADD", "int8", db) for i, db in enumerate([math.inf, 41, 38, 15, 14, 13])
    )
    assert [item.layer.name for item in worst_layers(layers, 2)] == ["5", "4"]
    fall = steepest_fall(layers)
    assert fall is not None
    assert fall.layer.name == "3"
    assert steepest_fall(layers[:3]) is None


def test_an_explained_layer_has_its_cause_its_remedy_and_its_histograms() -> None:
    text = Page(render(make_report())).text
    assert "Because of probabilities_4." in text
    assert "in steps of 5.172, zero at -7. Of 256 steps 179 occur; 1.3 % of the values are cut off" in text
    assert "197 of 256 steps occur; they keep 48.6 dB" in text
    assert "<h3>Why" not in render(replace(make_report(), layers=()))


def test_a_histogram_of_one_value_can_be_drawn() -> None:
    assert histogram((0, 5, 0), (2.0, 2.0), None).startswith("<svg")
    assert histogram((1, 5, 0), (0.0, 2.0), (-1.0, 3.0)) == histogram((1, 5, 0), (0.0, 2.0), (-1.0, 3.0))


def test_float_islands_are_told_with_what_they_hold() -> None:
    assert "They are 1 of 3 ops, and hold 0 B of the 1.45 MB of constants" in Page(render(make_report())).text
