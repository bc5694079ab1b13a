"""Which peers are not offered an asynchronous operations window, because one makes them close the connection.

`connect` of each adapter asks here. A peer whose implementation class UID is on the list is never offered one, once it
is known: from the answer to an earlier request, from a request of its own, or because the caller has said so. A peer
that closes the connection without an answer to a request with a window is asked once more without, and if it answers
that, it is remembered for as long as the process runs.

Knows: addresses, titles, implementation class UIDs. Must not know: how an association is made.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from dicos_proto.association import Association
from dicos_proto.conversation.flows import AssociationAborted, AssociationError, AssociationRejected
from dicos_proto.errors import ConnectionLost
from dicos_proto.upper_layer.events import ProviderAbort
from dicos_proto.upper_layer.pdu_types import UserInformation

from ..addresses import show_address
from .base import ConnectionFailed

if TYPE_CHECKING:
    from .base import BaseSession
    from .session import Session

NEVER_OFFERED: Final[tuple[str, ...]] = ("1.2.840.113619.6.55",)
"""Implementation class UIDs, and roots of them, of peers that break on a window.

| UID | whose | what it does after a window of 0/0 was proposed | source |
|---|---|---|---|
| 1.2.840.113619.6.55 | GE | closes the connection, at the first message at the latest | dcm4che, issue 1120 (2022) |
"""
MOST: Final = 4096
"""Peers remembered; the memory is cleared when full, and learns again."""


class Windows:
    """What is known of peers that break on an operations window. Threads may share it.

    `WINDOWS` is the one that `connect` uses: `WINDOWS.add("1.2.3")` extends the list, and
    `WINDOWS.remember(("pacs.example", 104), "ARCHIVE")` names one peer.
    """

    def __init__(self, never: Iterable[str] = NEVER_OFFERED) -> None:
        self._never = tuple(never)
        self._without: set[tuple[str, str]] = set()  # address or host, and title
        self._lock = Lock()

    @property
    def never(self) -> tuple[str, ...]:
        """Implementation class UIDs, and roots of them, that are never offered a window."""
        return self._never

    def add(self, implementation_class_uid: str) -> None:
        """Never offer one to this implementation, nor to those whose UID begins with this one and a dot."""
        self._never = (*self._never, implementation_class_uid)

    def breaks(self, implementation_class_uid: str) -> bool:
        """Returns True if this implementation is on the list."""
        return any(
            implementation_class_uid == one or implementation_class_uid.startswith(f"{one}.") for one in self.never
        )

    def remember(self, where: object, title: str) -> None:
        """Never offer one to the peer of this title at this address, (host, port) or a path, or at this host."""
        with self._lock:
            if len(self._without) >= MOST:
                self._without.clear()
            self._without.add((_name(where), title))

    def learn(self, where: object, title: str, implementation_class_uid: str) -> None:
        """The peer of this title, at this address or host, is this implementation: remember it if it is on the list."""
        if self.breaks(implementation_class_uid):
            self.remember(where, title)

    def learn_from(self, session: BaseSession) -> None:
        """The same, of a peer that has asked for an association: its host, not its port, is where it can be called."""
        information, host = session.peer_information, _host_in(session.peer)
        if information is not None and host:
            self.learn(host, session.calling_aet, information.implementation_class_uid)

    def offers(self, where: object, title: str) -> bool:
        """Returns True if a window may be offered to the peer of this title at this address."""
        with self._lock:
            return not {(_name(where), title), (_name(_host(where)), title)} & self._without

    def offer(self, where: object, title: str, information: UserInformation) -> Offer:
        """What to ask the peer of this title at this address with, which may take two attempts."""
        return Offer(self, where, title, information)


WINDOWS: Final = Windows()
"""That of this process."""


class Offer:
    """One request for an association, and a second one where a window was the fault of the first. `information`: what
    to ask with now."""

    def __init__(self, windows: Windows, where: object, title: str, information: UserInformation) -> None:
        self._windows, self._where, self._title = windows, where, title
        # A connection that is open already, a pair of streams, say, cannot be made anew.
        self._reachable = isinstance(_host(where), str | os.PathLike)
        self.closed: ProviderAbort | None = None
        """The end of the first connection, where that may have been because of a window."""
        self.information = information
        if information.window is not None and self._reachable and not windows.offers(where, title):
            self.information = replace(information, window=None)

    def again_after(self, error: AssociationAborted) -> bool:
        """Returns True if the peer closed the connection instead of an answer, and is to be asked without a window."""
        if self.information.window is None or not self._reachable or not isinstance(error.event, ProviderAbort):
            return False
        lost = error.event.error
        if type(lost) is not ConnectionLost or lost.mid_pdu:  # an answer that is cut off is one
            return False
        self.closed = error.event
        self.information = replace(self.information, window=None)
        return True

    def answered(self) -> None:
        """The peer has answered: if that took a request without a window, it gets none any more."""
        if self.closed is not None:
            self._windows.remember(self._where, self._title)

    def again_instead(self, association: Association, answer: UserInformation | None) -> bool:
        """Returns True if the peer has accepted a window, or the proposal of one, and is known to break on it."""
        self.answered()
        if answer is None or not self._reachable or not self._windows.breaks(answer.implementation_class_uid):
            return False
        self._windows.remember(self._where, self._title)
        proposed, self.information = self.information.window, replace(self.information, window=None)
        return proposed is not None


async def asked(offer: Offer, ask: Callable[[UserInformation], Awaitable[Session]]) -> Session:
    """The session that `ask` makes, at the second attempt where the first one fails because of a window. A peer that
    cannot be reached any more for that has closed the first connection, and this is what is raised."""
    while True:
        try:
            session = await ask(offer.information)
        except AssociationAborted as error:
            if not offer.again_after(error):
                raise
            continue
        except AssociationRejected:
            offer.answered()
            raise
        except ConnectionFailed:
            if offer.closed is None:
                raise
            raise AssociationAborted(offer.closed) from None
        if not offer.again_instead(session.association, session.peer_information):
            return session
        with suppress(AssociationError):
            await session.release()


def _host_in(peer: str) -> str:
    """The host in `10.0.0.7:104` or `[::1]:104`, one of IPv4 however it comes; empty where there is none."""
    host, _, port = peer.rpartition(":")
    return host.strip("[]").lower().removeprefix("::ffff:") if port.isdigit() else ""


def _host(where: object) -> object:
    return where[0] if isinstance(where, tuple) and where else where


def _name(where: object) -> str:
    return (where if isinstance(where, str) else show_address(where)).lower()
