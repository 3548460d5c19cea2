"""A damaged .tflite is an error that says so; never a crash, never an endless wait."""

import keras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgepack.errors import ModelError, UsageError
from edgepack.model import LoadRequest
from edgepack.target import Artifact
from edgepack.targets._tf import framework
from edgepack.targets.tflite.audit import audit
from edgepack.targets.tflite.convert import convert
from edgepack.targets.tflite.flatbuffer import ModelView, write
from edgepack.targets.tflite.runtime import LiteRTRunner

L = keras.layers
MANY = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@pytest.fixture(scope="module")
def good():
    series = keras.Input((4, 3), name="series")
    made = keras.Model(series, L.Dense(2, activation="softmax", name="y")(L.LSTM(3)(series)))
    return convert(framework.adopt(made, LoadRequest("model")).form("tf"))


def looked_at(data):
    """Whether the audit took it; anything else than a UsageError fails the test."""
    try:
        audit(data)
    except UsageError:
        return False
    return True


def test_a_good_file_is_good(good):
    assert looked_at(good)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, b"\x1c\0\0\0TFL3" + b"\xff" * 64, b"PK\3\4" * 50])
def test_what_is_no_tflite_file(data):
    with pytest.raises(UsageError):
        audit(data)


@MANY
@given(st.floats(0, 1, exclude_max=True))
def test_truncated_files(good, keep):
    looked_at(good[: int(len(good) * keep)])


@MANY
@given(st.data())
def test_flipped_bytes(good, data):
    broken = bytearray(good)
    for at in data.draw(st.lists(st.integers(8, len(good) - 1), min_size=1, max_size=8)):
        broken[at] = data.draw(st.integers(0, 255))
    looked_at(bytes(broken))


@MANY
@given(st.data())
def test_flipped_bytes_of_the_structure(good, data):
    """The first kilobyte after the header holds offsets; so does the end, where flatbuffers put their tables."""
    broken = bytearray(good)
    near = st.one_of(st.integers(0, 512), st.integers(len(good) - 4096, len(good) - 1))
    for at in data.draw(st.lists(near, min_size=1, max_size=4)):
        broken[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    looked_at(bytes(broken))


@MANY
@given(st.binary(max_size=400))
def test_random_bytes_under_the_right_identifier(tail):
    looked_at(b"\x14\0\0\0TFL3" + tail)


def test_a_file_that_litert_refuses_is_an_error_of_the_model(good, tmp_path):
    view = ModelView(good)
    view.model.operatorCodes[0].version = 99
    (tmp_path / "model.tflite").write_bytes(write(view.model))
    with pytest.raises(ModelError, match="LiteRT cannot load") as caught:
        LiteRTRunner(Artifact(tmp_path, ("model.tflite",)))
    assert "\n" not in caught.value.message
