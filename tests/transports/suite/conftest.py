"""The places where scenarios run."""

from pathlib import Path

import pytest

from tests.transports.suite.contexts import MAKE, Context


@pytest.fixture
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Context:
    adapter, security, medium = request.param
    return Context(MAKE[adapter](), security, medium, tmp_path)
