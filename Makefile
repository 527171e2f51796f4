# The one door: every way to set up, run, test and measure yolotrt starts here.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Extra arguments for pip, such as a constraints file: make setup PIP_ARGS="-c constraints.txt"
PIP_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-export demo test test-export check format bench clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## Make .venv with yolotrt and its development tools (no torch, no GPU needed)

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e '.[dev]'
	@touch $@

setup-export: $(VENV)/.ready-export  ## Add what exporting weights needs (ultralytics and torch)

$(VENV)/.ready-export: $(VENV)/.ready
	$(BIN)/python -m pip install -q $(PIP_ARGS) -e '.[dev,export]'
	@touch $@

demo: setup  ## Set up and run the main job: 4K scene, calibrate, build, bench, pictures
	$(BIN)/yolotrt demo

test: setup  ## Set up and run the tests (export tests are skipped, visibly, without torch)
	$(BIN)/python -m pytest

test-export: setup-export  ## Run the tests that need torch, and those on real data (YOLOTRT_TEST_DATA)
	$(BIN)/python -m pytest -m 'export or real'

check: setup  ## Formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## Regenerate the figures that the README quotes (see bench/)
	$(BIN)/python -m bench

clean:  ## Remove everything that was made here: .venv, caches, engines, calibration caches, runs
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find engines calib_data -mindepth 1 ! -name README.md -delete
