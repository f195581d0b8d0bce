# Every target does its own set-up: on a fresh machine, `make demo` and `make test` work in either order.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo demo-model segmentation-demo-model test test-fast test-peers lint format bench bench-gpu storm clean

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

segmentation-demo-model: install
	$(BIN)/python benchmarks/segmentation_demo_model.py

# Three files at a time, one more than the cores of a small machine, as many tests wait for processes; with more cores:
# make test PROCESSES=6. The order is that of tests/conftest.py: fast ones first, then the longest.
PROCESSES := 3
AT_A_TIME := --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
test: install
	$(BIN)/pytest $(AT_A_TIME)

# All that starts no process, neither a command nor a server, and builds no network.
test-fast: install
	$(BIN)/pytest $(AT_A_TIME) -m 'not processes and not tensorflow'

# The original PyTorch libraries take gigabytes, so they have an environment of their own. Where disk is short and
# nothing comes after, PEERS=.venv adds them to the first one.
$(PEERS)/.peers: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,peers]'
	touch $@

test-peers: $(PEERS)/.peers
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

# All that a machine with GPUs is to be asked, in one table; without one, the processor's part.
bench-gpu: install
	$(BIN)/python benchmarks/bench_gpu.py --output bench-gpu.md

# A hundred faults in one run; each seed is a different storm: make storm SEED=7. KIND=segmentation: of volumes.
SEED := 1
KIND := classification
storm: install
	PYTHONPATH=tests $(BIN)/python -m storm.storm --seed $(SEED) --kind $(KIND)

clean:
	rm -rf $(VENV) $(PEERS) nightread-home
