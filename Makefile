# make demo   set up, build a sample end to end on real input, say where the bundle and its report are
# make test   lint, types, all tests; what .ci/run calls
# make venv   .venv/bin/edgepack with every extra

PYTHON ?= python3
VENV := .venv
CORE := .venv-core
BIN := $(VENV)/bin
# Many tests wait for a process: two files at a time take little more memory, and half the time.
SPREAD := -n 2 --dist loadfile

.PHONY: demo test venv lint types test-core test-targets bench clean

DIGITS := dist/digits-1.0.0
demo: venv
	@cd samples/digits && ../../.ci/quiet ../../$(BIN)/python prepare.py && ../../$(BIN)/edgepack build
	@echo
	@for target in tflite tfjs; do \
	  echo "bundle: $(CURDIR)/samples/digits/$(DIGITS)-$$target-int8"; \
	  echo "report: $(CURDIR)/samples/digits/$(DIGITS)-$$target-int8/report.html"; \
	done
	@echo "page:   $(BIN)/edgepack serve samples/digits/$(DIGITS)-tfjs-int8"

venv: $(VENV)/done

$(VENV)/done: pyproject.toml samples/requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "edgepack needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || sh .ci/need python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	$(BIN)/python -m pip install --quiet --no-deps --requirement samples/requirements.txt
	@touch $@

# The core with no ML framework at all, as a target's author or a Raspberry Pi has it.
$(CORE)/done: pyproject.toml
	$(PYTHON) -m venv $(CORE)
	$(CORE)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(CORE)/bin/python -m pip install --quiet --editable . --group core-test
	@touch $@

test: lint types test-core test-targets

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

test-core: venv $(CORE)/done
	$(CORE)/bin/python -m pytest $(SPREAD) --ignore tests/targets --ignore tests/e2e

test-targets: venv
	@command -v g++ >/dev/null || sh .ci/need g++
	@command -v chromium >/dev/null || sh .ci/need chromium
	@command -v firefox-esr >/dev/null || sh .ci/need firefox-esr
	@command -v Xvfb >/dev/null || sh .ci/need xvfb
	@ls /usr/lib/*/webkit2gtk-4.1/MiniBrowser >/dev/null 2>&1 || sh .ci/need libwebkit2gtk-4.1-0
	.ci/quiet $(BIN)/python samples/digits/prepare.py
	.ci/quiet $(BIN)/python samples/emotion/prepare.py
	$(BIN)/python -m pytest $(SPREAD) tests/targets tests/e2e

bench: venv
	$(BIN)/python benchmarks/mobilenet.py
	$(BIN)/python benchmarks/torch_tflite.py
	$(BIN)/python benchmarks/tfjs.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/calibration.py
	.ci/quiet $(BIN)/python samples/imagenet/prepare.py
	$(BIN)/python benchmarks/int8_quality.py

clean:
	rm -rf $(VENV) $(CORE) samples/*/data samples/*/dist samples/*/dist.rejected
