# Two commands for a fresh machine: `make run` opens the workstation, `make test` checks the project.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One process more than a machine of two cores has: a good part of the tests waits for servers and loads.
WORKERS ?= 3
LOCKED := -c constraints.txt
# A build of llama.cpp that runs on every x86-64 machine of the last ten years; it takes some minutes and is kept by pip.
export CMAKE_ARGS ?= -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON

.PHONY: run test test-all test-engines lint snapshots bench docs clean

run: $(VENV)/.installed
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN)/llmopt-tui; else exec $(BIN)/llmopt quantize bundled:base; fi

test: $(VENV)/.installed-dev lint
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

test-all: $(VENV)/.installed-dev lint
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m 'not engines and not gpu' --cov --cov-report=
	@echo "lines that the tests ran, not counting workers and servers in processes of their own: $$($(BIN)/coverage report --format=total) %"

test-engines: $(VENV)/.installed-dev
	$(BIN)/pytest -m engines

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.words

snapshots: $(VENV)/.installed-dev
	$(BIN)/pytest tests/tui --snapshot-update

bench: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks

docs: $(VENV)/.installed-dev
	$(BIN)/python -m tests.benchmarks.page

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "llmopt-tui needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install $(LOCKED) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install $(LOCKED) -e '.[dev]'
	@$(BIN)/pip install $(LOCKED) -e '.[llama-cpp]' || { [ -z "$$LLMOPT_REQUIRE_LLAMA" ] && echo 'without llama.cpp the tests that need it are skipped'; }
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info
