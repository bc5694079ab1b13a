# Each target does its own set-up: a checkout, python3, make and git are enough.
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
export PYTHON
PY := .venv/bin/python
# Tests that run at once: two of the engine's, which compute, while others wait for a peer.
WORKERS ?= 4
export WORKERS
# The tests start hundreds of interpreters: without compiled files each of them would compile its modules anew.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist worksteal

.PHONY: demo quick test pythons test-all check lint docs bench cost mutation fuzz fuzz-peers fuzz-score changelog clean

demo:
	@tools/setup.sh screen
	$(PY) demo/demo.py

# The inner loop: format, lint, types and the core, but for tests that are marked as slow.
quick: lint
	$(PY) -m pytest -n auto --dist worksteal -q -m "not slow" tests \
		--ignore=tests/transports --ignore=tests/interop --ignore=tests/cost

test:
	@tools/setup.sh dev
	@tools/peers.sh
	$(PYTEST) --cov --cov-report=
	$(PY) -m coverage report --include='dicos_proto/*' --fail-under=100

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
	$(PYTEST) -W error

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

# Fuzzes the project's own code for FOR seconds, on all processors.
FOR ?= 300
fuzz:
	@tools/setup.sh dev
	$(PY) -m dicos_fuzz.inside --seconds $(FOR)

# Campaigns of up to ten minutes against each real peer, two at a time: are the classes found that take so long?
fuzz-peers:
	@tools/setup.sh dev
	@tools/peers.sh
	DICOS_CAMPAIGNS=1 $(PY) -m pytest -n 2 -k within_ten_minutes tests/interop/test_fuzz_peers.py

# Plants 22 defects into a provider, one at a time, and counts those that `dicos fuzz` finds.
fuzz-score:
	@tools/setup.sh dev
	$(PY) -m dicos_fuzz.score

mutation:
	@tools/setup.sh dev
	$(PY) -m tools.mutation

# With VERSION=0.2.0, the fragments of changelog.d become a section of CHANGELOG.md; without, what it would say is shown.
changelog:
	@tools/setup.sh dev
	$(PY) -m towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version next)

clean:
	rm -rf .venv .venv-* build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
