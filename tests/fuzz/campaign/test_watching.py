"""The process of a peer is started, watched, restarted and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicos_fuzz.campaign.watching import CannotStart, Watched
from tests.fuzz.campaign.peers import PATIENCE

LOOP = "import time\nwhile True: time.sleep(0.05)"


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


@contextmanager
def started(text: str, **options: object) -> Iterator[Watched]:
    with Watched(command=python(text), **options) as watched:  # type: ignore[arg-type]
        watched.start()
        yield watched


def test_a_started_peer_is_sampled() -> None:
    with started("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" + LOOP) as watched:
        wait_for(lambda: (found := watched.sample()) is not None and found.threads == 2)
        found = watched.sample()
        assert found is not None
        assert found.rss > 1 << 20
        assert found.peak >= found.rss // 2
        assert found.descriptors >= 3
        assert found.processes == 1
        assert watched.gone() is None
    assert watched.pid is not None
    assert not Path(f"/proc/{watched.pid}").exists()


def test_children_are_counted_and_ended_with_the_peer() -> None:
    child = "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
    with started(child + "print(p.pid)\n" + LOOP) as watched:
        wait_for(lambda: (found := watched.sample()) is not None and found.processes == 2)
        wait_for(lambda: watched.tail())
        pid = int(watched.tail()[0])
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def test_a_child_with_a_session_of_its_own_is_ended_with_the_peer() -> None:
    child = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'], start_new_session=True)\n"
    )
    with started(child + "print(p.pid)\n" + LOOP) as watched:
        wait_for(watched.tail)
        pid = int(watched.tail()[0])
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import os; os.kill(os.getpid(), 11)", "signal SIGSEGV"),
        ("raise SystemExit(3)", "exit status 3"),
        ("pass", "exit status 0"),
    ],
)
def test_the_end_of_a_peer_is_named(text: str, how: str) -> None:
    with started(f"import sys; sys.stdin.read()\n{text}") as watched:
        wait_for(lambda: watched.gone())
        assert watched.gone() == how
        assert watched.sample() is None


def test_the_output_of_a_peer_is_kept_and_searched() -> None:
    with started("print('ready')\n1 / 0") as watched:
        wait_for(lambda: watched.gone())
        watched.settle_log(PATIENCE)
        assert watched.tail(10)[0] == "ready"
        assert [one.what for one in watched.complaints()] == ["ZeroDivisionError in <string> <module>"]


def test_a_peer_is_ready_when_it_says_so(tmp_path: Path) -> None:
    sign = tmp_path / "ready"
    with started(f"open({str(sign)!r}, 'w')\n{LOOP}", ready=sign.exists) as watched:
        assert sign.exists()
        first = watched.pid
        sign.unlink()
        watched.restart()
        assert sign.exists()
        assert watched.pid != first
        assert watched.starts == 2


def test_a_peer_that_cannot_be_started_is_refused_with_the_reason() -> None:
    with pytest.raises(CannotStart, match="no-such-program"):
        Watched(command=["/no-such-program"]).start()
    watched = Watched(command=python("print('port in use'); raise SystemExit(2)"), ready=lambda: False)
    with pytest.raises(CannotStart, match=r"exit status 2\) before it listened: port in use"):
        watched.start()
    text = "print('reading\\x1b[31m\\n' + 999 * 'x' + '\\nlistening on 1\\u202e04', flush=True); "
    watched = Watched(
        command=python(text + "import time; time.sleep(60)"), ready=lambda: False, port=4711, starting=1.0
    )
    with pytest.raises(CannotStart) as refused:
        watched.start()
    said = str(refused.value).partition(" ")[2]
    assert said.startswith("does not listen on port 4711 after 1 s: reading\\x1b[31m | xxx")
    assert said.endswith("xxx | listening on 1\\u202e04")
    assert len(said) < 800
    silent = Watched(command=python("raise SystemExit(2)"), ready=lambda: False, port=4711)
    with pytest.raises(CannotStart, match=r"\(exit status 2\) before it listened on port 4711; it has printed nothing"):
        silent.start()
    with pytest.raises(CannotStart, match="there is no process"):
        Watched(pid=2**22 - 1)
    with pytest.raises(CannotStart, match="no command"):
        Watched(pid=os.getpid()).restart()


def test_a_process_of_others_is_watched_and_left_alone() -> None:
    with subprocess.Popen(python(LOOP)) as other:
        try:
            with Watched(pid=other.pid) as watched:
                assert watched.sample() is not None
                assert watched.gone() is None
            assert other.poll() is None
            other.send_signal(signal.SIGKILL)
            wait_for(lambda: watched.gone() == "ended")
            assert watched.sample() is None
        finally:
            other.kill()
