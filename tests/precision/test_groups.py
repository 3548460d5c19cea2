"""Tensors whose channels are scaled together."""

import numpy as np

from edgepack.precision.groups import Channels, Groups


def chain():
    """``conv`` makes a; a passes to b; ``dense`` reads b."""
    groups = Groups()
    groups.of("a").makers.append("conv")
    groups.of("b").readers.append("dense")
    groups.join("a", "b")
    return groups


def test_joined_tensors_have_the_layers_of_all():
    (group,) = chain().scalable
    assert (group.tensors, group.makers, group.readers) == ({"a", "b"}, ["conv"], ["dense"])


def test_what_is_closed_closes_all_that_it_is_or_will_be_joined_to():
    groups = chain()
    groups.close(["c"])
    groups.join("b", "c")
    assert groups.scalable == []
    later = chain()
    later.close(["a"])
    assert later.scalable == []


def test_a_group_that_no_layer_reads_cannot_be_scaled():
    groups = Groups()
    groups.of("a").makers.append("conv")
    assert groups.scalable == []


def test_peaks_and_powers_are_by_channel_over_all_samples():
    seen = Channels()
    seen.see(np.array([[1.0, -4.0], [3.0, 0.0]]))
    seen.see(np.array([[[-5.0, 2.0]]]))
    assert seen.values.peak.tolist() == [5, 4]
    assert seen.values.power.tolist() == [35 / 3, 20 / 3]
