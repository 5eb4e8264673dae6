# `make demo` and `make test` need Python 3.11 to 3.13, git and make, nothing else. PYTHON=... chooses another interpreter.
.PHONY: demo test slow lint clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
CHECK := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
FOUND := $(firstword $(foreach name,$(or $(PYTHON),python3.13 python3.12 python3.11 python3),$(shell $(name) -c '$(CHECK)' >/dev/null 2>&1 && echo $(name))))
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

demo: $(VENV)/.installed
	$(BIN)/imam-sim demo

test: $(VENV)/.installed-with-test-tools
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 $(PYTEST)

slow: $(VENV)/.installed-with-test-tools
	$(BIN)/python -m pytest -m slow $(PYTEST)

lint: $(VENV)/.installed-with-test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
ifeq ($(FOUND),)
	@found=$$($(or $(PYTHON),python3) --version 2>/dev/null) || found=none; echo "imam-sim needs Python 3.11, 3.12 or 3.13 (found: $$found): install one, or say which with make PYTHON=/path/to/python3" >&2; exit 1
endif
	@$(FOUND) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(FOUND) cannot make virtual environments: install its venv package (Debian and Ubuntu: apt install $$($(FOUND) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'))" >&2; exit 1; }
	@echo "making $(VENV) with $$($(FOUND) --version)"
	@rm -rf $(VENV)
	@$(FOUND) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing imam-sim and what it needs into $(VENV) (a minute or two)"
	@$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-with-test-tools: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing imam-sim, what it needs and the test tools into $(VENV) (a minute or two)"
	@$(PIP_INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.installed
