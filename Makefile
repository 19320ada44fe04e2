# Every target makes the virtual environment that it needs; PYTHON picks the interpreter (3.11 or later).
PYTHON ?= python3
VENV ?= .venv
RUNS ?= 1
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: bench compose-check demo test check coverage pictures e2e examples format lock clean

demo: $(STAMP)        ## the gateway with an embedded sample backend and a sample mail every few seconds
	$(BIN)/milter-gateway demo

test: $(STAMP)        ## all tests, on all processors
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile

bench: $(STAMP)       ## measures beside other milters, and writes docs/performance.md; ten minutes a run, RUNS=3 for three
	$(BIN)/python -m benchmarks --write --runs $(RUNS)

pictures: $(STAMP)    ## the inspector's pictures in docs/pictures, with Chromium
	$(BIN)/python -m tests.browser.pictures

e2e: $(STAMP)         ## the tests with real MTAs alone; prints the matrix
	$(BIN)/python -m pytest tests/e2e

compose-check:        ## docker-compose.yml built and run for real; needs Docker, or root and Debian's docker.io
	.ci/compose

check: $(STAMP)       ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(STAMP)    ## all tests with branch coverage, module by module
	$(BIN)/coverage erase
	$(BIN)/python -m pytest --cov=gateway --cov-report=term-missing

examples: $(STAMP)    ## the files under docs/ that are made from the code
	PYTHONPATH=.:tests $(BIN)/python tests/docs/golden_files.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(STAMP)        ## new versions into requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-annotate --no-header --upgrade --group dev pyproject.toml -o requirements.lock

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(STAMP)

clean:
	rm -rf $(VENV) .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
