# Everything that people and CI run. Each target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test chaos lint types bench format slurm-up slurm-down clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## train a model, deploy it, score files with bad rows in them, show what came of it
	$(BIN)/python examples/demo.py

test: $(STAMP)  ## run all tests, with the servers that they need
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

chaos: $(STAMP)  ## kill hosts, processes and clients at random, ROUNDS times (100), ON local or slurm, and compare
	$(BIN)/python tests/chaos --rounds $(or $(ROUNDS),100) --seed $(or $(SEED),1) --on $(or $(ON),local)

lint: $(STAMP)  ## check style, the direction of imports, and that scoring runs on Python 3.8
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --violations --no-tips --no-eval-annotations -t=3.8- dask_batch/scoring dask_batch/__init__.py

types: $(STAMP)  ## check types
	$(BIN)/mypy

bench: $(STAMP)  ## measure against peers; writes benchmarks/RESULTS.md
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

format: $(STAMP)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

slurm-up:  ## start a real SLURM on this machine, for tests and for trying things out (installs it, if need be)
	@scripts/slurm-up.sh

slurm-down:  ## take it down, with its jobs and files
	@scripts/slurm-down.sh

clean:  ## remove what the targets above made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .demo
