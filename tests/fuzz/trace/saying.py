"""Conversations for the tests of traces: bytes of both sides, given to the decoder as a recording would be."""

from __future__ import annotations

from collections.abc import Iterable

from dicos_fuzz.captures.events import Connection, Data, Ended, Event, Gap, How, Opened, Over
from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.trace.entries import AssociationTrace, Entry
from dicos_fuzz.trace.tracer import Tracer, Wanted
from dicos_proto import AssociateRequest, Command, ReleaseRequest, ReleaseResponse, encode
from dicos_proto.dimse.codec import encode_command
from dicos_proto.upper_layer.negotiation import negotiate
from tests.pair import POLICY, REQUEST, p_data

Said = tuple[bool, bytes] | tuple[bool, int]
"""True if the requestor sends it; and the bytes, or the number of bytes that are missing in the recording."""
RELEASE: list[Said] = [(True, encode(ReleaseRequest())), (False, encode(ReleaseResponse()))]
MILLISECOND = 1_000_000


class Kept:
    """A sink that keeps the entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.traces: list[AssociationTrace] = []

    def take(self, trace: AssociationTrace, entry: Entry) -> None:
        self.entries.append(entry)
        if trace not in self.traces:
            self.traces.append(trace)

    def of(self, kind):
        return [one for one in self.entries if isinstance(one, kind)]

    def marks(self) -> list[str]:
        """Every mark, after the side that it is about."""
        return [
            f"{'>' if getattr(one, 'by_requestor', True) else '<'} {mark}"
            for one in self.entries
            for mark in getattr(one, "marks", ())
        ]


def connection(number: int = 1, *, begun: bool = True, guessed: bool = False, at: int = 0) -> Connection:
    client = Endpoint("10.0.0.1", 40_000 + number)
    return Connection(number, client, Endpoint("10.0.0.2", 104), at, begun=begun, guessed=guessed)


def events(
    said: Iterable[Said], one: Connection, *, how: How = How.CLOSED, piece: int = 1 << 20, ends: bool = True
) -> Iterable[Event]:
    """The events of one connection; each piece comes a millisecond after the one before."""
    at = one.at
    yield Opened(one)
    for by_client, what in said:
        at += MILLISECOND
        if isinstance(what, int):
            yield Gap(one, by_client, at, what)
            continue
        for start in range(0, len(what), piece):
            yield Data(one, by_client, at, memoryview(what[start : start + piece]))
    if how is How.CLOSED and ends:
        yield Ended(one, True, at + MILLISECOND)
        yield Ended(one, False, at + MILLISECOND)
    yield Over(one, at + MILLISECOND, how)


def trace(
    said: Iterable[Said],
    *,
    how: How = How.CLOSED,
    piece: int = 1 << 20,
    begun: bool = True,
    guessed: bool = False,
    pieces: bool = False,
) -> Kept:
    """The entries of one association."""
    kept = Kept()
    tracer = Tracer([kept], Wanted(), pieces=pieces)
    for event in events(said, connection(begun=begun, guessed=guessed), how=how, piece=piece):
        tracer.feed(event)
    tracer.end()
    return kept


def opened(request: AssociateRequest = REQUEST, policy=POLICY) -> list[Said]:
    """The negotiation of an association."""
    return [(True, encode(request)), (False, encode(negotiate(request, policy)))]


def message(command: Command, *, context: int = 3, data: bytes | None = None) -> bytes:
    """A message in P-DATA-TFs of one PDV each."""
    raw = p_data((context, True, True, encode_command(command, has_data=data is not None)))
    return raw if data is None else raw + p_data((context, False, True, data))
