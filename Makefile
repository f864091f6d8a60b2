# Every developer and CI command. `make` alone lists them.
#
# Two virtual-environment stamps: `run` needs the package alone, everything else the developer tools.
# A stamp is renewed when pyproject.toml or constraints.txt changes, so a second call starts at once.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
PINNED := -c constraints.txt
EXTRAS := zoo,tflite,onnxruntime,report

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run setup fmt lint type arch test test-all proto proto-check devices docs docs-check bench calibrate \
        accuracy accuracy-check build ci clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --upgrade $(PINNED) pip
	$(PIP) install --quiet --editable . $(PINNED)
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --upgrade $(PINNED) pip
	$(PIP) install --quiet --editable '.[$(EXTRAS)]' --group dev $(PINNED)
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-all: $(VENV)/.stamp-dev
	$(PIP) install --quiet --editable '.[$(EXTRAS),tensorflow]' $(PINNED)
	@touch $@

run: $(VENV)/.stamp-run  ## set up what the command needs and run the main job
	$(BIN)/estimator-cli --device sd865 mobilenet_v2

setup: $(VENV)/.stamp-dev  ## create .venv with the package, its extras and the developer tools

fmt: setup  ## format and apply safe lint fixes
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

lint: setup  ## check style, formatting and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

type: setup  ## check types (strict mypy)
	$(BIN)/mypy

arch: setup  ## check that imports point down only
	$(BIN)/lint-imports --no-logo

test: setup  ## run the default tests
	$(BIN)/python -m pytest

test-all: $(VENV)/.stamp-all  ## run every test, the slow ones and those of optional packages too
	$(BIN)/python -m pytest -m ''

proto: setup  ## regenerate estimator/v1 from proto/
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto --python_out=. --pyi_out=. --grpc_python_out=. \
	  proto/estimator/v1/*.proto

proto-check: setup  ## fail when estimator/v1 is not what proto/ generates
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && \
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto --python_out="$$out" --pyi_out="$$out" \
	  --grpc_python_out="$$out" proto/estimator/v1/*.proto && \
	diff -ru --exclude=__pycache__ --exclude=__init__.py "$$out/estimator/v1" estimator/v1 && \
	echo "estimator/v1 is what proto/ generates"
	$(BIN)/buf lint

devices: setup  ## check every device and calibration file
	$(BIN)/estimator-cli devices validate devices/*.yaml

docs: setup  ## regenerate the generated pages of docs/
	$(BIN)/python -m benchmarks.accuracy --write docs/accuracy.md

bench: setup  ## measure the speed of the estimator itself
	$(BIN)/python -m benchmarks.speed

calibrate: setup  ## refit every domain from benchmarks/accuracy/records (about an hour)
	$(BIN)/python -m benchmarks.accuracy.fit

accuracy: setup  ## score the estimator against every measured record
	$(BIN)/python -m benchmarks.accuracy

accuracy-check: setup  ## fail when accuracy got worse than the committed reference
	$(BIN)/python -m benchmarks.accuracy --check

build: setup  ## build sdist and wheel, install the wheel clean, run it
	rm -rf dist
	$(BIN)/python -m build --no-isolation >/dev/null
	$(BIN)/python -m tests.packaging.wheel_smoke dist/*.whl

ci: lint type arch proto-check devices test build  ## what CI runs

clean:  ## remove build output and caches, keep .venv
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find estimator tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
