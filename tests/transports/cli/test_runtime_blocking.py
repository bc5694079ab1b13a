"""The threads of the command when it is interrupted."""

import os
import signal
import threading

import pytest

from dicos_transports.cli import timers
from dicos_transports.cli.runtimes import blocking as runtime_blocking
from tests.transports.cli.commands import TIMEOUT


def test_an_association_that_ends_late_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bell that the thread rings still exists; an exception in a thread would fail this test."""
    monkeypatch.setattr(timers, "PATIENCE", 0.05)
    over, threads = threading.Event(), list[threading.Thread]()

    async def late() -> None:
        threads.append(threading.current_thread())
        over.wait(TIMEOUT)
        raise ConnectionError("late")

    async def interrupting() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await late()

    async def both() -> None:
        await runtime.all_of(late, interrupting)

    runtime = runtime_blocking.make()
    with pytest.raises(KeyboardInterrupt):
        runtime.run(both)
    over.set()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
