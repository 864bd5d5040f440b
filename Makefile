# Everything a newcomer or CI types. `make demo` and `make test` need Python 3.11+, make and git only.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
BIN := .venv/bin
export PYTHONUNBUFFERED := 1

.PHONY: help setup demo test test-slow lint types format bench tour results clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready  ## Install into .venv; does nothing when it is current

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Assay needs Python 3.11 or later; name one with PYTHON=..."; exit 1; }
	@echo "Setting up .venv (one to three minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]' \
	  | sed -un 's/^Collecting \([^ ]*\).*/  \1/p'
	@$(BIN)/python -c 'import assay' && touch $@

demo: setup  ## Flood risk of a real landscape at tiny, with a report
	$(BIN)/assay run climate_impact --preset tiny

test: setup  ## All tests but the slow ones
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: setup  ## The tests that take minutes
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest -m slow

lint: setup  ## Style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## Static types
	$(BIN)/pyright --warnings

format: setup  ## Put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup .venv-bench/.ready  ## Side by side with the peers, in one run
	.venv-bench/bin/python benchmarks/core.py
	.venv-bench/bin/python benchmarks/climate_impact.py
	.venv-bench/bin/python benchmarks/denoising.py
	.venv-bench/bin/python benchmarks/mixture_of_experts.py
	.venv-bench/bin/python benchmarks/surgical_skill.py
	.venv-bench/bin/python benchmarks/policy_composition.py
	.venv-bench/bin/python benchmarks/product_of_experts.py

.venv-bench/.ready: pyproject.toml constraints.txt benchmarks/requirements.txt benchmarks/without_dependencies.txt
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --disable-pip-version-check -c constraints.txt \
	  -e '.[all]' -r benchmarks/requirements.txt | sed -un 's/^Collecting \([^ ]*\).*/  \1/p'
	@.venv-bench/bin/python -m pip install --disable-pip-version-check -q --no-deps \
	  -r benchmarks/without_dependencies.txt
	@touch $@

tour: setup  ## Every system's main study at tiny, on one page
	$(BIN)/assay tour

results: setup  ## Run the small presets and commit what came out to the paper cards
	$(BIN)/python -m assay.app.results

clean:  ## Remove what was built and cached; stores are kept
	rm -rf .venv .venv-bench dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
