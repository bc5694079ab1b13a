"""Runs the programs of this folder in processes of their own, with another port and address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 60.0
"""Seconds for a program to do what it does."""


def source_of(name: str, port: int, more: str = "") -> str:
    """The text of a program for this port of 127.0.0.1, followed by `more`."""
    text = (PROGRAMS / f"{name}.py").read_text("utf-8")
    return text.replace("192.168.1.100", "127.0.0.1").replace("9999", str(port)) + more


class Program:
    """A program that runs, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def text(self) -> str:
        """Everything printed so far."""
        return self._log.read_text("utf-8", "replace")

    def wait_for(self, text: str) -> None:
        """Waits until it has printed this text."""
        until = time.monotonic() + PATIENCE
        while text not in self.text:
            assert self.process.poll() is None or text in self.text, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.02)

    def interrupt(self) -> None:
        """Ends it by Ctrl+C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)


@contextmanager
def running(folder: Path, name: str, source: str) -> Iterator[Program]:
    """Runs a program in this folder."""
    script, log = folder / f"{name}.py", folder / f"{name}.log"
    script.write_text(source, "utf-8")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-u", str(script)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield Program(process, log)
        finally:
            process.kill()
            process.wait()


def run(folder: Path, name: str, source: str) -> str:
    """Runs a program to its end. Returns what it has printed."""
    with running(folder, name, source) as program:
        program.process.wait(PATIENCE)
        return program.text
