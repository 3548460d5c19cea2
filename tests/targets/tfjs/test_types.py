"""edgepack.d.ts as TypeScript reads it: what an app may write, and what it may not."""

import subprocess
from pathlib import Path

import pytest

from edgepack.targets.tfjs.node import Node, Npm

VERSION = "5.9.3"
OPTIONS = [
    "--noEmit",
    "--strict",
    "--target",
    "es2022",
    "--module",
    "esnext",
    "--moduleResolution",
    "bundler",
]

RIGHT = """
import { load, backends, type Inputs } from "./edgepack";
const model = await load({ backend: "wasm", fallback: false, onProgress: ({ loaded, total }) => console.log(loaded / total) });
const { probabilities } = await model.predict(new ImageData(8, 8), { topK: 3 });
const best: string = probabilities.top[0].label;
const inputs: Inputs = { image: new Float32Array(192) };
const data: Float32Array = (await model.predict(inputs)).probabilities.data;
const test = await model.selfTest();
const passed: boolean = test.passed && test.outputs.probabilities.passed;
for (const { backend, reason } of model.skipped) console.log(backend, reason.length);
console.log(best, data, passed, backends.length, model.backends, await model.warmUp());
await model.dispose();
"""
WRONG = [
    'await model.predict({ other: new Float32Array(192) });',
    'console.log((await model.predict(new Float32Array(192))).other);',
    'await load({ backend: "gpu" });',
    'await model.predict("a picture");',
]  # fmt: skip


@pytest.fixture(scope="session")
def typescript(request):
    """``tsc``, fetched once, outside of the venv."""
    folder = Path(request.config.cache.mkdir(f"typescript-{VERSION}"))
    program = folder / "node_modules" / "typescript" / "lib" / "tsc.js"
    if not program.exists():
        command = [*Npm().command(), "install", "--silent", "--no-audit", "--prefix", folder]
        done = subprocess.run([*command, f"typescript@{VERSION}"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"TypeScript cannot be fetched: {done.stderr.strip()[-200:]}")
    return [*Node().command(), str(program), *OPTIONS]


@pytest.fixture
def check(typescript, bundle):
    """What TypeScript says of a file beside the bundle's own."""

    def run(text):
        file = bundle / "app.ts"
        file.write_text(text)
        done = subprocess.run([*typescript, str(file)], capture_output=True, text=True, timeout=600)
        file.unlink()
        return done.stdout

    return run


def test_an_app_that_uses_all_of_it_compiles(check):
    assert check(RIGHT) == ""


@pytest.mark.parametrize("line", WRONG)
def test_what_the_model_has_not_does_not_compile(check, line):
    said = check('import { load } from "./edgepack";\nconst model = await load();\n' + line)
    assert "app.ts(3," in said
    assert "error TS2" in said
