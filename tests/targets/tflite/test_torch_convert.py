"""A PyTorch program to a .tflite: it computes the same in every precision, under the user's names, channels last."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgepack import layout, registry
from edgepack.model import LoadRequest
from edgepack.precision.plan import uniform_plan
from edgepack.spec import TensorSpec
from edgepack.targets._torch import framework
from edgepack.targets.tflite import torch_convert
from edgepack.targets.tflite.flatbuffer import ModelView
from edgepack.targets.tflite.target import target as tflite

LEAST_DB = {"float32": 100, "float16": 50, "int16x8": 35, "int8_dynamic": 30, "int8": 25}
OFFERED = registry.target("tflite").precisions


class Block(nn.Module):
    """An inverted residual, as MobileNets have it."""

    def __init__(self, before, after, stride=1):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(before, 4 * before, 1), nn.BatchNorm2d(4 * before), nn.ReLU6())
        self.conv = nn.Conv2d(4 * before, 4 * before, 3, stride, 1, groups=4 * before)
        self.norm = nn.BatchNorm2d(4 * before)
        self.project = nn.Conv2d(4 * before, after, 1)

    def forward(self, x):
        y = self.project(functional.relu6(self.norm(self.conv(self.expand(x)))))
        return x + y if x.shape == y.shape else y


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.features = nn.Sequential(Block(8, 8), Block(8, 16, 2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 4))

    def forward(self, image):
        return torch.softmax(self.head(self.features(functional.silu(self.stem(image)))), -1)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.out = nn.Conv2d(24, 1, 1)

    def forward(self, image):
        left = torch.relu(self.down(image))
        deep = torch.relu(self.deep(functional.max_pool2d(left, 2)))
        wide = functional.interpolate(deep, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.out(torch.cat([left, self.up(deep), wide], 1)))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.fc = nn.Linear(32, 5)

    def forward(self, ids):
        return self.fc(self.encoder(self.embed(ids)).mean(1))


class Audio(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(1, 8, 9, 4), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 9, 4))
        self.fc = nn.Linear(8, 4)

    def forward(self, sound):
        return self.fc(torch.relu(self.body(sound[:, None])).mean(-1))


class Several(nn.Module):
    """Two inputs; three outputs, of which one is an input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.dense = nn.Linear(8, 4)

    def forward(self, zebra, ant):
        maps = torch.relu(self.conv(zebra))
        return {"maps": maps, "scores": self.dense(ant) + maps.mean((2, 3)), "same": ant}


IMAGE, IDS = {"image": (3, 16, 16)}, {"ids": (12,)}
FAMILIES = {
    "cnn": (Cnn, IMAGE),
    "u-net": (UNet, IMAGE),
    "transformer": (Transformer, IDS),
    "audio": (Audio, {"sound": (400,)}),
    "several": (Several, {"zebra": (3, 8, 8), "ant": (8,)}),
}


def draw(count=12, **shapes):
    random = np.random.default_rng(0)
    return [
        {
            name: random.integers(0, 50, (1, *shape)).astype(np.int32)
            if name == "ids"
            else random.uniform(-1, 1, (1, *shape)).astype(np.float32)
            for name, shape in shapes.items()
        }
        for _ in range(count)
    ]


def adopt(make, sample):
    torch.manual_seed(0)
    specs = tuple(TensorSpec(name, array.shape, array.dtype.name) for name, array in sample.items())
    return framework.adopt(make().eval(), LoadRequest("model", sample_specs=specs))


def shown(model, samples):
    """Model and samples as the target gets them."""
    images = frozenset(spec.name for spec in model.signature.inputs if len(spec.shape) == 4)
    turned = [
        {
            name: np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if name in images else array
            for name, array in sample.items()
        }
        for sample in samples
    ]
    return layout.ChannelsLast(model, images), turned


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_in_every_precision(bench, family):
    make, shapes = FAMILIES[family]
    samples = draw(**shapes)
    model, samples = shown(adopt(make, samples[0]), samples)
    lowering = bench.lower(model, samples)
    for precision in OFFERED:
        plan = uniform_plan(lowering, precision, "auto")
        runner = tflite.open(bench.emit(lowering, precision, ops=plan.ops))
        assert bench.worst_db(model, runner, samples) >= LEAST_DB[precision], precision
        assert runner.layers(samples[0])


@pytest.mark.parametrize("family", ["cnn", "u-net"])
def test_images_come_in_channels_last_and_nothing_is_transposed(bench, family):
    make, shapes = FAMILIES[family]
    model, _ = shown(adopt(make, draw(1, **shapes)[0]), [])
    view = ModelView(torch_convert.convert(model.form("torch"), layout.turned_inputs(model)))
    assert view.signature.inputs[0].shape == (1, 16, 16, 3)
    assert not [op.name for op in view.ops if op.kind == "TRANSPOSE"]


def test_kept_as_the_source_has_it_the_image_comes_in_channels_first():
    model = adopt(Cnn, draw(1, **IMAGE)[0])
    view = ModelView(torch_convert.convert(model.form("torch")))
    assert view.signature == model.signature
    assert [op.kind for op in view.ops].count("TRANSPOSE") == 1


def test_names_and_the_order_of_inputs_and_outputs_are_the_users(bench):
    samples = draw(1, zebra=(3, 8, 8), ant=(8,))
    model = adopt(Several, samples[0])
    runner = tflite.open(bench.emit(bench.lower(model, samples), "float32"))
    assert runner.signature == model.signature
    assert [spec.name for spec in runner.signature.inputs] == ["zebra", "ant"]
    assert [spec.name for spec in runner.signature.outputs] == ["maps", "scores", "same"]
    np.testing.assert_array_equal(runner(samples[0])["same"], samples[0]["ant"])


def test_ops_are_called_by_the_path_of_their_module():
    model, _ = shown(adopt(Cnn, draw(1, **IMAGE)[0]), [])
    view = ModelView(torch_convert.convert(model.form("torch"), layout.turned_inputs(model)))
    names = {op.name: op.kind for op in view.ops}
    assert len(names) == len(view.ops)
    assert names["stem"] == "CONV_2D"
    assert names["features.0.expand.0"] == "CONV_2D"
    assert names["features.1.conv"] == "DEPTHWISE_CONV_2D"
    assert names["features.0/add"] == "ADD"
    assert names["head.3"] == "FULLY_CONNECTED"


def test_a_program_that_was_exported_before_keeps_its_modules_names():
    sample = draw(1, **IMAGE)[0]
    exported = torch.export.export(Cnn().eval(), (torch.from_numpy(sample["image"]),))
    model = framework.adopt(exported, LoadRequest("model"))
    names = {op.name for op in ModelView(torch_convert.convert(model.form("torch"))).ops}
    assert {"stem", "features.0.expand.0", "features.1.conv", "head.3"} <= names


def test_the_same_program_gives_the_same_bytes():
    program = adopt(UNet, draw(1, **IMAGE)[0]).form("torch")
    assert torch_convert.convert(program) == torch_convert.convert(program)


def test_conversion_changes_nothing_in_the_model():
    """The converter would cut off the infinite values of a mask, in place."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(4, 4)
            self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))

        def forward(self, x):
            return torch.softmax(self.dense(x) + self.mask, -1)

    sample = draw(1, x=(4, 4))[0]
    model = adopt(Masked, sample)
    before = {name: tensor.clone() for name, tensor in model.form("torch").module.state_dict().items()}
    torch_convert.convert(model.form("torch"))
    for name, tensor in model.form("torch").module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_it_needs_no_tensorflow_and_prints_nothing(tmp_path):
    script = tmp_path / "lower.py"
    script.write_text(
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from edgepack.model import LoadRequest\n"
        "from edgepack.spec import TensorSpec\n"
        "from edgepack.targets._torch import framework\n"
        "from edgepack.targets.tflite.target import target\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.rnn = torch.nn.LSTM(4, 8, batch_first=True)\n"
        "    def forward(self, x):\n"
        "        return self.rnn(x)[0]\n"
        "request = LoadRequest('net', sample_specs=(TensorSpec('x', (1, 6, 4), 'float32'),))\n"
        "target.lower(framework.adopt(Net().eval(), request), [], Path()).ops\n"
        "assert 'litert_torch' in sys.modules\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'TensorFlow was imported'\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ""
