"""Fixtures that the tests with other implementations share with those of the adapters."""

from tests.transports.conftest import lines

__all__ = ["lines"]
