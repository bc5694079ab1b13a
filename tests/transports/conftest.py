"""Fixtures that the tests of adapters share."""

import logging
from collections.abc import Iterator

import pytest

from tests.transports.connections import Lines


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The log lines of servers while the test runs."""
    handler = Lines()
    logger = logging.getLogger("dicos.server")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)
