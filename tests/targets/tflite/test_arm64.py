"""A .tflite in the arm64 build of LiteRT, on emulated processors: the bits of this machine, or words that say why not."""

import contextlib
import os
from types import SimpleNamespace

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
import on_device
import pytest
import tensorflow as tf
from on_device import install

from edgepack import devices, registry
from edgepack.bundle.manifest import TensorEntry
from edgepack.devices.child import Command
from edgepack.devices.setup import parts, qemu
from edgepack.devices.setup.compiler import PROGRAM, Compiled
from edgepack.devices.setup.machines import MACHINES
from edgepack.devices.setup.qemu import Qemu
from edgepack.devices.wire import Limits, driven
from edgepack.errors import ModelError
from edgepack.spec import Signature, TensorSpec
from edgepack.target import Artifact
from edgepack.targets.tflite.target import target as tflite

BOARDS = ("raspberry-pi-zero-2", "raspberry-pi-4", "raspberry-pi-5", "android-little", "android-v9")


@pytest.fixture(scope="session", autouse=True)
def installed():
    """All of them share their parts."""
    install(BOARDS[0], "tflite")


def play(board, artifact, samples):
    """The answers of a board to the samples."""
    return on_device.play(board, artifact, tflite.open(artifact), samples)[0]


def saved(folder, module):
    """A module's function ``f`` as an artifact, by TensorFlow's own converter."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module)
    converter.allow_custom_ops = True
    (folder / "model.tflite").write_bytes(converter.convert())
    return Artifact(folder, ("model.tflite",))


@pytest.mark.parametrize("board", BOARDS)
def test_int8_has_the_bits_of_this_machine(bench, draw, small_cnn, board):
    samples = draw(image=(8, 8, 3))
    artifact = bench.emit(bench.lower(small_cnn, samples))
    runner = tflite.open(artifact)
    for sample, answer in zip(samples, play(board, artifact, samples), strict=True):
        np.testing.assert_array_equal(answer["classes"], runner(sample)["classes"])


def test_float32_agrees_but_for_rounding(bench, draw, small_cnn):
    samples = draw(image=(8, 8, 3))
    artifact = bench.emit(bench.lower(small_cnn, samples), "float32")
    runner = tflite.open(artifact)
    for sample, answer in zip(samples, play("raspberry-pi-4", artifact, samples), strict=True):
        np.testing.assert_allclose(answer["classes"], runner(sample)["classes"], atol=1e-6)


class Many(tf.Module):
    """Inputs whose names are not in the order of the graph's; every dtype; a scalar and six dimensions."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((2, 3), tf.float32, "z"),
            tf.TensorSpec((), tf.float32, "by"),
            tf.TensorSpec((4,), tf.int64, "long"),
            tf.TensorSpec((1, 2, 1, 2, 1, 3), tf.int32, "deep"),
            tf.TensorSpec((5,), tf.bool, "mask"),
            tf.TensorSpec((2, 2), tf.uint8, "pixels"),
            tf.TensorSpec((3,), tf.int16, "short"),
            tf.TensorSpec((1, 3), tf.int8, "little"),
        ]
    )
    def f(self, z, by, long, deep, mask, pixels, short, little):
        return {
            "scaled": z * by,
            "all": tf.reduce_sum(z),
            "long twice": long + long,
            "turned": tf.transpose(deep, (5, 4, 3, 2, 1, 0)),
            "not": tf.logical_not(mask),
            "pixels": tf.transpose(pixels),
            "wide": tf.cast(short, tf.int32),
            "little": tf.transpose(little),
        }


def test_several_inputs_and_outputs_of_every_type_and_rank(tmp_path):
    artifact = saved(tmp_path, Many())
    runner = tflite.open(artifact)
    rng = np.random.default_rng(0)
    samples = [
        {
            spec.name: np.asarray(
                rng.integers(0, 2 if spec.dtype == "bool" else 100, spec.static_shape)
            ).astype(spec.dtype)
            for spec in runner.signature.inputs
        }
        for _ in range(3)
    ]
    assert len({spec.dtype for spec in runner.signature.inputs}) == 7
    for sample, answer in zip(samples, play("raspberry-pi-4", artifact, samples), strict=True):
        expected = runner(sample)
        assert set(answer) == set(expected)
        for name, array in expected.items():
            assert answer[name].dtype == array.dtype
            np.testing.assert_array_equal(answer[name], array)


class Unknown(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.float32, "x")])
    def f(self, x):
        return {"y": tf.raw_ops.Betainc(a=x, b=x, x=x)}


def refusal(artifact, name):
    """How a board refuses an artifact that does not load here either; its input and output are 1x3."""
    x, y = (TensorSpec(each, (1, 3), "float32") for each in ("x", name))
    with pytest.raises(ModelError) as caught:
        on_device.play("raspberry-pi-4", artifact, SimpleNamespace(signature=Signature((x,), (y,))), [])
    return caught.value


def test_an_op_without_a_kernel_is_named(tmp_path):
    error = refusal(saved(tmp_path, Unknown()), "y")
    assert "unresolved custom op: Betainc" in error.message
    assert "replace it in the model" in error.hint


class Sum(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.float32, "x")])
    def f(self, x):
        return {"y": tf.reduce_sum(x, axis=1)}


def test_an_op_of_a_later_version_is_named(tmp_path):
    artifact = saved(tmp_path, Sum())
    model = schema.ModelT.InitFromPackedBuf(artifact.main.read_bytes(), 0)
    for code in model.operatorCodes:
        code.version = 99
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    artifact.main.write_bytes(builder.Output())
    assert "builtin opcode 'SUM' version '99'" in refusal(artifact, "y").message


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"no model at all")
    assert "cannot read the artifact" in refusal(Artifact(tmp_path, ("model.tflite",)), "y").message


SDOT = """
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
/* dot products of 8-bit integers, then a return: what a runtime built for a newer processor would do at once */
static const uint32_t code[] = {0x4e829420, 0xd65f03c0};
int main(void) {
  puts("in int8 1 x\\nout int8 1 y\\nready");
  fflush(stdout);
  void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(memory, code, sizeof code);
  int value;
  while ((value = getchar()) != EOF) {
    ((void (*)(void))memory)();
    putchar(value);
    fflush(stdout);
  }
  return 0;
}
"""

HANGING = """
#include <stdio.h>
#include <unistd.h>
int main(int count, char **arguments) {
  int child = fork();
  if (child == 0) for (;;) pause();
  FILE *file = fopen(arguments[1], "w");
  fprintf(file, "%d %d", (int)getpid(), child);
  fclose(file);
  puts("in int8 1 x\\nout int8 1 y\\nready");
  fflush(stdout);
  for (;;) pause();
}
"""

BYTE = SimpleNamespace(
    inputs=(TensorEntry(name="x", shape=(1,), dtype="int8"),),
    outputs=(TensorEntry(name="y", shape=(1,), dtype="int8"),),
)


@pytest.fixture
def compiled(tmp_path):
    """The command that runs a C text on a processor."""

    def make(text, cpu, *arguments):
        source = tmp_path / "program.c"
        source.write_text(text)
        *_, driver = devices.find(BOARDS[0]).parts(registry.target("tflite"))
        program = tmp_path / "made"
        program.mkdir()
        Compiled(source, MACHINES["arm64"], driver.userland).make(program, tmp_path)
        prefix = qemu.command(parts.folder(Qemu()), MACHINES["arm64"], parts.folder(driver.userland), cpu)
        return Command((*prefix, str(program / PROGRAM), *map(str, arguments)), {}, f"a {cpu}")

    return make


def test_instructions_that_the_processor_lacks_are_told(compiled):
    with (
        pytest.raises(ModelError, match=r"uses instructions that a cortex-a53 lacks"),
        driven(compiled(SDOT, "cortex-a53"), BYTE) as driver,
    ):
        driver({"x": np.array([7])})


def test_and_one_that_has_them_runs(compiled):
    with driven(compiled(SDOT, "cortex-a76"), BYTE) as driver:
        assert driver({"x": np.array([7])})["y"] == [7]


def is_there(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0] != "Z"
    return False


def test_an_emulator_that_hangs_is_killed_with_its_children(compiled, tmp_path):
    command = compiled(HANGING, "cortex-a53", tmp_path / "processes")
    with driven(command, BYTE, Limits(300, 1)) as driver:
        processes = list(map(int, (tmp_path / "processes").read_text().split()))
        assert len(processes) == 2
        assert all(map(is_there, processes))
        with pytest.raises(ModelError, match="did not answer within 1 s, and was stopped"):
            driver({"x": np.array([7])})
    assert not any(map(is_there, processes))
