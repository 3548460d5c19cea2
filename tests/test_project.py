"""edgepack.toml and flags: every key, the nearest right one for a wrong one, flags over the file, paths beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgepack.compress.wanted import Wanted
from edgepack.errors import UsageError
from edgepack.metrics.metric import Asked
from edgepack.metrics.request import Bound, Request
from edgepack.parity import default_gate
from edgepack.project import Project, load
from edgepack.samples import DataRequest
from edgepack.spec import Precision
from edgepack.wrap import InputWrap, OutputWrap

FULL = """
[model]
name = "flowers"
version = "2.1.0"
source = "model.py:build"
signature = "serve"
labels = "labels.txt"
allow_code = true
shapes = { image = "1x224x224x3", ids = "1x128:int32" }

[input.image]
kind = "image"
rate = 16000
layout = "NCHW"
channels = "bgr"
scale = 0.5
offset = [-1.0, 0.0, 1.0]
mean = [0.485, 0.456, 0.406]
std = 0.25

[output.probabilities]
activation = "softmax"
top_k = 5

[data]
representative = "photos/"
samples = 250
calibration = 200
held_back = 50
evaluation = "labelled/"
metrics = ["top5", "metrics.py:f1"]

[compress]
prune_channels = 0.3
prune = 0.5
cluster = 32
low_rank = 0.2
recover_minutes = 12
augment = false
keep = ["stem", "head"]

[build]
targets = ["tflite", "fake"]
precision = "auto"
take = 2
runtime = "litert"
io = "float"
layout = "keep"
out = "bundles"
zip = true
devices = ["host", "mine"]

[device.mine]
like = "host"

[gate]
sqnr_db = 20
cosine = 0.9
argmax_agreement = 0.98
max_abs = 1e-5
top1_drop = 0.5
f1 = ">=0.9"
"""


def read(text: str, flags: dict[str, Any] | None = None, where: str = "edgepack.toml") -> Project:
    Path(where).parent.mkdir(exist_ok=True)
    Path(where).write_text(text)
    return load(Path(where), flags or {})


pytestmark = pytest.mark.usefixtures("workspace")


def test_every_key_arrives() -> None:
    project = read(FULL)
    assert project.name == "flowers"
    assert project.model.version == "2.1.0"
    assert (project.model.source, project.model.labels) == ("model.py:build", "labels.txt")
    assert (project.model.signature, project.model.allow_code) == ("serve", True)
    assert project.shapes == {"image": ((1, 224, 224, 3), None), "ids": ((1, 128), "int32")}
    assert project.wrap.input("image") == InputWrap(
        "image", "NCHW", "bgr", (0.5,), (-1.0, 0.0, 1.0), (0.485, 0.456, 0.406), (0.25,), 16000
    )
    assert project.wrap.output("probabilities") == OutputWrap("softmax", 5)
    assert project.data_request == DataRequest("photos/", 250, 200, 50)
    assert project.evaluation == Request(
        "labelled/",
        (Asked("top5"), Asked("f1", "metrics.py:f1"), Asked("top1")),
        (Bound("top1", "drop", "<=", 0.5), Bound("f1", "", ">=", 0.9)),
        searched=True,
    )
    assert project.compression == Wanted(
        prune=0.5,
        prune_channels=0.3,
        low_rank=0.2,
        cluster=32,
        recover_minutes=12.0,
        augment=False,
        keep=("stem", "head"),
    )
    assert project.build.targets == ("tflite", "fake")
    assert (project.build.precision, project.build.take, project.build.io) == ("auto", 2, "float")
    assert (project.build.runtime, project.build.layout) == ("litert", "keep")
    assert (project.build.out, project.build.zip) == ("bundles", True)
    assert str(project.parity_gate) == "sqnr_db>=20, cosine>=0.9, argmax_agreement>=0.98, max_abs<=1e-05"
    assert project.gate_expression == f"{project.parity_gate}, top1_drop<=0.5, f1>=0.9"


def test_amounts_of_compression_may_be_left_to_the_target() -> None:
    project = read('[compress]\nprune = "auto"\nkeep = ["stem"]\n')
    assert project.compress.is_auto
    assert project.compression == Wanted(keep=("stem",), gate=project.parity_gate)
    with pytest.raises(UsageError, match="leave out the others"):
        read('[compress]\nprune = "auto"\nprune_channels = 0.5\n')
    with pytest.raises(UsageError, match="above 0 and at most 0.95, or auto"):
        read('[compress]\nprune = "much"\n')


def test_devices_are_named_and_added() -> None:
    project = read(FULL)
    assert project.build.devices == ("host", "mine")
    assert list(project.device) == ["mine"]


def test_the_full_file_leaves_no_key_at_its_default() -> None:
    """So that a new key cannot be forgotten in the test above."""

    def unset(table: Any, path: str = "") -> list[str]:
        found = []
        for key, field in type(table).model_fields.items():
            value = getattr(table, key)
            if isinstance(value, dict):
                found += [
                    name
                    for entry in value.values()
                    if hasattr(entry, "model_fields_set")
                    for name in unset(entry, key)
                ]
                found += [] if value else [f"{path}.{key}"]
            elif hasattr(value, "model_fields_set"):
                found += unset(value, key)
            elif value == field.default:
                found.append(f"{path}.{key}")
        return found

    assert unset(read(FULL)) == []


def test_nothing_given_means_the_documented_defaults() -> None:
    project = load(None, {"model": {"source": "flowers.keras"}})
    assert project.build.targets == ("tflite",)
    assert (project.build.precision, project.build.io, project.build.out) == (Precision.INT8, "auto", "dist")
    assert project.model.version == "1.0.0"
    assert project.wrap.input("image") is None
    assert not project.model.allow_code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[biuld]\n", "no key 'biuld'. Did you mean 'build'?"),
        ("[model]\nsuorce = 'x'", "no key 'model.suorce'. Did you mean 'model.source'?"),
        ("[input.image]\nscal = 1", "no key 'input.image.scal'. Did you mean 'input.image.scale'?"),
        ("[output.y]\ntopk = 1", "no key 'output.y.topk'. Did you mean 'output.y.top_k'?"),
        ("[data]\nxyz = 1", "no key 'data.xyz'. Keys: representative, samples, calibration, held_back, evaluation, metrics."),
    ],
)  # fmt: skip
def test_a_wrong_key_is_refused_with_the_nearest_right_one(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(text)
    assert f"edgepack.toml: there is {message}" in error.value.message


def test_all_wrong_keys_are_told_at_once() -> None:
    with pytest.raises(UsageError) as error:
        read("[model]\nnam = 'x'\n[data]\nsample = 3\n")
    assert "'model.nam'" in error.value.message
    assert "'data.sample'" in error.value.message


def test_a_wrong_key_in_a_flag_gets_the_nearest_one_too() -> None:
    with pytest.raises(UsageError, match=r"the command line: .*Did you mean 'input.image.scale'\?"):
        load(None, {"input": {"image": {"scal": "1"}}})


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("[data]\nsamples = 0", "data.samples", "0"),
        ("[data]\nsamples = 'many'", "data.samples", "'many'"),
        ("[build]\nprecision = 'int4'", "build.precision", "'int4'"),
        ("[build]\ntargets = []", "build.targets", "[]"),
        ("[build]\nzip = 'perhaps'", "build.zip", "'perhaps'"),
        ("[input.x]\nkind = 'sound'", "input.x.kind", "'sound'"),
        ("[input.x]\nstd = [1.0, 0.0]", "input.x.std.1", "0.0"),
        ("[input.x]\nscale = []", "input.x.scale", "[]"),
        ("[output.y]\ntop_k = -1", "output.y.top_k", "-1"),
        ("[gate]\nsqnr_db = 'high'", "gate.sqnr_db", "'high'"),
        ("[model]\nname = 'my flowers'", "model.name", "'my flowers'"),
        ("[model]\nname = '../up'", "model.name", "'../up'"),
        ("[model]\nversion = ''", "model.version", "''"),
        ("model = 3", "model", "3"),
        ("build = 3", "build", "3"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_key(text: str, key: str, value: str) -> None:
    with pytest.raises(UsageError) as error:
        read(text)
    assert f" {key}: " in error.value.message
    assert f"(got {value})" in error.value.message


@pytest.mark.parametrize("content", [b"[model\n", b"name = \xff", b"a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_named(content: bytes) -> None:
    Path("edgepack.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"edgepack\.toml is not valid TOML"):
        load(Path("edgepack.toml"), {})


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read: No such file"):
        load(Path("nowhere.toml"), {})


def test_flags_lie_over_the_file_key_by_key() -> None:
    project = read(FULL, {"build": {"precision": "int8"}, "input": {"image": {"scale": "2"}}})
    assert project.build.precision == Precision.INT8
    assert project.build.out == "bundles"
    declared = project.wrap.input("image")
    assert declared is not None
    assert (declared.scale, declared.std) == ((2.0,), (0.25,))


def test_paths_in_a_file_are_beside_it() -> None:
    project = read(FULL, where="apps/edgepack.toml")
    assert project.model.source == "apps/model.py:build"
    assert project.model.labels == "apps/labels.txt"
    assert project.data.representative == "apps/photos"
    assert project.build.out == "apps/bundles"
    assert read("[model]\n", where="apps/edgepack.toml").build.out == "apps/dist"


def test_what_is_no_relative_path_stays() -> None:
    text = (
        "[model]\nsource = 'package.models:build'\nlabels = '/etc/labels.txt'\n[data]\nrepresentative = ''\n"
    )
    project = read(text, {"build": {"out": "here"}}, where="apps/edgepack.toml")
    assert project.model.source == "package.models:build"
    assert project.model.labels == "/etc/labels.txt"
    assert project.data.representative == ""
    assert project.build.out == "here"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("flowers.keras", "flowers"),
        ("models/flowers v2.h5", "flowers-v2"),
        ("saved_model/", "saved_model"),
        ("apps/model.py:build", "model"),
        ("package.models:build", "package.models"),
        ("花.keras", "model"),
        ("", "model"),
    ],
)
def test_a_bundle_is_named_after_its_source(source: str, name: str) -> None:
    assert load(None, {"model": {"source": source}}).name == name


def test_a_folder_of_samples_makes_inputs_images() -> None:
    Path("photos").mkdir()
    project = load(None, {"data": {"representative": "photos"}})
    assert project.wrap.input("anything") == InputWrap(kind="image")


def test_a_wrong_metric_in_the_file_is_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(UsageError, match=r"There is no metric 'sqnr'\. Did you mean 'sqnr_db'\?"):
        read("[gate]\nsqnr = 1")


@pytest.mark.parametrize("metrics", ['"own.py:f1"', '["own.py:f1"]'])
def test_code_of_a_metric_is_beside_the_file(metrics: str) -> None:
    project = read(f'[data]\nevaluation = "set.csv"\nmetrics = {metrics}', where="sub/edgepack.toml")
    assert (project.evaluation.source, project.evaluation.asked) == (
        "sub/set.csv",
        (Asked("f1", "sub/own.py:f1"),),
    )


def test_under_a_gate_of_task_metrics_alone_the_default_one_decides_nothing() -> None:
    project = load(None, {"gate": {"top1_drop": 0.5}})
    assert (project.parity_gate, project.tensors_decide) == (default_gate(Precision.INT8), False)
    assert project.gate_expression == "top1_drop<=0.5"
    both = load(None, {"gate": {"top1_drop": 0.5, "cosine": 0.9}})
    assert (both.gate_expression, both.tensors_decide) == ("cosine>=0.9, top1_drop<=0.5", True)


def test_a_metric_alone_leaves_the_default_gate() -> None:
    project = load(None, {"data": {"metrics": ("top1",)}})
    assert project.gate_expression == str(default_gate(Precision.INT8))


@pytest.mark.parametrize("precision", list(Precision))
def test_without_a_gate_the_precision_has_one(precision: Precision) -> None:
    assert load(None, {"build": {"precision": precision}}).parity_gate == default_gate(precision)


@pytest.mark.parametrize("value", [1e20, 1e-20, 0.1 + 0.2, 0.99999999, 0.0])
def test_a_threshold_is_held_exactly(value: float) -> None:
    (threshold,) = load(None, {"gate": {"max_abs": value}}).parity_gate.thresholds
    assert (threshold.comparison, threshold.value) == ("<=", value)


def test_a_project_does_not_change() -> None:
    project = load(None, {})
    with pytest.raises(ValidationError):
        project.model.name = "other"  # type: ignore[misc]
