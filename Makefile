# Everything here makes its own virtual environment first; PYTHON names the interpreter to make it from.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test slow lint bench clean

# One thread: matrices this small gain nothing from more.
demo: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/ebmphys run experiments/demo.toml

test: $(READY)
	$(BIN)/lint-imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

slow: $(READY)
	$(BIN)/pytest -m slow

lint: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $(READY)

clean:
	find ebmphys tests -name "*.nb[ic]" -delete   # compiled kernels, which do not notice a change in a file they import
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
