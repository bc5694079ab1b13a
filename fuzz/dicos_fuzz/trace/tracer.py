"""All associations of a recording, or of a tap: connections in, entries to the sinks.

Knows: which associations are wanted, how many can be followed at once. Must not know: how they are decoded, or shown.

Invariant: at most `MOST_HELD` bytes are held for all associations; beyond, the one that has been silent for longest is
no longer followed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from ..captures.events import Connection, Event, How, Opened
from ..captures.events import Over as ConnectionOver
from ..captures.packets import Endpoint
from .association import COST, Follower
from .entries import AssociationTrace, Entry, Over, PduSaid, Sink
from .marks import Kind

__all__ = ["MOST_HELD", "Results", "Tracer", "Wanted"]

MOST_HELD: Final = 128 << 20
"""Bytes held for all associations: A-ASSOCIATE PDUs and command sets that are not complete, requests that are not
answered. Stops: a recording of thousands of connections that each leave a megabyte open."""
_EARLY: Final = 64
"""Entries of an association that are held until its titles are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The associations that are wanted: those that fit every filter that is set.

    `places`: networks, each with a port or None; one end of the connection must be in one of them. `titles`: calling or
    called AE title. `since`, `until`: times at which the connection was opened, in nanoseconds since 1970.
    """

    places: tuple[tuple[IPv4Network | IPv6Network, int | None], ...] = ()
    titles: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None

    def has(self, connection: Connection) -> bool:
        """Returns True if a connection fits the filters, except for the titles."""
        if self.since is not None and connection.at < self.since:
            return False
        if self.until is not None and connection.at >= self.until:
            return False
        return not self.places or self._is_there(connection.client) or self._is_there(connection.server)

    def _is_there(self, end: Endpoint) -> bool:
        host = ip_address(end.host)
        return any(host in network and port in (None, end.port) for network, port in self.places)


@dataclass(slots=True)
class Results:
    """Numbers of a trace. `marks`: by kind, of the associations that were shown."""

    associations: int = 0
    not_wanted: int = 0
    given_up: int = 0
    messages: int = 0
    data_bytes: int = 0
    marks: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))


class _Followed:
    __slots__ = ("cost", "early", "follower", "shown")

    def __init__(self, follower: Follower, *, shown: bool) -> None:
        self.follower = follower
        self.shown = shown  # False: its titles are not known yet
        self.early: list[Entry] = []
        self.cost = 0


class Tracer:
    """Follows every connection that it is given, and gives the entries of those that are wanted to the sinks.

    `pieces`: True if a sink saves objects. `results`: what has been seen so far.
    """

    def __init__(self, sinks: Sequence[Sink], wanted: Wanted | None = None, *, pieces: bool = False) -> None:
        self.results = Results()
        self._sinks = tuple(sinks)
        self._wanted = wanted or Wanted()
        self._pieces = pieces
        self._followed: OrderedDict[int, _Followed] = OrderedDict()
        self._cost = 0
        self._number = 0

    def feed(self, event: Event) -> None:
        """Takes the next event of a connection."""
        connection = event.connection
        if isinstance(event, Opened):
            if not self._wanted.has(connection):
                self.results.not_wanted += 1
                return
            self._number += 1
            trace = AssociationTrace(self._number, connection)
            made = _Followed(Follower(trace, pieces=self._pieces), shown=not self._wanted.titles)
            self._followed[connection.number] = made
        found = self._followed.get(connection.number)
        if found is None:
            return
        follower = found.follower
        for entry in follower.feed(event):
            if found.shown:
                self._show(follower.trace, entry)
            else:
                self._hold(found, entry)
                if connection.number not in self._followed:
                    return
        if isinstance(event, ConnectionOver):
            self._forget(connection.number)
        else:
            self._count(connection.number, found)

    def end(self) -> None:
        """Ends the associations that are not over. The sinks are left open."""
        for found in list(self._followed.values()):
            trace = found.follower.trace
            self.feed(ConnectionOver(trace.connection, trace.last, How.CUT))

    def _show(self, trace: AssociationTrace, entry: Entry) -> None:
        for sink in self._sinks:
            sink.take(trace, entry)
        if isinstance(entry, Over):
            results = self.results
            results.associations += 1
            results.messages += sum(trace.messages)
            results.data_bytes += sum(trace.data_bytes)
            for kind, count in trace.marks.items():
                results.marks[kind] += count

    def _hold(self, found: _Followed, entry: Entry) -> None:
        """Holds an entry until the titles are known, and shows it if they are wanted."""
        trace = found.follower.trace
        found.early.append(entry)
        titles = trace.titles()
        if titles is not None and not self._wanted.titles.isdisjoint(titles):
            found.shown = True
            early, found.early = found.early, []
            for one in early:
                self._show(trace, one)
        elif titles is not None or isinstance(entry, Over | PduSaid) or len(found.early) > _EARLY:
            self.results.not_wanted += 1
            self._forget(trace.connection.number)

    def _count(self, number: int, found: _Followed) -> None:
        cost = COST + found.follower.held
        self._cost += cost - found.cost
        found.cost = cost
        self._followed.move_to_end(number)
        while self._cost > MOST_HELD:
            oldest = next(iter(self._followed.values())).follower.trace
            self.results.given_up += 1
            self.feed(ConnectionOver(oldest.connection, oldest.last, How.EVICTED))

    def _forget(self, number: int) -> None:
        self._cost -= self._followed.pop(number).cost
