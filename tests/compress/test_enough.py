"""The gate is met with half of the error that it allows, or learning goes on."""

from __future__ import annotations

import pytest

from edgepack.compress.enough import is_enough
from edgepack.parity import Metrics, parse_gate


@pytest.mark.parametrize(
    ("gate", "enough"),
    [
        ("argmax_agreement>=0.95", True),
        ("argmax_agreement>=0.96", False),
        ("cosine>=0.98", True),
        ("cosine>=0.99", False),
        ("sqnr_db>=20", True),
        ("sqnr_db>=25", False),
        ("max_abs<=0.25", True),
        ("max_abs<=0.15", False),
        ("sqnr_db>=20, max_abs<=0.15", False),
    ],
)
def test_enough_is_half_of_what_is_allowed(gate: str, enough: bool) -> None:
    outputs = {"y": Metrics(sqnr_db=27, max_abs=0.1, cosine=0.992, argmax_agreement=0.977)}
    assert is_enough(parse_gate(gate), outputs) == enough
