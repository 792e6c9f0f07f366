# What a fresh machine needs:
#   make mvkt   the main job on the embedded cohort: teacher, student, table
#   make test   the tests, without the longest
#   make docs   the site, in docs/_build
# VENV=path reuses an environment that has ecgzoo's dependencies.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.ecgzoo-installed

.PHONY: mvkt test test-fast test-long test-timm lint docs bench students picture faults paper-quick clean

mvkt: $(INSTALLED)
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no recipes/mvkt.py --output runs/mvkt --resume

# two workers of one thread each use two cores better than one worker of two
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not slow and not long"

# what `make test` leaves out: more than half a minute a test, or the code of other tests at another size
test-long: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m long

# every network of timm that is listed, compared with timm's own
test-timm: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist load -m long tests/backbones/test_timm.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# reads no network, and stops at the first name or link that leads nowhere
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -b html -W --keep-going -n -q docs docs/_build
	@echo docs/_build/index.html

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.engine_overhead
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.clt
	$(BIN)/python -m benchmarks.inference
	$(BIN)/python -m benchmarks.startup

# the table of packaged models, measured, and where it stands: README.md, recipes/README.md
students: $(INSTALLED)
	$(BIN)/python -m benchmarks.students

# docs/picture.png, which README.md shows, and the pictures of docs/show.md
picture: $(INSTALLED)
	$(BIN)/python -m benchmarks.picture

# kills, full disks, files of every wrong form: a quarter of an hour
faults: $(INSTALLED)
	$(BIN)/python -m benchmarks.faults

# PTBXL=DIR for real records; the simulated cohort without
paper-quick: $(INSTALLED)
	$(BIN)/python -m benchmarks.paper.grid --quick $(if $(PTBXL),--root $(PTBXL))

clean:
	rm -rf runs docs/_build docs/_generated .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]" $(addprefix --editable ,$(wildcard plugins/*))
	touch $@
