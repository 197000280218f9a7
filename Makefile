# The project's commands. Each sets up what it needs first; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help setup setup-train demo demo-containers test test-fast test-slow test-long test-sanitize lint format bench bench-crypto lock protos docs clean

PY := .venv/bin/python
STEP := tools/step.sh
WORKERS ?= 2
# Not `python -m pytest`: that would put the root, and with it every room, on the path a second time.
PYTEST := .venv/bin/pytest -q -n $(WORKERS) --dist loadfile

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup:  ## environment, packages and native kernels (nothing to do when nothing changed)
	@tools/setup.sh

setup-train:  ## the same with torch, which neural networks run on
	@tools/setup.sh --train

demo: setup  ## three parties train a credit model on columns none of them shows the others
	@$(PY) -P -m parley.demo

demo-containers: setup  ## the same with every party in a container of its own
	@deploy/containers/run.sh

test: lint test-fast test-slow  ## lint, types, architecture and every test

test-fast: setup-train  ## the tests that take seconds
	@echo "Tests (fast tier)"
	@$(PYTEST) -m "not slow and not long and not e2e and not containers"

test-long: setup-train  ## what takes an hour or more: every protocol's hundred thousand changed messages
	@echo "Tests (the longest)"
	@.venv/bin/pytest -q -n $(WORKERS) --dist worksteal -m long

test-slow: setup-train  ## the long tests and those that start real daemons
	@echo "Tests (slow tier and daemons)"
	@.venv/bin/pytest -q -n $(WORKERS) --dist loadgroup -m "(slow or e2e) and not long and not containers"

test-sanitize: setup  ## native code under the address and undefined-behaviour sanitizers
	@tools/sanitize.sh

lint: setup  ## ruff, mypy --strict, import contracts, shell syntax
	@echo "Lint"
	@$(STEP) lint-ruff "ruff" .venv/bin/ruff check .
	@$(STEP) lint-mypy "mypy --strict" .venv/bin/mypy
	@$(STEP) lint-imports "who may import whom" .venv/bin/lint-imports --no-cache
	@$(STEP) lint-shell "shell scripts parse" bash -c 'for f in tools/*.sh deploy/containers/*.sh .ci/run; do bash -n "$$f"; done'

format: setup  ## ruff format over everything of ours
	@.venv/bin/ruff format .

bench: setup  ## side-by-side measurements; writes build/bench/platform.json and vertical.json
	@$(PY) -P benchmarks/bench_platform.py
	@$(PY) -P benchmarks/bench_vertical.py

bench-crypto: setup  ## the primitives against their yardsticks; writes build/bench/crypto.json
	@$(PY) -P benchmarks/bench_crypto.py

lock: setup  ## resolve pyproject.toml into requirements.lock (UPGRADE=1 takes newer versions)
	@tools/lock.sh

protos: setup  ## generate wire/pb from wire/proto
	@tools/protos.sh

docs: setup  ## the protocols' pages (docs/protocols) and declarations from the code
	@$(PY) -P -m parley.protocols.registry --export
	@$(PY) -P -m parley.protocols.catalogue --write docs/protocols

clean:  ## remove the environment and everything built
	@rm -rf .venv build dist
