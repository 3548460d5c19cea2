"""What the tests of the tfjs target share: a lowering of whatever a test makes, bundles, and the official converter."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tfjs_bundles import write_bundle, write_hostile_bundle, write_litert_bundle

from edgepack.targets.tfjs.lower import lower

VERSION = "4.22.0"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def lowered(bench):
    """``lowered(made)``: the TFJSLowering of a Keras model or tf.Module."""
    return lambda made, **request: lower(bench.adopt(made, **request).form("tf"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle in a folder whose name needs escaping in a URL."""
    folder = tmp_path_factory.mktemp("site") / "under" / "a path"
    write_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A bundle whose names and labels try to break out of where they are written."""
    folder = tmp_path_factory.mktemp("site") / "bundle"
    write_hostile_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def litert_bundle(tmp_path_factory):
    """The same model as ``bundle``, full int8 around LiteRT.js."""
    folder = tmp_path_factory.mktemp("site") / "under" / "a path"
    write_litert_bundle(folder)
    return folder


@pytest.fixture
def short():
    """An empty folder for temporary files; browsers make sockets there, whose paths must be short."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def verify(short):
    """Run the command; (its code, its JSON, its stderr)."""

    def run(folder, *names):
        flags = [flag for name in names for flag in ("--device", name)]
        done = subprocess.run(
            [sys.executable, "-m", "edgepack", "verify", str(folder), *flags, "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "80", "TMPDIR": str(short)},
            timeout=600,
        )
        return done.returncode, json.loads(done.stdout), done.stderr

    return run


@pytest.fixture
def fresh(tmp_path):
    """A bundle to spoil."""
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="session")
def official(request):
    """``official(saved_model, out)``: convert with the Python package tensorflowjs, fetched once, outside of the venv."""
    folder = Path(request.config.cache.mkdir(f"tensorflowjs-{VERSION}")) / "package"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        done = subprocess.run(
            [*pip, "--target", str(folder), f"tensorflowjs=={VERSION}"], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"tensorflowjs {VERSION} cannot be fetched: {done.stderr.strip()[-200:]}")

    def convert(saved_model, out):
        script = Path(__file__).with_name("tfjs_official.py")
        done = subprocess.run(
            [sys.executable, str(script), str(folder), str(saved_model), str(out)],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-2000:]

    return convert


@pytest.fixture
def browser_program():
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    return CHROMIUM


@pytest.fixture
def serve():
    """``serve(folder)``: the address of a folder's index.html."""
    servers = []

    def start(folder):
        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        handler = functools.partial(Handler, directory=str(folder))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def browse(browser_program):
    """Runs a script in Chromium on a page beside a bundle; gives what the script returns."""
    answers = []
    done = threading.Event()

    def run(folder, script):
        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(folder.parent))

            def do_GET(self):
                if self.path != "/test.html":
                    return super().do_GET()
                body = f"<!doctype html><script type=module>{page}</script>".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                return self.wfile.write(body)

            def do_POST(self):
                answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()
                done.set()

            def log_message(self, *_):
                pass

        page = (
            "const report = (answer) => fetch('/', {method: 'POST', body: JSON.stringify(answer)});"
            f"const base = new URL({json.dumps(folder.name)} + '/', location);"
            "try { const { load } = await import(base + 'edgepack.js');"
            f"report(await (async () => {{ {script} }})()); }} catch (error) {{ report({{ error: error.message }}); }}"
        )
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            url = f"http://127.0.0.1:{server.server_port}/test.html"
            command = [
                browser_program,
                *FLAGS,
                f"--user-data-dir={profile}",
                "--remote-debugging-port=0",
                url,
            ]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                assert done.wait(60), "the page did not answer"
            finally:
                process.terminate()
                process.wait()
                server.shutdown()
                server.server_close()
        return answers[0]

    return run
