# make demo   set up, and run the whole chain on generated drawings
# make test   set up, and run every test
# make quick  the tests but the slow ones
# make check  what the tests do not see: lint, format, types
# make docs   build the documentation site in docs/_build/html

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: install demo test quick check docs bench clean
.DELETE_ON_ERROR:

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,dask,web,cairo,crawl,train,onnx,pretrained,docs]"
	touch $@

demo: install
	@PATH="$(abspath $(BIN)):$$PATH" sh examples/demo.sh $(DEMO)

test: install
	$(BIN)/python -m pytest -n logical --dist worksteal

quick: install
	$(BIN)/python -m pytest -n logical --dist worksteal -m "not slow"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install
	$(BIN)/sphinx-build -q -W --keep-going -n -b html docs docs/_build/html

bench: install
	$(BIN)/python benchmarks/build.py
	$(BIN)/python benchmarks/raster.py
	$(BIN)/python benchmarks/entropy.py

clean:
	rm -rf $(DEMO) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
