"""Recurrent layers of Keras on PyTorch become one op where PyTorch has it, and compute the same whatever they become."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OPS = {
    "lstm": ["lstm"],
    "lstm without bias": ["lstm"],
    "lstm, all steps": ["lstm"],
    "lstm, its state too": ["lstm"],
    "lstm backwards": ["lstm"],
    "gru": ["gru"],
    "gru backwards": ["gru"],
    "gru of a state": ["gru"],
    "rnn of tanh": ["rnn_tanh"],
    "rnn of relu": ["rnn_relu"],
    "both ways": ["lstm"],
    "both ways, summed": ["gru"],
    # PyTorch has no such op: the loop is kept
    "lstm of other gates": [],
    "lstm of relu": [],
    "gru that resets before": [],
    "masked": [],
    "convolutional": [],
}


@pytest.fixture(scope="module")
def fused():
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fused_layers.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "torch"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", OPS)
def test_it_computes_the_same(fused, name):
    assert fused[name]["worst"] < 2e-6


@pytest.mark.parametrize("name", OPS)
def test_it_is_one_op_where_pytorch_has_it(fused, name):
    assert fused[name]["ops"] == OPS[name]
