"""Commands of a sample's README, as users run them."""

import os
import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"


def run(sample, *command):
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=SAMPLES / sample,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
