"""The transport fixture of the tests of the command."""

from collections.abc import Iterator

import pytest

from tests.transports.cli import commands


@pytest.fixture(params=["blocking", "trio", "asyncio"])
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test over each transport in turn."""
    if request.param == "trio":
        pytest.importorskip("trio")
    commands.carried_by = request.param
    yield request.param
    commands.carried_by = "blocking"
