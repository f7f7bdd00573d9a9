# `make` lists the targets.  Every one sets up what it needs first: see .ci/setup.

# Debian's own Python, which a Debian server runs: built with profile and link-time optimisation, as many others
# that may come first on the PATH are not.
PYTHON ?= /usr/bin/python3
export PYTHON

help:
	@echo "make setup   Debian packages that are missing, and .venv with the locked Python packages"
	@echo "make demo    a mail system on this machine, with one mail for each rule (ONCE=1: then end)"
	@echo "make test    linters, types and tests: all that CI runs"
	@echo "make lint    linters and types alone"
	@echo "make bench   the measurements behind every speed claim"
	@echo "make clean   remove .venv and whatever was built"

setup:
	@.ci/setup

demo: setup
	.venv/bin/python -m tests.lab.demo $(if $(ONCE),--once)

test: lint
	.venv/bin/pytest

lint: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

bench: setup
	.venv/bin/python -m benchmarks.run

clean:
	rm -rf .venv build dist benchmarks/build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find milter -name '*.so' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup demo test lint bench clean
