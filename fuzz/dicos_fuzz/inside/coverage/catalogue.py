"""All that can be exercised, by kind, and what cannot, with the reason.

Knows: table 9-10, the items of a PDU, and the engine's own lists of limits, flags, timers and messages: a limit or a
flag that is added is missing here at once. Must not know: what was exercised (`record`), how (`recording`, `driving`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Final

from dicos_proto.dimse.types import MESSAGES
from dicos_proto.limits import Limits
from dicos_proto.timers import Timer
from dicos_proto.tolerance import CLAUSES

from ..model.table import CELLS, PROVIDER, STATES, USER

__all__ = [
    "ABOVE", "AT", "BELOW", "CATALOGUE", "CORE_ONLY", "ITEMS", "KINDS", "PRIMITIVES", "STATES_OF", "UNREACHABLE",
    "WAYS", "cell", "cell_of_role", "refused",
]  # fmt: skip

BELOW, AT, ABOVE = "below", "at", "above"
STATES_OF: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {USER: (1, 4, 5, 6, 7, 8, 9, 11, 13), PROVIDER: (1, 2, 3, 6, 7, 8, 10, 12, 13)}
)
"""The states that an association requestor and an acceptor can be in [PS3.8 tables 9-1 to 9-5]."""
PRIMITIVES: Final = (1, 7, 8, 9, 11, 14, 15)
"""The events that the local user causes."""
ITEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "10 application context": "vltm", "20 presentation context (RQ)": "vltm",
        "21 presentation context (AC)": "vltm",
        "30 abstract syntax": "vltm", "40 transfer syntax (RQ)": "vltm", "40 transfer syntax (AC)": "vltm",
        "50 user information": "vltm", "51 maximum length": "vltm", "52 implementation class": "vltm",
        "53 operations window": "vltm", "54 role selection": "vltm", "55 implementation version": "vltm",
        "56 extended negotiation": "vltm", "57 common extended negotiation": "vltm", "58 user identity": "vltm",
        "59 user identity response": "vltm", "unknown item": "vlt", "unknown item of a context": "vlt",
        "unknown item of user information": "vlt", "PDV": "vltm",
    }
)  # fmt: skip
"""Item -> the ways in which it can be seen: v valid in a PDU that is accepted, l with a wrong length, t twice, m
missing. An item that may come several times is `twice` as well when it does so legally."""
WAYS: Final[Mapping[str, str]] = MappingProxyType({"v": "valid", "l": "wrong length", "t": "twice", "m": "missing"})
_PDUS: Final = (
    "01 A-ASSOCIATE-RQ", "02 A-ASSOCIATE-AC", "03 A-ASSOCIATE-RJ", "04 P-DATA-TF", "05 A-RELEASE-RQ",
    "06 A-RELEASE-RP", "07 A-ABORT",
)  # fmt: skip
NEGOTIATED: Final = ("max_length", "window")
"""Limits that are negotiated, and are not fields of `Limits`."""


def cell(state: int, event: int) -> str:
    """Returns the key of a cell of table 9-10."""
    return f"Sta{state} Evt{event}"


def cell_of_role(state: int, event: int, role: str, *, acceptable: bool = True) -> str:
    """Returns the key of a cell as one role meets it; AE-6 has two outcomes."""
    refused = " (not acceptable)" if (state, event) == (2, 6) and not acceptable else ""
    return f"Sta{state} Evt{event} {role}{refused}"


def refused(state: int, event: int) -> str:
    """Returns the key of a primitive that is refused: a blank cell."""
    return f"Sta{state} Evt{event}"


def _cells_of_roles() -> Iterator[str]:
    for state, event in CELLS:
        for role, states in STATES_OF.items():
            if state not in states or (state == 1 and (event == 1) is not (role == USER)):
                continue
            yield cell_of_role(state, event, role)
            if (state, event) == (2, 6):
                yield cell_of_role(state, event, role, acceptable=False)


def _catalogue() -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "cell of table 9-10", tuple(cell(*one) for one in CELLS)
    yield "cell of table 9-10, by role", tuple(_cells_of_roles())
    blank = [(state, event) for state in STATES for event in PRIMITIVES if (state, event) not in CELLS]
    yield "primitive refused", tuple(refused(*one) for one in blank)
    whole = [f"{name} {how}" for name in _PDUS for how in ("valid", "wrong length")]
    yield "PDU", (*whole, "unknown type", "02 A-ASSOCIATE-AC that does not fit its request")
    yield "item", tuple(f"{name} {WAYS[way]}" for name, ways in ITEMS.items() for way in ways)
    names = (*(one.name for one in fields(Limits)), *NEGOTIATED)
    yield "limit", tuple(f"{name} {point}" for name in names for point in (BELOW, AT, ABOVE))
    yield "tolerance", tuple(f"{name} {how}" for name in CLAUSES for how in ("accepted", "refused"))
    yield "timer", tuple(one.value for one in Timer)
    yield "message", tuple(f"{name} {way}" for name in MESSAGES.values() for way in ("received", "sent"))
    yield "A-ABORT sent", ("user", *(f"provider, reason {reason}" for reason in (0, 1, 2, 4, 5, 6)))
    yield "A-ABORT received", ("user", "reserved source", *(f"provider, reason {reason}" for reason in range(7)))


CATALOGUE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(dict(_catalogue()))
"""Kind -> all keys, in order."""
KINDS: Final = tuple(CATALOGUE)

UNREACHABLE: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"A-ABORT sent": {"provider, reason 0": "the engine always gives the specific reason"}}
)
"""Kind -> key -> the reason why nothing can exercise it."""
CORE_ONLY: Final = (
    "Sta4 Evt15, Sta4 Evt17 and the primitives that are refused in Sta4: an engine is made with an open connection and "
    "passes Sta4 within `send`"
)
"""The keys that no public call reaches; `driving` reaches them on the core alone."""
