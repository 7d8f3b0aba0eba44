# Two commands are all that a new machine needs: make quickstart, make test.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(INSTALLED)  ## Make .venv from the locked versions

$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Error: Python 3.10, 3.11 or 3.12 is needed; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing the locked packages into .venv (a minute or two)"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

quickstart: $(INSTALLED)  ## Populate, serve, classify the example pictures, load-test, report
	@$(BIN)/python -m scripts.quickstart

test: $(INSTALLED)  ## Run all tests: unit, wire, and on a real Triton
	@$(BIN)/python -m pytest

slowtest: $(INSTALLED)  ## Run the tests that make test leaves out because they take long (8 minutes)
	@$(BIN)/python -m pytest -m slow

zoo: $(INSTALLED)  ## Take every model the whole way, measure, and write docs/zoo.md (an hour)
	@$(BIN)/python -m scripts.zoo --out docs

bench: $(INSTALLED)  ## Compare speeds with what others would use, see what grows how, and write docs/benchmarks.md (an hour)
	@$(BIN)/python -m bench --out docs

chaos: $(INSTALLED)  ## Break servers, networks, disks and pictures on purpose, and write docs/reliability.md (16 minutes)
	@$(BIN)/python -m chaos --out docs

check: $(INSTALLED)  ## Format, lint, strict types, configurations equal to the zoo
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m scripts.render --check

wheel: $(INSTALLED)  ## Try the SDK's wheel on Python 3.10 to 3.13 with the lowest and the newest dependencies (needs uv)
	@$(BIN)/python -m scripts.wheel

lock:  ## Resolve the locked versions anew, also the images' (needs uv)
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --group dev pyproject.toml --output-file requirements.lock
	for image in gpu:3.10 server:3.11; do \
		uv pip compile --quiet --python-version $${image#*:} --python-platform x86_64-manylinux_2_35 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --constraint requirements.lock \
			--group $${image%:*} pyproject.toml --output-file deploy/requirements-$${image%:*}.txt || exit 1; done

SERVICE := pypi
AUDITED := requirements.lock $(wildcard deploy/requirements-*.txt) deploy/locust/requirements.txt

audit:  ## Look every locked package up among known vulnerabilities (needs pip-audit, and PyPI or SERVICE=osv)
	@command -v pip-audit >/dev/null || { echo "Error: pip-audit is needed: pipx install pip-audit" >&2; exit 1; }
	@for file in $(AUDITED); do \
		echo "$$file"; \
		pip-audit --strict --disable-pip --require-hashes --progress-spinner off --vulnerability-service $(SERVICE) \
			--requirement $$file 2> >(tail -n 1 >&2) && continue; \
		echo "Error: $$file has a package with a known vulnerability, or $(SERVICE) can't be asked (PyPI itself; SERVICE=osv:" \
			"OSV); it is said above" >&2; exit 1; \
	done

clean:  ## Remove what was installed and built; weights stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist reports

.PHONY: help setup quickstart test slowtest zoo bench chaos check wheel lock audit clean
