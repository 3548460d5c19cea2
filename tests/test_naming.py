"""Names of outputs: by where they are in what a model returns."""

from __future__ import annotations

import pytest

from edgepack.naming import output_names, unique


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([""], ["output"]),
        (["0"], ["output"]),
        (["mask"], ["mask"]),
        (["0", "1"], ["output_0", "output_1"]),
        (["0.mask", "1"], ["output_0.mask", "output_1"]),
        (["boxes", "heads.0"], ["boxes", "heads.0"]),
    ],
)
def test_an_output_is_named_by_its_place(paths: list[str], names: list[str]) -> None:
    assert output_names(paths) == names


def test_a_name_that_came_before_gets_a_number() -> None:
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a_2", "a_3"]
