"""Settings all tests share. The default Hypothesis profile gives the same examples each time: a failure is a change."""

import gc
import logging
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "stable",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is not a failure
)
# Longer and different every time: `pytest --hypothesis-profile=search`.
settings.register_profile("search", parent=settings.get_profile("stable"), derandomize=False, max_examples=5000)
# For further Pythons: they run the same code, and other examples would find nothing more.
settings.register_profile("brief", parent=settings.get_profile("stable"), max_examples=20)
settings.load_profile("stable")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background of a shell: the programs that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)  # would ignore it as well


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


TESTS = Path(__file__).resolve().parent
NOT_MEASURED = ("transports", "interop", "cost", "fuzz")
"""Folders whose tests do not count for the coverage of the engine: its own tests reach every branch without them."""

TIMED = (
    "fuzz/campaign/scenarios/test_orders_and_others.py",
    "fuzz/campaign/scenarios/test_own_provider.py",
    "fuzz/campaign/test_calling.py",
    "fuzz/campaign/test_campaign.py",
    "fuzz/campaign/test_suspects.py",
    "fuzz/campaign/test_watching.py",
    "fuzz/cli",
    "fuzz/score/test_command.py",
    "transports/screening/test_killed.py",
    "transports/screening/test_page.py",
    "transports/screening/test_station.py",
)
"""Tests that judge a process by when it answers: if the machine stands still for a second, they are wrong."""

gc.disable()  # what is collected stays until the end: looking for garbage in it finds none


STOPPING = (signal.SIGINT, signal.SIGTERM)
LOGGERS = ("dicos", "dicos.server", "dicos.application", "dicos.command", "dicos.tls", "dicos.files")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Makes sure that a test leaves the signals as they were, which the processes that later tests start inherit, and
    the loggers, which later tests listen to."""
    before = _shared()
    yield
    assert _shared() == before, "signals that stay blocked or handled otherwise, or a logger that tells nobody any more"


def _shared() -> tuple[object, ...]:
    handled = map(signal.getsignal, STOPPING)
    told = (logging.getLogger(name).propagate for name in LOGGERS)
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()), *handled, *told


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    """Takes what was collected out of the garbage collector's sight: hundreds of tests call `gc.collect`."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks the tests of the fuzzer, before `-m` chooses. Those that fuzz a real process, kill one, drive
    a browser or talk to pyDICOS get two more tries."""
    if item.path.is_relative_to(TESTS / "fuzz"):
        item.add_marker(pytest.mark.fuzz)
    if any(item.path.is_relative_to(TESTS / each) for each in TIMED) or item.path.name.startswith("test_pydicos"):
        item.add_marker(pytest.mark.flaky(reruns=2))  # pyDICOS falls silent if a PDU takes it a second on a busy host


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that no worker is left with one in the end. Coverage is measured in some tests only.

    These are the tests that are about one thing each, not those with generated examples, nor slow ones, nor those of
    a stream cut small when the whole one is measured: tracing makes a test three to five times slower. A branch that
    only one of these reaches counts as not covered, unless the test is marked `measured`.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        many = item.get_closest_marker("hypothesis") or _is_cut_small(item)
        many = many and not item.get_closest_marker("measured")
        if folder in NOT_MEASURED or many or item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.no_cover)


def _is_cut_small(item: pytest.Item) -> bool:
    """Returns True if the stream of the test is cut by a splitter of `tests.pair`, byte by byte or at random."""
    given = getattr(item, "callspec", None)
    split = given.params.get("split") if given is not None else None
    return getattr(split, "__name__", "") in ("bytewise", "split")
