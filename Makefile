# make setup · run · test · test-all · lint; each works from a fresh clone with Python 3.11+ and git.
PYTHON ?= python3
VENV := .venv
CIRCLE := $(VENV)/bin/circle
IDEA ?= Let every token see its neighbours without attention

.PHONY: run setup test test-all lint

run: setup
	$(CIRCLE) start --turbo --researcher catalogue "$(IDEA)"

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Circle needs Python 3.11 or newer.")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

test: setup
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "not long and not browser" --cov

test-all: setup
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal --cov

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	for skill in skills/*; do $(VENV)/bin/agentskills validate $$skill; done
