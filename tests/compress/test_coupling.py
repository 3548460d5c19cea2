"""Channels are followed one by one: what is joined goes together, what is closed stays."""

from __future__ import annotations

import numpy as np

from edgepack.compress.coupling import NOTHING, Axis, Coupling, is_constant, proven
from edgepack.compress.student import Group
from edgepack.spec import Array


def places(coupling: Coupling) -> list[dict[tuple[str, int], list[list[int]]]]:
    return [
        {(place.owner, place.axis): found.tolist() for place, found in group.places.items()}
        for group in coupling.groups()
    ]


def test_what_one_layer_makes_and_another_reads_is_a_group() -> None:
    coupling = Coupling()
    coupling.join(coupling.along("reader", 1, 3), coupling.along("maker", 0, 3))
    assert places(coupling) == [{("reader", 1): [[0], [1], [2]], ("maker", 0): [[0], [1], [2]]}]


def test_a_concatenation_is_two_groups_and_a_flattening_has_several_places_a_channel() -> None:
    coupling = Coupling()
    left, right = coupling.along("left", 0, 2), coupling.along("right", 0, 1)
    coupling.join(coupling.along("reader", 1, 6), np.concatenate([np.repeat(left, 2), np.repeat(right, 2)]))
    assert places(coupling) == [
        {("left", 0): [[0], [1]], ("reader", 1): [[0, 1], [2, 3]]},
        {("right", 0): [[0]], ("reader", 1): [[4, 5]]},
    ]


def test_channels_that_are_added_go_together_and_with_what_has_none_they_stay() -> None:
    coupling = Coupling()
    one, other = coupling.along("one", 0, 3), coupling.along("other", 0, 3)
    coupling.met(one.reshape(1, 3, 1), np.append(other[:2], NOTHING).reshape(1, 3, 1))
    assert places(coupling) == [
        {("one", 0): [[0], [1]], ("other", 0): [[0], [1]]},
        {("other", 0): [[2]]},  # nobody met it
    ]


def test_one_value_for_all_channels_stays_and_binds_none_of_them() -> None:
    """An attention map [1, 1, 4] times channels [1, 3, 4]."""
    coupling = Coupling()
    channels, single = coupling.along("maker", 0, 3), coupling.along("attention", 0, 1)
    wide = np.broadcast_to(channels.reshape(1, 3, 1), (1, 3, 4))
    met = coupling.met(np.broadcast_to(single.reshape(1, 1, 1), (1, 1, 4)), wide)
    np.testing.assert_array_equal(met, wide)
    assert places(coupling) == [{("maker", 0): [[0], [1], [2]]}]


def test_the_same_axis_has_the_same_channels_so_that_shared_weights_join() -> None:
    coupling = Coupling()
    first, second = coupling.along("first", 0, 2), coupling.along("second", 0, 2)
    for fed in (first, second):
        coupling.join(coupling.along("shared", 1, 2), fed)
    assert len(coupling.groups()[0].places) == 3
    coupling.close(second[:1])
    assert coupling.groups()[0].places[Axis("first", 0)].tolist() == [[1]]


def test_no_axis_of_a_closed_owner_gets_shorter() -> None:
    coupling = Coupling()
    coupling.join(coupling.along("tied", 1, 2), coupling.along("maker", 0, 2))
    coupling.close_owner("tied")
    assert coupling.groups() == []


def test_constant_is_the_same_everywhere_along_an_axis() -> None:
    channels = np.broadcast_to(np.arange(3).reshape(3, 1), (3, 4))
    assert [is_constant(channels, axis) for axis in (0, 1)] == [False, True]


def test_the_groups_that_break_the_model_are_found_among_many() -> None:
    coupled = Coupling().groups
    coupling = Coupling()
    coupling.along("any", 0, 1)
    (any_coupled,) = coupling.groups()
    made: list[Array] = [np.array([[number]]) for number in range(9)]
    groups = {Group({}, {"reader": each}): any_coupled for each in made}
    bad = [group for group in groups if group.columns["reader"][0, 0] in (2, 7)]
    tried: list[int] = []

    def holds(some: object) -> bool:
        assert isinstance(some, dict)
        tried.append(len(some))
        return not any(group in some for group in bad)

    assert list(proven(groups, holds)) == [group for group in groups if group not in bad]
    assert proven({}, holds) == {}
    assert len(tried) < 16
    assert coupled() == []
