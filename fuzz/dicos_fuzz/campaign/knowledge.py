"""The peer as a campaign knows it: what it accepted, how long it takes, what it was seen to do.

Knows: values. Must not know: how they are learned (`probe`), what is tried with them (`scenarios`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dicos_proto.registry import uids

from ..grammar.building import Offer

__all__ = ["Accepted", "Learned"]


ECHO: Final = 5.0
"""Seconds for a good echo of a peer that is quick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A presentation context that the peer accepts: `abstract_syntax` with `transfer_syntax`, the one it chose;
    `roles`: True if it accepts this side as SCP too."""

    abstract_syntax: str
    transfer_syntax: str
    roles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Knowledge about one peer.

    `called`, `calling`: titles that it accepts. `accepted`: its contexts, Verification first where it has that.
    `max_length`: its Maximum Length, 0 unlimited. `window`: operations (invoked, performed) that it granted, None if it
    did not answer the item. `echo_seconds`: how long a good echo took, association included. `answer_seconds`: the
    longest wait for an answer that it was seen to need, with a margin. `services`: the DIMSE services that it answered,
    as "C-ECHO", "C-STORE", "C-FIND", "C-GET", "C-MOVE", "N-..." . `closes_after_release`, `closes_after_abort`: True if
    it ends the connection by itself, promptly. `keeps_rejected`: True if it keeps a rejected connection open.
    `alone`: True if it serves one association at a time, so that the next one waits until it is over.
    `connections`: how many this side may open at the same time; a bound of the campaign, not of the peer.
    `tls`: True if the connections with it have TLS.
    `proposes`: the contexts that it proposes when it calls: id, abstract syntax, transfer syntaxes.
    """

    called: str = "ANY-SCP"
    calling: str = "DICOS-FUZZ"
    accepted: tuple[Accepted, ...] = (Accepted(abstract_syntax=uids.VERIFICATION, transfer_syntax=uids.IMPLICIT_VR_LE),)
    max_length: int = 16_384
    window: tuple[int, int] | None = None
    echo_seconds: float = 0.01
    answer_seconds: float = 0.5
    services: frozenset[str] = frozenset({"C-ECHO"})
    closes_after_release: bool = True
    closes_after_abort: bool = True
    keeps_rejected: bool = False
    alone: bool = False
    connections: int = 16
    implementation: str = ""
    tls: bool = False
    proposes: tuple[tuple[int, str, tuple[str, ...]], ...] = ()

    @property
    def echo_patience(self) -> float:
        """Seconds for a good echo: twenty times as long as it took at first; for a slow peer twice, and 20 s more."""
        return max(ECHO, min(20 * self.echo_seconds, 20 + 2 * self.echo_seconds))

    def offer(self, *abstract_syntaxes: str) -> Offer:
        """Returns a good offer of the accepted contexts with these abstract syntaxes, of all (up to 128) without."""
        chosen = [one for one in self.accepted if not abstract_syntaxes or one.abstract_syntax in abstract_syntaxes]
        contexts = tuple((one.abstract_syntax, (one.transfer_syntax,)) for one in chosen[:128])
        return Offer(called=self.called, calling=self.calling, contexts=contexts)

    def context(self, abstract_syntax: str) -> Accepted | None:
        """Returns the accepted context of an abstract syntax, None if there is none."""
        return next((one for one in self.accepted if one.abstract_syntax == abstract_syntax), None)
