"""The suite's own rule: what is skipped is listed by name, and on CI a skip is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "a test": "import pytest\ndef test_one(): pytest.skip('no tool')\n",
    "a whole file": "import pytest\npytest.importorskip('no_such_package')\ndef test_one(): pass\n",
}


@pytest.mark.parametrize("text", SKIPS.values(), ids=SKIPS)
@pytest.mark.parametrize(("ci", "code"), [("true", {1, 2}), ("", {0, 5})])
def test_skips_fail_on_ci_and_are_listed_elsewhere(
    tmp_path: Path, text: str, ci: str, code: set[int]
) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
    )
    assert done.returncode in code, done.stdout
    assert ("skipped on CI" in done.stdout) == bool(ci)
    assert ci or "test_it.py" in done.stdout.partition("not run")[2]
