# What a fresh machine needs:
#   make mvkt   the main job on the embedded cohort: teacher, student, table
#   make test   the whole suite
#   make docs   the site, in docs/_build
# VENV=path reuses an environment that has ecgzoo's dependencies.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.ecgzoo-installed

.PHONY: mvkt test test-fast lint docs bench faults paper-quick clean

mvkt: $(INSTALLED)
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no recipes/mvkt.py --output runs/mvkt --resume

# two workers of one thread each use two cores better than one worker of two
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# reads no network, and stops at the first name or link that leads nowhere
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -b html -W --keep-going -n -q docs docs/_build
	@echo docs/_build/index.html

bench: $(INSTALLED)
	$(BIN)/python benchmarks/engine_overhead.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/clt.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/startup.py

# kills, full disks, files of every wrong form: a quarter of an hour
faults: $(INSTALLED)
	$(BIN)/python benchmarks/faults.py

# PTBXL=DIR for real records; the simulated cohort without
paper-quick: $(INSTALLED)
	$(BIN)/python benchmarks/paper/grid.py --quick $(if $(PTBXL),--root $(PTBXL))

clean:
	rm -rf runs docs/_build docs/_generated .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]" $(addprefix --editable ,$(wildcard plugins/*))
	touch $@
