"""What the tests of the command share: what carries it."""

from collections.abc import Iterator

import pytest

from tests.transports.cli import commands


@pytest.fixture(params=["blocking", "trio", "asyncio"])
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each in turn carries the commands of a test."""
    if request.param == "trio":
        pytest.importorskip("trio")
    commands.carried_by = request.param
    yield request.param
    commands.carried_by = "blocking"
