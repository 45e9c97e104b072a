PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= runs/quickstart
DEVICE ?= cpu
WORKERS ?= 2
# Idle OpenMP threads sleep soon, so that two processes can share the cores.
export GOMP_SPINCOUNT ?= 1000
VLLM   := .venv-vllm
RELEASE := .venv-release
LLAMA  := build/xllamacpp-2026.10.11549
QUANTIZATION := build/bitsandbytes-0.50.2
UV     := build/uv-0.13.9

.PHONY: help install quickstart check fix test reference docs test-servers test-quantization test-vllm test-matrix bench faults fuzz dist clean
help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(VENV)/.installed  ## create the environment in .venv

quickstart: install  ## run a complete study on a built-in model and built-in pairs
	$(BIN)/trimtab quickstart --out $(OUT)

check: install   ## formatting, lint, types, architecture, vocabulary
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_vocabulary.py

fix: install     ## format, and apply automatic lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: install    ## the full suite, including slow tests, in WORKERS processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS)

reference: install  ## rewrite the settings tables and docs/schema/ from the settings classes, and notebooks from their pages
	$(BIN)/python tools/settings_tables.py
	$(BIN)/python tools/json_schemas.py
	$(BIN)/python tools/notebooks.py

docs: install    ## build the documentation site into build/site; needs no network
	NO_COLOR=1 $(BIN)/zensical build --clean --strict

$(LLAMA) $(QUANTIZATION):
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ $(subst -,==,$(@F))

test-servers: install $(LLAMA)  ## the openai engine against llama.cpp's server, installed into build/
	PYTHONPATH=$(LLAMA) $(BIN)/python -m pytest tests/engines/test_real_servers.py

# Not in .venv: peft would import bitsandbytes in every process, which takes over a second.
test-quantization: install $(QUANTIZATION)  ## models with 4-bit weights on a CPU, with bitsandbytes installed into build/
	PYTHONPATH=$(QUANTIZATION) $(BIN)/python -m pytest tests/models/test_quantization.py

$(VLLM)/.installed: pyproject.toml constraints-vllm.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-vllm.txt
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# CPU-only builds of torch are not on the default index: set PIP_EXTRA_INDEX_URL to an index that has them.
test-vllm: $(VLLM)/.installed  ## vLLM as engine and as server on a CPU, in its own environment (4 GB)
	$(VLLM)/bin/python -m pytest tests/engines/test_vllm.py tests/engines/test_vllm_student.py tests/engines/test_real_servers.py

$(UV):
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ $(subst -,==,$(@F))

# PYTHONS="3.12 /opt/python3.14/bin/python"; uv's configuration, such as UV_TORCH_BACKEND=cpu, says where packages come from.
test-matrix: install $(UV)  ## each Python of pyproject.toml with the oldest and the newest dependencies (6 GB each)
	$(BIN)/python tools/version_matrix.py --uv $(UV)/bin/uv --workers $(WORKERS) $(if $(PYTHONS),--pythons $(PYTHONS)) $(ARGUMENTS)

# PAIRS=file DEVICE=cuda ONLY="dpo_smollm2" ROUNDS=5 SHARE=0.25
bench: install   ## compare speed with TRL and transformers; run nothing else meanwhile
	$(BIN)/python -m benchmarks.run --device $(DEVICE) $(if $(PAIRS),--pairs $(PAIRS)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SHARE),--share $(SHARE))

# ARGUMENTS="--kills 5 --full-disks 0 --corruptions 0 --model smollm2-135m-instruct"
faults: install  ## kill runs, fill their disks (needs root) and damage their files; takes about an hour
	$(BIN)/python tools/fault_injection.py $(ARGUMENTS)

fuzz: install    ## read 10,000 malformed rows and 1,000 mutated studies
	$(BIN)/python tools/fuzzing.py $(ARGUMENTS)

dist:            ## build the source distribution and the wheel into build/dist, and check them
	test -x $(RELEASE)/bin/python || $(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check build==1.6.1 twine==7.0.0
	rm -rf build/dist
	PIP_CONSTRAINT=constraints.txt $(RELEASE)/bin/python -m build --outdir build/dist
	$(RELEASE)/bin/python -m twine check --strict build/dist/*

clean:           ## remove the environments and the runs
	rm -rf $(VENV) $(VLLM) $(RELEASE) $(LLAMA) $(QUANTIZATION) $(UV) build/matrix runs
