"""Remembers peers that close the connection if a request proposes an asynchronous operations window.

`connect` of each adapter uses this. If the implementation class UID of a peer is on the list, no window is proposed to
it. The UID is known from the peer's answer to an earlier request, from a request of its own, or from the caller. If a
peer closes the connection instead of answering a request with a window, the request is repeated once without it. A peer
that answers then is remembered until the process ends.

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
"""Implementation class UIDs, or roots of them, of peers that cannot handle a window.

| UID | vendor | reaction to a proposed window of 0/0 | source |
|---|---|---|---|
| 1.2.840.113619.6.55 | GE | closes the connection, at the first message at the latest | dcm4che, issue 1120 (2022) |
"""
MOST: Final = 4096
"""Number of peers remembered; the memory is cleared when full."""


class Windows:
    """The peers that cannot handle an operations window. Threads may share it.

    `connect` uses `WINDOWS`: `WINDOWS.add("1.2.3")` extends the list of implementations, and
    `WINDOWS.remember(("pacs.example", 104), "ARCHIVE")` adds one peer.
    """

    def __init__(self, never: Iterable[str] = NEVER_OFFERED) -> None:
        self._never = tuple(never)
        self._without: set[tuple[str, str]] = set()  # (address or host, title)
        self._lock = Lock()

    @property
    def never(self) -> tuple[str, ...]:
        """Implementation class UIDs, or roots of them, to which no window is proposed."""
        return self._never

    def add(self, implementation_class_uid: str) -> None:
        """Add an implementation to the list, and with it all whose UID begins with this one and a dot."""
        self._never = (*self._never, implementation_class_uid)

    def breaks(self, implementation_class_uid: str) -> bool:
        """Return True if this implementation is on the list."""
        return any(
            implementation_class_uid == one or implementation_class_uid.startswith(f"{one}.") for one in self.never
        )

    def remember(self, where: object, title: str) -> None:
        """Propose no window to the peer with this title at this address: a (host, port), a path, or a whole host."""
        with self._lock:
            if len(self._without) >= MOST:
                self._without.clear()
            self._without.add((_name(where), title))

    def learn(self, where: object, title: str, implementation_class_uid: str) -> None:
        """Remember the peer with this title and address if its implementation is on the list."""
        if self.breaks(implementation_class_uid):
            self.remember(where, title)

    def learn_from(self, session: BaseSession) -> None:
        """Do the same for the peer of a session, by its host, because it cannot be called at the port it came from."""
        information, host = session.peer_information, _host_in(session.peer)
        if information is not None and host:
            self.learn(host, session.calling_aet, information.implementation_class_uid)

    def offers(self, where: object, title: str) -> bool:
        """Return True if a window may be proposed to the peer with this title at this address."""
        with self._lock:
            return not {(_name(where), title), (_name(_host(where)), title)} & self._without

    def offer(self, where: object, title: str, information: UserInformation) -> WindowProposal:
        """Return the `WindowProposal` for a request to the peer with this title at this address."""
        return WindowProposal(self, where, title, information)


WINDOWS: Final = Windows()
"""The instance of this process."""


class WindowProposal:
    """The user information of an association request, and of a second one if the window made the first one fail.

    `information`: the user information for the next request.
    """

    def __init__(self, windows: Windows, where: object, title: str, information: UserInformation) -> None:
        self._windows, self._where, self._title = windows, where, title
        # A connection that was passed in, such as a pair of streams, cannot be opened a second time.
        self._reachable = isinstance(_host(where), str | os.PathLike)
        self.closed: ProviderAbort | None = None
        """The end of the first connection, if a window may have caused it."""
        self.information = information
        if information.window is not None and self._reachable and not windows.offers(where, title):
            self.information = replace(information, window=None)

    def again_after(self, error: AssociationAborted) -> bool:
        """Return True if the peer closed the connection instead of answering: repeat the request without a window."""
        if self.information.window is None or not self._reachable or not isinstance(error.event, ProviderAbort):
            return False
        lost = error.event.error
        if type(lost) is not ConnectionLost or lost.mid_pdu:  # an incomplete answer is an answer
            return False
        self.closed = error.event
        self.information = replace(self.information, window=None)
        return True

    def answered(self) -> None:
        """Record an answer of the peer. If it came only without a window, the peer is remembered."""
        if self.closed is not None:
            self._windows.remember(self._where, self._title)

    def again_instead(self, association: Association, answer: UserInformation | None) -> bool:
        """Return True if a window was proposed and the peer's answer shows that it cannot handle one: ask again."""
        self.answered()
        if answer is None or not self._reachable or not self._windows.breaks(answer.implementation_class_uid):
            return False
        self._windows.remember(self._where, self._title)
        proposed, self.information = self.information.window, replace(self.information, window=None)
        return proposed is not None


async def asked(offer: WindowProposal, ask: Callable[[UserInformation], Awaitable[Session]]) -> Session:
    """Return the session that `ask` opens, with a second attempt if a window made the first one fail.

    If the second connection fails, the error is the end of the first one.
    """
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
    """Return the host in `10.0.0.7:104` or `[::1]:104`, with mapped IPv4 addresses as IPv4; empty if there is none."""
    host, _, port = peer.rpartition(":")
    return host.strip("[]").lower().removeprefix("::ffff:") if port.isdigit() else ""


def _host(where: object) -> object:
    return where[0] if isinstance(where, tuple) and where else where


def _name(where: object) -> str:
    return (where if isinstance(where, str) else show_address(where)).lower()
