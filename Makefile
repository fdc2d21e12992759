# make app: the program in a browser.  make test: the tests, the quick ones first.
# make test-all: these, all cases where make test draws some, and long soaks.
# All set everything up themselves; the second time that takes no time.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec

# Where a machine says that no compiled file is kept, every process would compile all of them anew.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: app test test-all lint setup setup-dev bench clean

app: setup
	@echo "Opening Forget at http://localhost:8501 (stop with Ctrl-C)"
	@$(BIN)/streamlit run app.py

test: DRAWN := and not exhaustive
test-all: EXAMPLES := --hypothesis-profile exhaustive

test test-all: setup-dev lint
	@echo "Quick tests"
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow $(DRAWN)" $(EXAMPLES)
	@echo "Slow tests: real training, and a real browser"
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow $(DRAWN)" $(EXAMPLES) --timeout 900 \
		--ignore tests/test_parallel.py
	@echo "Slow tests that start processes of their own"
	@$(BIN)/python -m pytest -q -m "slow $(DRAWN)" --timeout 300 tests/test_parallel.py

lint: setup-dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo --no-cache >/dev/null || $(BIN)/lint-imports --no-logo --no-cache

setup: $(VENV)/.installed $(VENV)/.fetched

setup-dev: $(VENV)/.installed-dev $(VENV)/.fetched

# A virtual environment without its stamp was cut off half-way; pip goes on from there.
$(VENV)/.installed: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name one with: make app PYTHON=python3.11"; exit 1; }
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing packages (PyTorch is large: some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-dask.txt
	@echo "Installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

$(VENV)/.fetched: $(VENV)/.installed
	@echo "Fetching the data"
	@$(BIN)/python -m forget fetch
	@touch $@

bench: setup-dev
	@for name in train_speed forget_digits sisa certified faces identities shadows \
			resume false_alarms compare page_speed kills hard_times hostile sessions docker_steps \
			paper tilt adaptive leaks forgeries; do \
		$(BIN)/python -m bench.$$name | tee bench/results/$$name.txt; done

clean:
	rm -rf $(VENV)
