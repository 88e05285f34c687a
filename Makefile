# The two commands of the README: `make demo` and `make test`. Everything lives in .venv; nothing outside it is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Three processes for two cores: many tests wait for worker processes or for a frame.
PYTEST_FLAGS ?= -n 3

.PHONY: demo test test-slow install lint clean

demo: $(VENV)/.installed
	@$(BIN)/odyssey demo $(DEMO_FLAGS)

test: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest tests -m "not slow" $(PYTEST_FLAGS)

# Whole studies, kills, damage and full disks, several processes a run: what takes many seconds each.
test-slow: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest tests -m slow $(PYTEST_FLAGS)

install: $(VENV)/.installed

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check . && $(BIN)/lint-imports

# Editable, so a checkout is its own installation; constraints.txt pins what was tested together.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "odyssey needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) odyssey-workspace
