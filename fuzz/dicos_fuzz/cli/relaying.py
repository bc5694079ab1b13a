"""Parts of the commands that pass connections on: addresses, the listening socket, the end by a signal.

Knows: words of the command line, sockets, signals. Must not know: what passes.
"""

from __future__ import annotations

import argparse
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

from dicos_transports.addresses import is_ipv6, parse_host
from dicos_transports.cli.options import host_and_port, port

from ..captures.packets import Endpoint

__all__ = ["address_of", "listening", "parse_target", "stopped_by_sigterm"]

BACKLOG: Final = 128


def parse_target(words: Sequence[str]) -> tuple[str, int]:
    """Parses HOST PORT, or HOST:PORT as one word. Raises argparse.ArgumentTypeError."""
    if len(words) > 2:
        raise argparse.ArgumentTypeError(f"{' '.join(words)!a}: expected HOST PORT or HOST:PORT")
    if len(words) == 1:
        return host_and_port(words[0])
    host = words[0]
    try:
        return host if is_ipv6(host.partition("%")[0]) else parse_host(host), port(words[1])
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
    """SIGTERM ends the command as Ctrl-C does: what is shown and written is complete."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
