"""``edgepack bench`` on a real bundle and its float sibling, each in LiteRT in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys


def test_an_int8_tflite_beside_its_float_sibling(passes, tmp_path):
    paths = [passes("cnn", "images", "--precision", each).bundle["path"] for each in ("int8", "float32")]
    command = [
        sys.executable,
        "-m",
        "edgepack",
        "bench",
        paths[0],
        "--rounds",
        "5",
        "--threads",
        "2",
        "--json",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    int8, float32 = json.loads(done.stdout)["bundles"]
    assert [int8["path"], float32["path"]] == paths
    assert {int8["computed_by"], float32["computed_by"]} == {"LiteRT"}
    assert (int8["threads"], float32["threads"]) == (2, 2)
    assert int8["ops_by_precision"].keys() == {"int8"}
    assert float32["ops_by_precision"].keys() == {"float32"}
    assert int8["to_float"]["size"] < 1
    assert int8["to_float"]["latency"] > 0
    assert int8["memory_bytes"] > 0
    assert int8["download_bytes"] < float32["download_bytes"]
