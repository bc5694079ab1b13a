"""Parts of the commands that pass connections on: addresses, the listening socket, the end by a signal.

Knows: words of the command line, sockets, signals. Must not know: what passes.
"""

from __future__ import annotations

import argparse
import atexit
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

from dicos_transports.addresses import is_ipv6, parse_host
from dicos_transports.cli.options import host_and_port, peer_port, port

from ..captures.packets import Endpoint

__all__ = ["address_of", "ended_by_signals", "listening", "parse_target", "stopped_by_sigterm", "undisturbed"]

BACKLOG: Final = 128
_Handler = Callable[[int, FrameType | None], object] | int | None
_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parse_target(words: Sequence[str]) -> tuple[str, int]:
    """Parses HOST PORT, or HOST:PORT as one word. Raises argparse.ArgumentTypeError."""
    if len(words) > 2:
        raise argparse.ArgumentTypeError(f"{' '.join(words)!a}: expected HOST PORT or HOST:PORT")
    if len(words) == 1:
        host, number = host_and_port(words[0])
        return host, peer_port(number)
    host = words[0]
    try:
        return host if is_ipv6(host.partition("%")[0]) else parse_host(host), peer_port(port(words[1]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def listening(host: str, number: int) -> socket.socket:
    """Returns a socket that listens there. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, number))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def address_of(listener: socket.socket) -> Endpoint:
    """Returns where a socket listens."""
    found = listener.getsockname()
    return Endpoint(found[0], found[1])


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does: what is shown and written is complete."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in _heard(_ENDS[1:])}
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end the command, once: later ones do not disturb its end, nor that of the process."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in _heard()}
    try:
        yield
    finally:
        if interrupted:
            atexit.register(_block)
        else:
            _restore(before)


def _block() -> None:
    """Ends the time in which a signal can end the process: the interpreter takes its handlers back before it ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _heard())


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP have no effect meanwhile."""

    def nothing(number: int, frame: FrameType | None) -> None:
        """Unlike SIG_IGN, it may be set while a signal is pending."""

    before = {one: signal.signal(one, nothing) for one in _heard()}
    try:
        yield
    finally:
        _restore(before)


def _heard(numbers: Sequence[signal.Signals] = _ENDS) -> list[signal.Signals]:
    """Returns the signals that are not ignored, as SIGHUP is under nohup."""
    return [one for one in numbers if signal.getsignal(one) is not signal.SIG_IGN]


def _restore(before: Mapping[signal.Signals, _Handler]) -> None:
    for one, earlier in before.items():
        signal.signal(one, earlier)
