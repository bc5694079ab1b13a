"""Fixtures that the tests of adapters share."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.transports.connections import Lines


@contextmanager
def heard(name: str) -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The log lines of servers while the test runs."""
    with heard("dicos.server") as found:
        yield found


@pytest.fixture
def told() -> Iterator[Lines]:
    """The log lines of applications while the test runs."""
    with heard("dicos.application") as found:
        yield found
