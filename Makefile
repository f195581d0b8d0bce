# Every target does its own set-up: on a fresh machine, `make demo` and `make test` work in either order.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo demo-model test test-peers lint format bench storm clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Nightread needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/nightread demo

demo-model: install
	$(BIN)/python benchmarks/demo_model.py

# Many tests wait for processes, so running two at a time takes little more than half as long.
test: install
	$(BIN)/pytest --numprocesses 2 --dist worksteal

# The original PyTorch libraries take gigabytes, so they have an environment of their own.
$(PEERS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,peers]'
	touch $@

test-peers: $(PEERS)/.installed
	$(PEERS)/bin/pytest tests/peers

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python benchmarks/bench.py

# A hundred faults in one run; each seed is a different storm: make storm SEED=7
SEED := 1
storm: install
	PYTHONPATH=tests $(BIN)/python -m storm.storm --seed $(SEED)

clean:
	rm -rf $(VENV) $(PEERS) nightread-home
