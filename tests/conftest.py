"""Settings all tests share. The default Hypothesis profile gives the same examples each time: a failure is a change."""

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "stable",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failure
)
# Longer and different every time: `pytest --hypothesis-profile=search`.
settings.register_profile("search", parent=settings.get_profile("stable"), derandomize=False, max_examples=5000)
# For further Pythons: they run the same code, and other examples would find nothing more.
settings.register_profile("brief", parent=settings.get_profile("stable"), max_examples=20)
settings.load_profile("stable")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Makes the captured output of a test text that can be sent from a worker: hostile text has lone surrogates."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    if report.longrepr is not None and not str(report.longrepr).isascii():
        text = str(report.longrepr)
        if text.encode("utf-8", "backslashreplace") != text.encode("utf-8", "surrogatepass"):
            report.longrepr = text.encode("utf-8", "backslashreplace").decode()
    return report
