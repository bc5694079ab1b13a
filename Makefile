# Each target does its own set-up: a checkout, python3, make and git are enough.
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
export PYTHON
PY := .venv/bin/python
# Tests that run at once: of the engine, which compute, and of all that talks, which mostly waits.
WORKERS ?= 2
TALKERS ?= 6
export TALKERS
TALKING := tests/transports tests/interop tests/cost

.PHONY: demo test pythons test-all check lint docs bench cost mutation clean

demo:
	@tools/setup.sh cli
	$(PY) demo/demo.py

test:
	@tools/setup.sh dev
	@tools/peers.sh
	$(PY) -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report= tests $(TALKING:%=--ignore=%)
	$(PY) -m coverage report --include='dicos_proto/*' --fail-under=100
	$(PY) -m pytest -n $(TALKERS) --dist worksteal $(TALKING)

# Under every other CPython that is here, but for the tests with other implementations and those of costs.
pythons:
	@tools/pythons.sh

test-all: test pythons

lint:
	@tools/setup.sh dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy --strict
	$(PY) -m tools.english

check: lint
	@tools/peers.sh
	$(PY) -m pytest -n $(TALKERS) --dist worksteal -W error

docs:
	@tools/setup.sh dev
	@tools/setup.sh docs
	$(PY) -m tools.docgen
	$(PY) -m mkdocs build --strict --quiet
	@echo "build/docs/index.html"

bench:
	@tools/setup.sh dev
	@tools/peers.sh
	$(PY) -m benchmarks

# What hostile peers can take, measured anew, for docs/limits.md.
cost:
	@tools/setup.sh dev
	$(PY) -m tests.cost

mutation:
	@tools/setup.sh dev
	$(PY) tools/mutation.py

clean:
	rm -rf .venv .venv-* build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
