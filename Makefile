# Two targets set everything up from nothing but Python >= 3.11: `make demo` and `make test`.

PYTHON ?= python3
ARGS ?=
MINUTES ?= 10
# ARGS is for the command of one target: a test that calls make in another project must not inherit it.
unexport ARGS
MAKEOVERRIDES =
# What `make help` shows first: see the project work, prove a change, check it in seconds, read the pages.
MAIN := demo test lint docs
# For `docker build`, such as --network host.
DOCKER_ARGS ?=
# The tests mostly wait for processes that they have started, so that four at once suit two cores.
JOBS ?= 4
PARALLEL = --numprocesses $(JOBS) --dist worksteal
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Writes the hashed requirement files, which pip installs: requirements/README.md says why.
UV := uv==0.13.9
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
    --generate-hashes --no-header --no-annotate --quiet

.PHONY: help demo test test-all test-long test-compose test-mutants test-versions test-servers bench docs docs-serve \
    tables lint format lock audit image clean

help:  ## Show the targets
	@awk -F ':.*## ' -v main='$(MAIN)' \
	    'function show(name) { printf "  make %-14s %s\n", name, does[name]; shown[name] = 1 } \
	    /^[a-z-]+:.*## / { does[$$1] = $$2; names[++count] = $$1 } \
	    END { mains = split(main, first, " "); \
	        for (i = 1; i <= mains; i++) show(first[i]); \
	        print "\nMore targets:"; \
	        for (i = 1; i <= count; i++) if (!(names[i] in shown)) show(names[i]) }' $(MAKEFILE_LIST)

demo: .venv/.demo  ## Run everything against the sandbox, on embedded defaults (ARGS=--help for options)
	$(BIN)/python -m connect_worker demo $(ARGS)

test: .venv/.dev lint  ## Prove a change in under five minutes: lint, types, each promise once
	$(BIN)/pytest $(PARALLEL) $(ARGS)

test-all: .venv/.dev lint  ## Run every test, those that take minutes too; CI runs it each night
	$(BIN)/pytest $(PARALLEL) -m "not compose and not soak" $(ARGS)

test-long: .venv/.dev  ## Run a deployment for MINUTES (10) with every fault: nothing may grow
	SOAK_MINUTES=$(MINUTES) $(BIN)/pytest -m soak -s $(ARGS)

test-compose: .venv/.dev image  ## Bring docker-compose.yml up for real: three workers, two beats, a rollout
	$(BIN)/pytest -m compose $(ARGS)

test-mutants: .venv/.dev  ## Switch promises off one at a time: the fault suite must notice each
	$(BIN)/python -m tools.mutants $(ARGS)

test-versions: .venv/.dev  ## Run the fault suite with other versions of Celery, kombu and redis-py
	$(BIN)/python -m tools.try_versions $(ARGS)

test-servers: .venv/.dev  ## Run a part of the tests on each supported Redis, Valkey and RabbitMQ
	$(BIN)/python -m tools.try_servers $(ARGS)

bench: .venv/.bench  ## Measure the worker against its peers (ARGS=quick: in three minutes)
	$(BIN)/python -m bench $(ARGS)

docs: .venv/.docs  ## Build the documentation's site in build/site, and check all of it
	$(BIN)/python -m tools.site build

docs-serve: .venv/.docs  ## Show the site at http://127.0.0.1:8000 while its pages are written
	$(BIN)/python -m tools.site serve $(ARGS)

tables: .venv/.dev  ## Write the tables of settings and servers, and the alert rules, into their files
	$(BIN)/python -m tools.site tables

lint: .venv/.dev  ## Check style, format, imports, spelling and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/mypy

format: .venv/.dev  ## Put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: .venv/bin/python  ## Write requirements/*.txt from pyproject.toml (ARGS=--upgrade: newest versions)
	$(INSTALL) $(UV)
	$(COMPILE) $(ARGS) -o requirements/worker.txt
	$(COMPILE) $(ARGS) --extra sandbox -o requirements/sandbox.txt
	$(COMPILE) $(ARGS) --extra embedded -o requirements/demo.txt
	$(COMPILE) $(ARGS) --extra testing -o requirements/testing.txt
	$(COMPILE) $(ARGS) --extra dev -o requirements/dev.txt
	$(COMPILE) $(ARGS) --extra bench -o requirements/bench.txt
	$(COMPILE) $(ARGS) --extra docs -o requirements/docs.txt

audit: .venv/.dev  ## Look the locked packages up in the database of known faults (asks the network)
	for lock in requirements/*.txt; do \
	    $(BIN)/pip-audit --disable-pip --require-hashes --strict --progress-spinner off -r $$lock || exit 1; \
	done

image:  ## Build the container image
	docker build $(DOCKER_ARGS) --tag connect-worker .

clean:  ## Remove what the other targets made
	rm -rf .venv .cache build/pages build/site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "connect-worker needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo: requirements/demo.txt | .venv/bin/python
	$(INSTALL) --require-hashes -r requirements/demo.txt
	@touch $@

.venv/.bench: requirements/bench.txt | .venv/bin/python
	$(INSTALL) --require-hashes -r requirements/bench.txt
	@touch $@ .venv/.demo

# With the development environment, if it is there: neither takes the other's packages away.
.venv/.docs: requirements/docs.txt | .venv/bin/python
	$(INSTALL) --require-hashes -r requirements/docs.txt
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@ .venv/.demo
