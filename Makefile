# Every target sets up what it needs: Python 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# requirements/base-lock.txt installs what the product runs, without the tools of tests and gate.
LOCK ?= requirements/lock.txt
TORCH := $(shell grep '^torch==' requirements/base.in)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUNBUFFERED = 1
export HF_HUB_DISABLE_TELEMETRY = 1
export DO_NOT_TRACK = 1
# Compiled modules are kept whatever the caller's environment says: dozens of processes load the same ones.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup assets browser demo demo-model test test-postgresql check audit format bench real-model soak docs lock screenshots clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(VENV)/.installed node_modules/.installed  ## install everything into this checkout (.venv, node_modules)

# Everything by its hash but torch, whose builds differ by machine: by its version, first and without dependencies, so
# that none comes in unhashed; at the end with what only this machine's build of it needs.
$(VENV)/.installed: $(LOCK) requirements/base.in pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Cutlayer needs Python 3.11 or newer; name it with: make PYTHON=python3.11 …")'
	@echo "Installing Cutlayer into this folder; the first time takes about five minutes and 2 GB of disk, or more with NVIDIA's libraries."
	@echo "1/5  a Python environment in $(VENV) (seconds)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "2/5  PyTorch (750 MB on the disk, or more with NVIDIA's libraries; one to three minutes)"
	@$(PY) -m pip install --quiet --no-deps $(TORCH)
	@echo "3/5  $$(grep -c '==' $(LOCK)) further packages, checked by their hashes (1.2 GB on the disk; one to two minutes)"
	@$(PY) -m pip install --quiet --no-deps --require-hashes -r $(LOCK)
	@echo "4/5  what this machine's PyTorch needs, and Cutlayer itself (seconds; minutes with NVIDIA's libraries)"
	@$(PY) -m pip install --quiet $(TORCH)
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@$(PY) -m pip check
	@touch $@

node_modules/.installed: package.json package-lock.json | $(VENV)/.installed
	@echo "5/5  styles and scripts of the pages in node_modules (113 MB on the disk; half a minute)"
	@if command -v npm >/dev/null 2>&1; then npm ci $(NPM_ARGS) --no-audit --no-fund --loglevel=error; \
	 else $(PY) -m pip install --quiet --no-deps --require-hashes -r requirements/node-lock.txt && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/npm ci $(NPM_ARGS) --no-audit --no-fund --loglevel=error; fi
	@touch $@

assets: node_modules/.installed  ## install the front-end assets alone

browser: setup  ## install the browser that the browser tests drive
	@$(PY) -m tests.e2e.browser

demo: setup  ## run the main job: three organisations, four process groups, one run (ARGS="--once --json FILE" for machines)
	@$(PY) -m demo $(ARGS)

demo-model: setup  ## pre-train the demo's base model again, from its seed
	$(PY) -m demo.pretrain $(ARGS)

# Side by side, one process more than cores; tests of the one real system stay together (conftest.py). One thread of
# torch in each, since the cores are taken. The page tools need the node of .venv/bin where the system has none.
test: setup browser  ## run every test, and beside them the hub's once more on PostgreSQL
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" OMP_NUM_THREADS=1 $(PY) -m tests.suite $(ARGS)

test-postgresql: setup  ## run the hub's tests on PostgreSQL alone (ARGS="webapp/runs -x")
	OMP_NUM_THREADS=1 $(PY) -m tests.postgresql $(ARGS)

check: setup  ## the quality gate
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(PY) -m mypy splitcore processes interface workers webapp demo supply_chain tests/benchmarks tests/soak
	$(VENV)/bin/djlint templates workers/console/templates --check --quiet
	$(VENV)/bin/djlint templates workers/console/templates --lint --quiet
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run

audit: setup  ## ask for known vulnerabilities of what is pinned; write the bill of materials (var/sbom.cdx.json)
	@$(PY) -m supply_chain.audit

format: setup  ## put the code into its form
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	-$(VENV)/bin/djlint templates workers/console/templates --reformat --quiet

bench: setup  ## measure, as ratios within one run
	$(PY) -m tests.benchmarks $(ARGS)

real-model: setup  ## make the folder of a small real language model, for benchmarks (SmolLM2-135M, 270 MB in var/models)
	@$(PY) -m tests.benchmarks.real_model

soak: setup  ## run and kill for a while; memory and descriptors must stay flat (ARGS="--minutes 3", default 20)
	@$(PY) -m tests.soak $(ARGS)

docs: setup  ## write the generated pages: configuration, model types, operations, promises, flows, licences
	$(PY) -m docs.generate

screenshots: setup browser  ## take the pictures of every page into screenshots/
	$(PY) -m tests.e2e.screenshots $(ARGS)

lock:  ## write the lock files anew from requirements/*.in (ARGS=--keep: add what is new, change no pin)
	$(PYTHON) -m venv var/lock && var/lock/bin/python -m supply_chain.lock $(ARGS)

clean:  ## remove what the targets made
	rm -rf $(VENV) node_modules var staticfiles
