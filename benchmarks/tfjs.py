"""edgepack against the official TensorFlow.js converter, side by side: MobileNetV2 at 224x224.

Conversions run in fresh processes, taking turns; what is timed is without imports: the official converter's work on a
SavedModel, and edgepack's on the same SavedModel once it is frozen; the time with edgepack's freezing is there, too. Latency is measured in one page of headless Chromium, the
two graphs taking turns on WebAssembly, in the same copy of TensorFlow.js. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from mobilenet import write_model
from side_by_side import ANY_RESULT, compare, make_samples, run

from edgepack.bundle import reader
from edgepack.devices.browsers.chromium import launched
from edgepack.targets.tfjs.runner import NodeRunner

OFFICIAL = Path(__file__).parents[1] / "tests" / "targets" / "tfjs" / "tfjs_official.py"
VERSION = "4.22.0"

LATENCY = """async ({ ours, theirs, runs, inputs, shared }) => {
  const { load } = await import(ours + "edgepack.js");
  const { Session } = await import(ours + "lib/session.js");
  const model = await load({ backend: "wasm", fallback: false });
  const runtime = globalThis[Symbol.for(shared)]; // the one copy of TensorFlow.js
  async function open(folder) {
    const graph = await (await fetch(folder + "model.json")).json();
    const names = graph.weightsManifest.flatMap((group) => group.paths);
    const weights = await Promise.all(names.map(async (name) => (await fetch(folder + name)).arrayBuffer()));
    return Session.open(runtime, "wasm", graph, weights);
  }
  const sessions = { official: await open(theirs), edgepack: await open(ours) };
  const [{ name, shape }] = model.inputs;
  const picture = { data: Float32Array.from(inputs), shape };
  const times = { official: [], edgepack: [] };
  for (let round = -3; round < runs; round++) {
    for (const [converter, session] of Object.entries(sessions)) {
      const begin = performance.now();
      await session.run({ [session.inputs[0].name]: picture });
      if (round >= 0) times[converter].push(performance.now() - begin);
    }
  }
  const answer = await model.predict({ [name]: picture });
  return { times, answer: [...Object.values(answer)[0].data] };
}"""


def fetch_official(folder: Path) -> None:
    """The package alone: what it depends on cannot be installed beside a current TensorFlow."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(folder), f"tensorflowjs=={VERSION}"], check=True)


def convert(saved_model: str, out: str) -> None:
    """Freeze a SavedModel, then convert it by edgepack; prints the seconds of both together and of the conversion."""
    from edgepack.model import LoadRequest
    from edgepack.spec import Precision
    from edgepack.target import Plan
    from edgepack.targets._tf import framework
    from edgepack.targets.tfjs.graph import convert as convert_graph
    from edgepack.targets.tfjs.lower import TFJSLowering

    loaded: Any = framework.load(LoadRequest("model", Path(saved_model))).form("tf")
    begin = time.perf_counter()
    frozen = loaded.open_batch()
    start = time.perf_counter()
    TFJSLowering(convert_graph(frozen)).emit(Plan(Precision.FLOAT32), Path(out))
    print(time.perf_counter() - begin, time.perf_counter() - start)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def in_chromium(folder: Path, bundle: Path, official: Path, runs: int, picture: np.ndarray) -> dict[str, Any]:
    """Milliseconds of every inference of both graphs in one page, and what the bundle answers."""
    with served(folder) as site, launched() as chromium:
        page = chromium.browser.new_page()
        page.goto(f"{site}{bundle.relative_to(folder).as_posix()}/manifest.json")
        arguments = {
            "ours": f"{site}{bundle.relative_to(folder).as_posix()}/",
            "theirs": f"{site}{official.relative_to(folder).as_posix()}/",
            "runs": runs,
            "shared": f"edgepack.tfjs-{VERSION}",
            "inputs": picture.ravel().tolist(),
        }
        return dict(page.evaluate(LATENCY, arguments))


def build(model: Path, samples: Path, out: Path, precision: str) -> dict[str, Any]:
    """The bundle's entry in what ``edgepack build --json`` prints."""
    options = ["--data", samples, "--target", "tfjs", "--precision", precision, "--out", out, "--json"]
    options += ["--gate", ANY_RESULT] if precision == "int8" else []
    _, printed = run("-m", "edgepack", "build", model, *options)
    [bundle] = json.loads(printed)["bundles"]
    return dict(bundle)


def weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("group*.bin"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=100, help="inferences of each graph")
    parser.add_argument("--convert", nargs=2, metavar=("SAVED_MODEL", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        convert(*options.convert)
        return

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, saved, samples = folder / "mobilenet.keras", folder / "saved", folder / "samples.npz"
        pictures = make_samples(40)
        np.savez(samples, image=pictures)
        write_model(model, pictures)
        run("-c", f"import keras; keras.models.load_model({str(model)!r}).export({str(saved)!r})")
        fetch_official(folder / "package")

        seconds: dict[str, list[float]] = {"official": [], "with freezing": [], "edgepack": []}
        official = folder / "official"
        for number in range(options.rounds):
            _, printed = run(OFFICIAL, folder / "package", saved, official)
            seconds["official"].append(float(printed.split()[-1]))
            (out := folder / f"ours-{number}").mkdir()
            _, printed = run(__file__, "--convert", saved, out)
            both, alone = map(float, printed.split()[-2:])
            seconds["with freezing"].append(both)
            seconds["edgepack"].append(alone)

        float32, int8 = (build(model, samples, folder / "dist", each) for each in ("float32", "int8"))
        bundle = Path(float32["path"])
        _, printed = run("-m", "edgepack", "verify", bundle, "--device", "chrome-desktop", "--json")
        rows = json.loads(printed)["devices"]["chrome-desktop"]["backends"]
        found = in_chromium(folder, bundle, official, options.runs, pictures[0])
        node = NodeRunner(reader.read(bundle).artifact)({"image": pictures[:1]})
        [here] = node.values()
        times = {name: median(values) for name, values in found["times"].items()}
        report = {
            "conversion_seconds": compare(median(seconds["official"]), median(seconds["edgepack"])),
            "freezing_included_seconds": compare(
                median(seconds["official"]), median(seconds["with freezing"])
            ),
            "weights_bytes": compare(weight_bytes(official), weight_bytes(bundle)),
            "wasm_latency_ms": compare(times["official"], times["edgepack"]),
            "float32_sqnr_db_in_chromium": {
                backend: {name: each["sqnr_db"] for name, each in row["outputs"].items()} or row["error"]
                for backend, row in rows.items()
            },
            "chromium_wasm_equals_node_to_the_bit": bool(
                np.array_equal(np.float32(found["answer"]), here.ravel())
            ),
            "uint8_weights_to_float32": round(weight_bytes(Path(int8["path"])) / weight_bytes(bundle), 4),
        }
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
