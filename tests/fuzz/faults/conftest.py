"""The places where scenarios run are those of the adapters' suite."""

from tests.transports.suite.conftest import at

__all__ = ["at"]
