# make demo   sets everything up and runs the main job on a real pool
# make test   sets everything up and passes the tests
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
# Reinstall only when something that is built or installed has changed.
INPUTS := $(shell find pool kernels -type f -not -path '*/__pycache__/*' 2>/dev/null) meson.build pyproject.toml

.PHONY: demo test quick lint bench clean

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py

test: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/mypy -p uberblock.pool -p uberblock.kernels
	$(BIN)/python -m pytest -n $(JOBS) -q

quick: $(VENV)/tested
	$(BIN)/python -m pytest -n $(JOBS) -q -m "not judge and not pools and not slow"

lint: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/mypy -p uberblock.pool -p uberblock.kernels

bench: $(VENV)/tested
	$(BIN)/python -m bench

$(VENV)/installed: $(INPUTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	touch $@

$(VENV)/tested: $(INPUTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[test]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist demo
