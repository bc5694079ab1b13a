"""The peer as a script knows it: how to reach an association with it, what it offers, and how long it takes.

Knows: values. Must not know: how they are learned (`probing`), how they are stored (`profile_file`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicos_proto.registry import uids

__all__ = ["Offered", "Profile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A presentation context that the peer accepts, or proposes if it is a user. `scp_role`: a provider that accepts
    this side as SCP too, or a user that proposes the SCP role [PS3.7 D.3.3.4]."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] = (uids.IMPLICIT_VR_LE,)
    scp_role: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Policy and facts about one peer: nothing here is conformance.

    `called`, `calling`: AE titles, as the tester sends them. `offered`: contexts, Verification first where it is
    offered. `services`: the services that it answers (or asks for, as a user): "C-ECHO", "C-STORE", "C-FIND", "C-GET",
    "C-MOVE", "worklist", "mpps", "commitment", "ups". `max_length`: its Maximum Length, 0 unlimited. `window`:
    operations (invoked, performed) that it grants, None without the item. `answer_seconds`: the longest wait for an
    answer. `quiet_seconds`: how long nothing has to happen until it counts as silence. `call_seconds`: how long to wait
    until a user calls.
    `artim_seconds`, `idle_seconds`: its timers where they are known; None if not. `alone`: True if it serves one
    association at a time. `associations`: how many the tester may hold at once. `tls`: True if connections have TLS.
    `checks_called`, `checks_calling`: it refuses titles that it does not know. `move_destination`: the title that a
    C-MOVE may name so that the peer calls the tester; empty without one. `listen_port`: where the tester listens for
    such calls, 0 for none. `never`: what must never be sent: ids of cases, groups, or tags.
    """

    name: str = "peer"
    called: str = "ANY-SCP"
    calling: str = "DICOS-CONFORM"
    offered: tuple[Offered, ...] = (Offered(abstract_syntax=uids.VERIFICATION),)
    services: frozenset[str] = frozenset({"C-ECHO"})
    max_length: int = 16_384
    window: tuple[int, int] | None = None
    answer_seconds: float = 2.0
    quiet_seconds: float = 0.5
    call_seconds: float = 30.0
    artim_seconds: float | None = None
    idle_seconds: float | None = None
    alone: bool = False
    associations: int = 8
    tls: bool = False
    checks_called: bool = False
    checks_calling: bool = False
    move_destination: str = ""
    listen_port: int = 0
    never: frozenset[str] = frozenset()
    expected: Mapping[str, str] = field(default_factory=dict)
    """Case id -> the verdict that policy makes expected, with a reason: `"NON-STRICT: our archive knows no titles"`."""

    def offers(self, abstract_syntax: str) -> Offered | None:
        """Returns the context with this abstract syntax, None if the peer does not offer it."""
        return next((one for one in self.offered if one.abstract_syntax == abstract_syntax), None)
