"""`dicos trace --listen`: the tap on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from time import time_ns
from typing import BinaryIO, Final

from dicos_transports.cli import FAILED, INTERRUPTED, USAGE
from dicos_transports.cli.options import LOOPBACK
from dicos_transports.cli.output import Output

from ..captures.decrypting import Decryption
from ..captures.events import Connection, Event
from ..captures.keylog import KeyLog
from ..captures.packets import Endpoint
from ..captures.recording import Recorder
from ..captures.tapped import Readable
from ..relay import Relay
from ..trace.tracer import Tracer
from .relaying import address_of, listening, stopped_by_sigterm

__all__ = ["tap"]

_LOOK: Final = 0.1
"""Seconds between two looks into a key log that does not have a secret yet."""


def tap(
    options: argparse.Namespace, out: Output, tracer: Tracer, keys: KeyLog | None, close: Callable[[], bool]
) -> int:
    """Passes connections on until it is interrupted. Returns 130, or 1 if it cannot listen or write."""
    with ExitStack() as stack:
        try:
            file = None if options.write is None else stack.enter_context(open(options.write, "wb"))
            writer = None if file is None else _Written(file, str(options.write), out)
        except OSError as error:
            out.error(f"{options.write}: {error.strerror or error}")
            return USAGE
        decryption = Decryption(KeyLog() if keys is None else keys, waits=True)

        def unread(connection: Connection, why: str) -> None:
            out.failure(f"{connection.client}: TLS connection not decrypted: {why}")
            out.event("unread", client=str(connection.client), server=str(connection.server), why=why)

        readable = Readable(unread)

        def show(events: Iterable[Event]) -> None:
            for plain in events:
                for event in readable.feed(plain):
                    tracer.feed(event)

        def tell(event: Event) -> None:
            if writer is not None:
                writer.take(event)
            show(decryption.feed(event))

        def refused(connection: Connection, cause: str) -> None:
            out.failure(f"{connection.client}: no connection to {place}: {cause}; reset")
            if writer is not None:
                writer.refused(connection)

        place = Endpoint(*options.target)
        try:
            listener = listening(options.bind or LOOPBACK, options.listen)
            made = Relay(listener, options.target, tell, refused)
        except OSError as error:
            out.error(f"cannot listen on port {options.listen} and pass on to {place}: {error.strerror or error}")
            return FAILED
        here = address_of(listener)
        hint = "" if options.bind else "; --bind 0.0.0.0 listens on all interfaces"
        out.info(f"listening on {here}, passing on to {place}{hint}")
        out.event("listening", address=here.host, port=here.port)
        try:
            with stopped_by_sigterm():
                while True:
                    made.step(_LOOK if decryption.waiting else None)
                    show(decryption.go_on(time_ns()))
        except KeyboardInterrupt:
            out.info("interrupted")
        finally:
            made.close()
            show(decryption.end())
            close()
        return INTERRUPTED


class _Written:
    """Writes what the tap carries as a capture file, until that fails."""

    def __init__(self, file: BinaryIO, name: str, out: Output) -> None:
        self._file = file
        self._recorder: Recorder | None = Recorder(file)
        self._name = name
        self._out = out

    def take(self, event: Event) -> None:
        """Writes an event."""
        self._try(lambda recorder: recorder.take(event))

    def refused(self, connection: Connection) -> None:
        """Writes a connection that the target did not accept."""
        self._try(
            lambda recorder: recorder.open(
                connection.number, connection.at, client=connection.client, server=connection.server, refused=True
            )
        )

    def _try(self, write: Callable[[Recorder], None]) -> None:
        if self._recorder is None:
            return
        try:
            write(self._recorder)
            self._file.flush()  # so that the file is readable up to here, however this process ends
        except OSError as error:
            self._recorder = None
            self._out.error(f"{self._name}: {error.strerror or error}; nothing more is written to it")
