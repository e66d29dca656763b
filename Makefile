# The only task list: `make` prints it.
.DEFAULT_GOAL := help
.PHONY: help setup torch ray demo test check bench docs lock clean

# The first interpreter that is new enough; `make PYTHON=/path/to/python test` chooses another.
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$candidate"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.afterfit-ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

setup: $(STAMP) ## an environment with what the locks name, once and again when they change

$(STAMP): pyproject.toml requirements/dev.lock
	@test -n "$(PYTHON)" || { \
		echo "Afterfit needs Python 3.11 or newer, and none was found as python3, python3.13, python3.12 or python3.11." >&2; \
		echo "  fix: install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# torch by its version alone, and what needs it after it: see docs/decisions/0023.
TORCH := torch==2.13.0
TORCH_STAMP := $(VENV)/.afterfit-torch-ready

torch: $(TORCH_STAMP) ## PyTorch beside it, for the tests of networks

$(TORCH_STAMP): $(STAMP) requirements/torch.lock
	$(PIP) install --quiet --require-hashes -r requirements/torch.lock
	$(PIP) install --quiet "$(TORCH)"
	$(PIP) install --quiet --no-deps torch-pruning==1.6.1
	@touch $@

# Not beside the others: 600 MB that nothing else needs. It is also what the image for Ray has.
RAY_VENV := .venv-ray
RAY_STAMP := $(RAY_VENV)/.afterfit-ready
DATA := src/afterfit/package/data

ray: $(RAY_STAMP) ## Ray in .venv-ray; then AFTERFIT_RAY=.venv-ray/bin/python make test ARGS=tests/serve/ray

$(RAY_STAMP): $(DATA)/serving.lock $(DATA)/ray.lock
	@test -x $(RAY_VENV)/bin/python || $(PYTHON) -m venv $(RAY_VENV)
	$(RAY_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		-r $(DATA)/serving.lock -r $(DATA)/ray.lock
	$(RAY_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -e .
	@touch $@

demo: $(STAMP) ## the whole line on sample data, from a model to a page
	$(BIN)/afterfit demo

test: $(STAMP) ## the tests; options with ARGS="-k name"
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(STAMP) ## lint, format, types and the import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## the hot paths; results as JSON with the machine noted
	@set -e; for script in bench/*.py; do \
		test -e "$$script" || { echo "no benchmark in bench/" >&2; exit 2; }; \
		echo "$$script"; $(BIN)/python "$$script"; done

docs: $(STAMP) ## check that links between pages lead somewhere and every decision is listed
	$(BIN)/python -m pytest -q tests/architecture/test_docs.py

lock: $(STAMP) ## the locks anew, from pyproject.toml and requirements/serving.in
	$(PIP) install --quiet pip-tools==7.6.2
	$(PIP_COMPILE) --extra=dev --extra=lightgbm --extra=xgboost --output-file=requirements/dev.lock pyproject.toml
	$(PIP_COMPILE) --output-file=requirements/torch.lock requirements/torch.in
	$(PIP_COMPILE) --output-file=src/afterfit/package/data/serving.lock requirements/serving.in
	$(PIP_COMPILE) --output-file=src/afterfit/package/data/ray.lock requirements/ray.in

clean: ## caches and build outputs; keeps .venv and .afterfit
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache afterfit-demo
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
