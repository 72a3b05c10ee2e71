# SPDX-License-Identifier: Apache-2.0
# `make` alone prints what there is.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PY ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
WORKERS ?= 2
DATA ?= build/plane
T ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup check test walks fix serve demo bench proofs docs lock all clean

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Work on it

setup: $(STAMP) ## make .venv from the lock (again only when the lock or pyproject.toml changes)

$(STAMP): requirements/dev.txt pyproject.toml
	@[ -n "$(PY)" ] || { echo "setup: Checkvalve needs Python 3.11 or newer, and finds none. Install python3, or say where: make setup PY=/path/to/python3.11" >&2; exit 1; }
	@"$(PY)" -c 'import venv, ensurepip' 2>/dev/null || sh tests/parts/venv.sh "$(PY)"
	"$(PY)" -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch "$@"

check: $(STAMP) ## everything that reads: format, lint, types, floors
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(STAMP) ## format, repair what can be repaired, bring .importlinter up to date
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(BIN)/python -m tests.house.contracts --write

##@ Prove it

# Programs of the tree are started by the hundred: they are compiled once, whatever the environment says.
test walks proofs: export PYTHONDONTWRITEBYTECODE :=

test: $(STAMP) ## all tests [T=path: that one only] [T=quick: under two minutes, no real parts]
ifeq ($(T),quick)
	$(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal -m "not slow and not real_parts" --ignore=tests/proofs --ignore=tests/bench $(ARGS)
else ifneq ($(T),)
	@tests/parts/install.sh
	$(BIN)/python -m pytest $(T) $(ARGS)
else
	@tests/parts/install.sh
	$(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal --ignore=tests/proofs --ignore=tests/bench $(ARGS)
endif

walks: $(STAMP) ## whole stories, with real processes
	@tests/parts/install.sh
	$(BIN)/python -m pytest tests/walks $(ARGS)

proofs: $(STAMP) ## the full fault matrices; long, and resumable
	@tests/parts/install.sh
	@$(BIN)/python -m pytest tests/proofs --timeout=0 -o faulthandler_timeout=0 $(ARGS) || { code=$$?; \
		[ $$code = 5 ] && echo "proofs: there are none yet in tests/proofs; nothing was proved." || exit $$code; }

bench: $(STAMP) ## measure; results in build/bench.json
	@if [ -f tests/bench/__main__.py ]; then mkdir -p build && $(BIN)/python -m tests.bench $(ARGS); \
		else echo "bench: there is nothing to measure yet (tests/bench)."; fi

##@ See it

demo: $(STAMP) ## watch the promise being kept [ARGS=--exit: check and leave nothing behind; --stop: end it]
	$(BIN)/checkvalve demo $(ARGS)

serve: $(STAMP) ## a plane on this machine, with its data in build/plane [DATA=dir]
	@[ -f "$(DATA)/checkvalve.toml" ] || $(BIN)/checkvalve init --data "$(DATA)"
	$(BIN)/checkvalve serve --data "$(DATA)" $(ARGS)

##@ Keep it

docs: $(STAMP) ## generate the reference; fails if it was out of date
	@if [ -f tests/docs/__main__.py ]; then $(BIN)/python -m tests.docs $(ARGS); \
		else echo "docs: nothing is generated yet; docs/ is written by hand."; fi

lock: ## resolve requirements/*.txt anew from pyproject.toml [ARGS=--upgrade] (needs uv)
	@uv=$$(command -v uv || echo "$(BIN)/uv"); [ -x "$$uv" ] || { \
		echo "lock: needs uv (https://docs.astral.sh/uv/): pipx install uv" >&2; exit 1; }; \
	for extra in server agent cli dev; do echo "lock: requirements/$$extra.txt"; \
		"$$uv" pip compile -q --universal -p 3.11 --generate-hashes --no-emit-index-url --no-header $(ARGS) \
			--extra $$extra pyproject.toml -o requirements/$$extra.txt || exit 1; done

all: check test ## what must be green before a commit

clean: ## remove what was made, the virtual environment too
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
