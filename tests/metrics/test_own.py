"""Metrics of the user's own: a function, or a class; and what becomes of one that goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack.errors import EdgepackError, ModelError, UsageError
from edgepack.metrics.measure import measure
from edgepack.metrics.metric import parse
from edgepack.metrics.output import Answers

pytestmark = pytest.mark.usefixtures("workspace")

OUTPUTS = [{"y": np.array([[value]], np.float32)} for value in (1, 2, 4)]
LABELS = [("a.png", 1), ("b.png", 0), ("c.png", 1)]


def own(body: str, name: str = "it") -> float:
    Path("own.py").write_text(body)
    return measure([parse(f"own.py:{name}")], OUTPUTS, LABELS, "the artifact")[name]


def test_a_function_is_averaged_over_samples() -> None:
    assert own("def it(outputs, label): return outputs['y'][0, 0] * label") == pytest.approx(5 / 3)


def test_a_class_gathers_what_is_no_mean_of_samples() -> None:
    """Word error rate, say: all errors by all words."""
    rate = "class Rate:\n  a = b = 0\n  def update(self, outputs, label): self.a += label; self.b += float(outputs['y'].sum())\n"
    assert own(rate + "  def value(self): return self.a / self.b", "Rate") == pytest.approx(2 / 7)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("def it(o, l): return float('nan') if l == 0 else 1", UsageError, r"own.py:it, the artifact on b.png: it gives nan"),
        ("def it(o, l): return 1 / l", ModelError, r"on b.png raised ZeroDivisionError"),
        ("def it(o, l): return 'good'", UsageError, r"on a.png: it gives 'good', which is no number"),
        ("def it(o, l): pass", UsageError, "it gives None, which is no number"),
        ("class it:\n  def update(self, o, l): pass", UsageError, "it has no method 'value'"),
        ("class it:\n  def update(self, o, l): pass\n  def value(self): return float('nan')", UsageError, "over all samples: it is nan"),
        ("class it:\n  def update(self, o, l): o['z']\n  def value(self): return 1", ModelError, "on a.png raised KeyError: 'z'"),
        ("class it:\n  def update(self, o, l): pass\n  def value(self): return 1 / 0", ModelError, "over all samples raised ZeroDivisionError"),
        ("def other(o, l): return 1", UsageError, "has no function 'it'"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_with_the_sample(body: str, kind: type[EdgepackError], message: str) -> None:
    with pytest.raises(kind, match=message):
        own(body)


def test_what_the_code_raises_comes_with_its_traceback() -> None:
    with pytest.raises(ModelError) as error:
        own("def it(o, l):\n    return 1 / l")
    assert "return 1 / l" in error.value.details


def test_without_a_label_it_cannot_be_measured() -> None:
    Path("own.py").write_text("def it(o, l): return 1")
    with pytest.raises(UsageError, match="sample 0: it has no label|it has no label"):
        measure([parse("own.py:it")], OUTPUTS[:1], [("a", Answers(OUTPUTS[0]))], "the original")
