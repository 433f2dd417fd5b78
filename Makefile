# Trueline. `make` alone lists the targets.

PYTHON ?= python3
export PYTHON
# Tests run in a process for every core, four at most, for each may start a Postgres of its own. `make test WORKERS=` is one.
WORKERS ?= -n logical --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-bridges test-sdk check bench mutants wheel clean setup setup-dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.core ## Run the demo monitor on the traces that are shipped, and say where its report is
	.venv/bin/python scripts/run_monitoring.py demo

test: .venv/.dev ## Run every test (installs Chromium and PgBouncer for some of them when run as root)
	@scripts/ensure_programs
	.venv/bin/python -m pytest -q $(WORKERS)

test-bridges: ## Test the bridges to deepeval, ragas, autoevals and phoenix, each in an environment of its own
	@scripts/test_bridges

test-sdk: .venv/.dev ## Test the fake Langfuse server with Langfuse's own SDK, old and new, each in an environment of its own
	@scripts/peers
	.venv/bin/python -m pytest -q -m langfuse_sdk tests/langfuse

check: .venv/.dev ## The one door: format, lint, types, import contracts, tests
	@scripts/check

bench: .venv/.dev ## Measure speed, memory and size
	@for file in benchmarks/[a-oq-z]*/*.py; do echo "== $$file"; .venv/bin/python "$$file" || exit 1; done

mutants: .venv/.dev ## Change the code in small ways, and show which changes no test notices (`ROOMS=scoring COUNT=50`)
	.venv/bin/python scripts/mutants.py $(ROOMS) --count $(or $(COUNT),30)

wheel: .venv/.core ## Build the wheel into dist/, to install Trueline elsewhere (needs no network once the environment is there)
	.venv/bin/python -m hatchling build -t wheel -d dist

clean: ## Remove the environment and every cache; records and reports under data/ stay
	rm -rf .venv .venv-names .venv-bridges .venv-peers build dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

setup: .venv/.core ## Only make the environment that runs
setup-dev: .venv/.dev ## Only make the environment that tests

# Stamps: re-installed only when the lock or pyproject.toml changes. scripts/setup touches them.
.venv/.core: requirements/core.txt pyproject.toml
	@scripts/setup core

.venv/.dev: requirements/dev.txt pyproject.toml
	@scripts/setup dev
