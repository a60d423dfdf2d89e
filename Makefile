# The contributor's index: `make help` lists the targets.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync

.PHONY: help setup spark demo demo-replay test test-slow check bench format
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 12

.uv/bin/uv:
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv

setup: $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv) .venv/.synced ## Make the project's own environment

.venv/.synced: uv.lock pyproject.toml
	@$(UV) sync --quiet --frozen --python $(PYTHON) && touch $@

spark: .spark/.ready ## Install Apache Spark beside the project, for the test that reads the lake with it (400 MB; needs Java)

.spark/.ready: tests/conformance/spark_reader.py | setup
	@$(UV) venv --quiet --clear --python $(PYTHON) .spark
	@$(UV) pip install --quiet --python .spark/bin/python "pyspark>=4.0,<4.1"
	@.spark/bin/python tests/conformance/spark_reader.py >.spark/fetch.log 2>&1 || { cat .spark/fetch.log; false; }
	@touch $@

demo: setup ## Run the main job end to end: events in, profiles, audiences, messages and files out
	@$(RUN) headrace demo

demo-replay: setup ## Replay a click-stream on a manual clock: make demo-replay EVENTS=FILE.csv [PEOPLE=25]
	@$(RUN) headrace demo --events $(EVENTS) $(if $(PEOPLE),--people $(PEOPLE))

test: setup ## Run the tests (under five minutes)
	@$(RUN) pytest -q -n 2 -m "not slow"

test-slow: setup ## Run the tests that take minutes: crashes and faults of the running server
	@$(RUN) pytest -q -m slow

check: setup ## What the gate runs without services: style, types, import contracts, spelling
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) lint-imports --config pyproject.toml
	@$(RUN) mypy
	@$(RUN) codespell src tests docs README.md benchmarks

format: setup ## Format the code and fix what can be fixed by machine
	@$(RUN) ruff check --fix . && $(RUN) ruff format .

bench: setup ## Measure the budgets; JSON and a table
	@$(RUN) python -m benchmarks
