# Casemate's two commands are `make demo` and `make test`.  Each prepares what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= /usr/bin/python3.11
# The platform's unprivileged users must be able to read the environment, and a
# checkout may lie under a folder that they cannot enter: so it is kept apart.
VENV ?= /opt/casemate/venv-$(shell pwd | sha256sum | cut -c1-12)
BIN := $(VENV)/bin
export CASEMATE_VENV := $(VENV)

.PHONY: help
help: ## say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: system
system: ## install the system packages that are missing, or say which are
	@scripts/system-packages runc nftables iproute2 python3.11 python3.11-venv ca-certificates

.PHONY: system-test
system-test: system
	@scripts/system-packages nodejs e2fsprogs

.PHONY: install
install: system ## make the locked environment and install Casemate into it
	@scripts/environment "$(PYTHON)" "$(VENV)" requirements/dev.txt

.PHONY: demo
demo: install ## start the platform on a fresh folder and show the main job
	@"$(BIN)/python" demo/run.py --casemate "$(BIN)/casemate"

.PHONY: lint
lint: install ## ruff, mypy, import contracts, unused dependencies
	@echo "== ruff"; "$(BIN)/ruff" check . && "$(BIN)/ruff" format --check .
	@echo "== mypy"; "$(BIN)/mypy"
	@echo "== import contracts"; PYTHONPATH=src "$(BIN)/lint-imports" --no-cache
	@echo "== dependencies"; "$(BIN)/deptry" src

.PHONY: test
test: system-test lint ## everything that CI runs
	@echo "== tests"; "$(BIN)/pytest"

.PHONY: torture
torture: system-test install ## kill it 500 times, cut its power 50 times, count; writes docs/torture.md
	@tests/torture/run "$(BIN)" --page $(TORTURE)

.PHONY: bench
bench: install ## measure, beside what a user would use instead; writes docs/performance.md
	@command -v npm >/dev/null || scripts/system-packages nodejs npm
	@scripts/system-packages redis-tools
	@benchmarks/prepare "$(PYTHON)" "$(VENV)-bench"
	@benchmarks/run "$(BIN)"

.PHONY: docs
docs: system ## build the documents into docs/_build
	@scripts/environment "$(PYTHON)" "$(VENV)-docs" requirements/docs.txt
	@"$(VENV)-docs/bin/sphinx-build" -q -n -W -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

.PHONY: lock
lock: install ## lock the newest versions that are at least a week old
	@scripts/lock "$(BIN)/uv"

.PHONY: clean
clean: ## remove the environment and what the tools left
	rm -rf "$(VENV)" "$(VENV)-docs" .mypy_cache .ruff_cache .pytest_cache .hypothesis docs/_build
