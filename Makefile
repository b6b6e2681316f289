# One front door. Every target sets up what it needs; see scripts/setup for what that is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
unexport PYTHONDONTWRITEBYTECODE  # what is compiled once is kept: it is most of the start of every process
PY := .venv/bin/python
DEMO ?= all
SHARE ?= 1

.PHONY: help setup setup-e2e demo run check test unit fast bench soak docs format clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## a virtualenv with everything that development needs
	@scripts/setup python

setup-e2e: ## and the real servers of the last floor (Prometheus, Alertmanager, Redis, Chromium)
	@scripts/setup python tests

demo: ## the story on real Prometheus and Alertmanager: make demo DEMO=all|dry-run|failure
	@scripts/setup python servers
	@$(PY) -m remediator demo --story $(DEMO)

run: ## the service, in dry-run on this machine, with the shipped rules
	@scripts/setup python
	@$(PY) -m remediator serve --config.file remediator.yml

check: ## format, lint, types, import contracts, docs: everything but the tests
	@scripts/setup python
	@scripts/check

unit: ## the lowest floor: pure values, no servers; what computes for seconds is left to fast and test
	@scripts/setup python
	@$(PY) -m pytest -q -m "not e2e and not heavy" -n 2 tests/unit

fast: ## every floor without servers, browsers and signals
	@scripts/setup python
	@$(PY) -m pytest -q -m "not e2e" -n 2 --maxschedchunk 4

test: ## the whole truth: check, every test, the demo
	@scripts/setup python tests
	@scripts/test

bench: ## throughput, latency, memory and matching, as ratios in one run
	@scripts/setup python load
	@$(PY) scripts/bench.py

soak: ## the test kit at its large sizes, hours; SHARE=0.01 for a hundredth
	@scripts/setup python tests
	@$(PY) scripts/soak.py --share $(SHARE)

docs: ## rebuild the generated reference pages
	@scripts/setup python
	@$(PY) scripts/reference.py --write
	@$(PY) scripts/coverage_page.py --write

format: ## format and fix what can be fixed
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

clean: ## remove everything that was built
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist data remediator-demo
