# The one door: every way to set up, run, test and measure yolotrt starts here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# On every core; whoever has nothing left takes from the others. Tests on a GPU take turns.
# (One process more than cores makes what they share once more, and is no faster.)
PARALLEL := -n logical --dist worksteal
# Extra arguments for pip, such as a constraints file: make setup PIP_ARGS="-c constraints.txt"
PIP_ARGS ?=

# The tests start hundreds of Python processes: what one has compiled, the next reads.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-export setup-tensorrt setup-scale setup-browser demo smoke test test-export test-tensorrt test-scale test-gpu test-lowest test-wheel fuzz audit check format coverage architecture docs bench train-demo clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## Make .venv with yolotrt and its development tools (no torch, no GPU needed)

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e '.[dev]'
	@touch $@

setup-export: $(VENV)/.ready-export  ## Add what exporting weights needs (ultralytics and torch)

$(VENV)/.ready-export: $(VENV)/.ready
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e '.[dev,export]'
	@touch $@

setup-tensorrt: $(VENV)/.ready-tensorrt  ## Add TensorRT-RTX, NVRTC and TensorRT's bindings (no GPU needed; 450 MB)

$(VENV)/.ready-tensorrt: $(VENV)/.ready $(wildcard tests/contract/requirements-*.txt)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e '.[dev,tensorrt-rtx]'
	for version in 10.13 10 11; do \
	  $(BIN)/python -m pip install -q --no-deps --upgrade --target $(VENV)/contract/$$version \
	    -r tests/contract/requirements-$$version.txt || exit 1; \
	done
	@touch $@

setup-browser:  ## Add Chromium, in which the report is checked (Debian; as root)
	command -v chromium || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }

demo: setup  ## Set up and run the main job: 4K scene, calibrate, build, bench, pictures
	$(BIN)/yolotrt demo

smoke: setup  ## The demo in small: the whole chain in under a minute
	$(BIN)/yolotrt demo --quick --out runs/smoke

test: setup  ## Set up and run the tests (export tests are skipped, visibly, without torch)
	$(BIN)/python -m pytest $(PARALLEL)

test-export: setup-export  ## Run the tests that need torch, and those on real data (YOLOTRT_TEST_DATA)
	$(BIN)/python -m pytest $(PARALLEL) -m 'export or real'

test-tensorrt: setup-tensorrt  ## Build real TensorRT-RTX engines, compile the kernels, check TensorRT's API (no GPU)
	$(BIN)/python -m pytest $(PARALLEL) tests/backends tests/contract tests/cuda tests/cli/test_profile.py tests/cli/test_rebuild.py

setup-scale: $(VENV)/.ready-scale  ## Add Ray, Ray Serve, pyarrow, KServe and Triton's client (no GPU; 600 MB)

$(VENV)/.ready-scale: $(VENV)/.ready
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e '.[dev,ray,serve,parquet]' 'tritonclient[http,grpc]>=2.73' 'kserve>=0.21'
	@touch $@

test-scale: setup-scale  ## Batches on Ray, the service, a Triton repository in a KServe server
	$(BIN)/python -m pytest tests/scale

test-gpu: setup  ## Run the tests that need an NVIDIA GPU; a skip is a failure
	YOLOTRT_REQUIRE_GPU=1 $(BIN)/python -m pytest -m gpu

test-lowest:  ## Run the tests with the lowest versions that pyproject.toml allows, the cuda extra's too, in .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install -q uv
	.venv-lowest/bin/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct -e '.[dev,cuda]'
	.venv-lowest/bin/python -m pytest $(PARALLEL)

test-wheel: setup  ## Build the wheel, install it into an empty environment, run the demo from elsewhere
	$(BIN)/python tools/check_wheel.py $(PIP_ARGS)

coverage: setup  ## Run the tests and measure what they reach; a floor is in pyproject.toml
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-report=xml

fuzz: setup  ## Fuzz every parser for 12 minutes, guided by coverage (atheris: Linux, Python 3.11 or newer)
	$(BIN)/python -m pip install -q atheris
	$(BIN)/python tools/fuzz.py --minutes 12 --json runs/fuzz.json

audit: setup  ## Look for known vulnerabilities in what is installed (asks PyPI's and OSV's network service)
	$(BIN)/python -m pip install -q pip-audit
	$(BIN)/python -m pip_audit --skip-editable

check: setup  ## Formatting, lint, types, and which room imports from which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-cache

format: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: setup  ## Write the JSON Schemas of our documents again, from the types
	$(VENV)/bin/python tools/write_schemas.py

architecture: setup  ## Draw docs/architecture.svg again from the code
	$(BIN)/python -m tools.architecture

docs: setup  ## Build the documents as a site in runs/site, links checked (mkdocs-material)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e '.[docs]'
	$(BIN)/python -m tools.cli_reference
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --strict --quiet
	@echo runs/site/index.html

bench: setup  ## Regenerate the tables and pictures of README and docs, as far as this machine can (see benchmarks/)
	$(BIN)/python -m benchmarks

train-demo: setup-export  ## Train the demo model again (needs a GPU; see tools/demo-model/)
	$(BIN)/python tools/train_demo_model.py --out runs/demo-model

clean:  ## Remove everything that was made here: .venv, caches, engines, calibration caches, runs
	rm -rf $(VENV) .venv-lowest build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage coverage.xml
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find engines calib_data -mindepth 1 ! -name README.md -delete
