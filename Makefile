PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OUT    ?= runs/quickstart
DEVICE ?= cpu
VLLM   := .venv-vllm
LLAMA  := build/xllamacpp-2026.10.11549

.PHONY: help install quickstart check fix test test-servers test-vllm bench clean
help:            ## what can be made
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(VENV)/.installed  ## the environment in .venv

quickstart: install  ## a whole study on the models and pairs that ship
	$(BIN)/trimtab quickstart --out $(OUT)

check: install   ## formatting, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports_point_down.py

fix: install     ## format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: install    ## the whole suite, slow tests included
	$(BIN)/python -m pytest

$(LLAMA):
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ $(subst -,==,$(@F))

test-servers: install $(LLAMA)  ## the openai engine against llama.cpp's server, which is fetched into build/
	PYTHONPATH=$(LLAMA) $(BIN)/python -m pytest tests/engines/test_real_servers.py

$(VLLM)/.installed: pyproject.toml constraints-vllm.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-vllm.txt
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# torch for processors alone is not on the common index: set PIP_EXTRA_INDEX_URL to one that has such builds.
test-vllm: $(VLLM)/.installed  ## vLLM as engine and as server, on a processor, in an environment of its own (4 GB)
	$(VLLM)/bin/python -m pytest tests/engines/test_vllm.py tests/engines/test_real_servers.py

# PAIRS=file DEVICE=cuda ONLY="dpo_smollm2" ROUNDS=5 SHARE=0.25
bench: install   ## Trimtab beside TRL and transformers; nothing else may run
	$(BIN)/python -m benchmarks.run --device $(DEVICE) $(if $(PAIRS),--pairs $(PAIRS)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SHARE),--share $(SHARE))

clean:           ## remove the environments and the runs
	rm -rf $(VENV) $(VLLM) $(LLAMA) runs
