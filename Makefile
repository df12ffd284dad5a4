# Every target works on a machine that has only Python (3.10 to 3.13) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_DIR ?= runs/demo
# Warnings and errors only, of TensorFlow.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test test-slow lint format bench clean
help:
	@echo "make demo       the whole experiment on rendered videos -> $(DEMO_DIR)/"
	@echo "make test       the test suite (under 10 minutes on 2 cores)"
	@echo "make test-slow  the tests that take longer"
	@echo "make lint       ruff check and format check"
	@echo "make format     ruff fixes and formats in place"
	@echo "make bench      every benchmark at a small size"

# One stamp per set of extras; a changed setup.py installs again.
$(VENV)/installed: setup.py pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/python -m experiments.run_pipeline \
	    --config=experiments/configs/synthetic.py --workdir=$(DEMO_DIR)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: $(VENV)/installed-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.label_maps --pairs=10_000_000
	$(BIN)/python -m benchmarks.input_pipeline --clips=512

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
