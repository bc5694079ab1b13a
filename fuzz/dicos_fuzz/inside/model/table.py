"""Table 9-10 of PS3.8 as this model reads it: a column of the standard's table is a line here, with its actions.

Knows: states, events and actions by number and name [PS3.8 tables 9-1 to 9-10]. Must not know: the engine. It is
written down a second time on purpose, in another order (by state, not by event) and with other types than
`dicos_proto.upper_layer.machine`, so that a mistake in one of them is a disagreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ACTIONS", "CELLS", "EVENTS", "PROVIDER", "STATES", "USER", "Cell", "look_up"]

USER, PROVIDER = "requestor", "acceptor"
STATES: Final = tuple(range(1, 14))
EVENTS: Final = tuple(range(1, 20))

_COLUMNS: Final = {
    1: "1 AE-1 4, 5 AE-5 2",
    2: "3 AA-1 13, 4 AA-1 13, 6 AE-6 3|13, 10 AA-1 13, 12 AA-1 13, 13 AA-1 13, 16 AA-2 1, 17 AA-5 1, 18 AA-2 1, "
    "19 AA-1 13",
    3: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 7 AE-7 6, 8 AE-8 13, 10 AA-8 13, 12 AA-8 13, 13 AA-8 13, 15 AA-1 13, "
    "16 AA-3 1, 17 AA-4 1, 19 AA-8 13",
    4: "2 AE-2 5, 15 AA-2 1, 17 AA-4 1",
    5: "3 AE-3 6, 4 AE-4 1, 6 AA-8 13, 10 AA-8 13, 12 AA-8 13, 13 AA-8 13, 15 AA-1 13, 16 AA-3 1, 17 AA-4 1, "
    "19 AA-8 13",
    6: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 9 DT-1 6, 10 DT-2 6, 11 AR-1 7, 12 AR-2 8, 13 AA-8 13, 15 AA-1 13, 16 AA-3 1, "
    "17 AA-4 1, 19 AA-8 13",
    7: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 10 AR-6 7, 12 AR-8 9|10, 13 AR-3 1, 15 AA-1 13, 16 AA-3 1, 17 AA-4 1, "
    "19 AA-8 13",
    8: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 9 AR-7 8, 10 AA-8 13, 12 AA-8 13, 13 AA-8 13, 14 AR-4 13, 15 AA-1 13, "
    "16 AA-3 1, 17 AA-4 1, 19 AA-8 13",
    9: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 10 AA-8 13, 12 AA-8 13, 13 AA-8 13, 14 AR-9 11, 15 AA-1 13, 16 AA-3 1, "
    "17 AA-4 1, 19 AA-8 13",
    10: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 10 AA-8 13, 12 AA-8 13, 13 AR-10 12, 15 AA-1 13, 16 AA-3 1, 17 AA-4 1, "
    "19 AA-8 13",
    11: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 10 AA-8 13, 12 AA-8 13, 13 AR-3 1, 15 AA-1 13, 16 AA-3 1, 17 AA-4 1, "
    "19 AA-8 13",
    12: "3 AA-8 13, 4 AA-8 13, 6 AA-8 13, 10 AA-8 13, 12 AA-8 13, 13 AA-8 13, 14 AR-4 13, 15 AA-1 13, 16 AA-3 1, "
    "17 AA-4 1, 19 AA-8 13",
    13: "3 AA-6 13, 4 AA-6 13, 6 AA-7 13, 10 AA-6 13, 12 AA-6 13, 13 AA-6 13, 16 AA-2 1, 17 AR-5 1, 18 AA-2 1, "
    "19 AA-7 13",
}  # fmt: skip

ACTIONS: Final = {
    # i: the indication or confirmation of the received PDU; p: A-P-ABORT indication; s: the PDU of the primitive;
    # u: A-ABORT of the service user; a: A-ABORT of the service provider; c: close the connection.
    "AE-1": "", "AE-2": "s", "AE-3": "i", "AE-4": "ic", "AE-5": "", "AE-6": "i", "AE-7": "s", "AE-8": "s",
    "DT-1": "s", "DT-2": "i",
    "AR-1": "s", "AR-2": "i", "AR-3": "ic", "AR-4": "s", "AR-5": "", "AR-6": "i", "AR-7": "s", "AR-8": "i", "AR-9": "s",
    "AR-10": "i",
    "AA-1": "u", "AA-2": "c", "AA-3": "ic", "AA-4": "p", "AA-5": "", "AA-6": "", "AA-7": "a", "AA-8": "ap",
}  # fmt: skip
"""The effects of each action that the outside sees; timers are judged by the state (`reference`)
[PS3.8 tables 9-6 to 9-9]."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The action, the next state, and the other next state where the standard names two."""

    action: str
    state: int
    other: int


def _cells() -> dict[tuple[int, int], Cell]:
    found: dict[tuple[int, int], Cell] = {}
    for state, column in _COLUMNS.items():
        for entry in column.split(", "):
            event, action, after = entry.split()
            first, _, second = after.partition("|")
            found[state, int(event)] = Cell(action, int(first), int(second or first))
    return found


CELLS: Final = _cells()
"""(state, event) -> the cell; a blank cell is not in it."""


def look_up(state: int, event: int, role: str, *, acceptable: bool = True) -> tuple[str, int] | None:
    """Returns the action and the next state, None for a blank cell.

    `acceptable`: False if the provider cannot accept the A-ASSOCIATE-RQ (event 6 in state 2 only).
    """
    cell = CELLS.get((state, event))
    if cell is None:
        return None
    if cell.action == "AE-6":
        return cell.action, cell.state if acceptable else cell.other
    return cell.action, cell.state if role == USER else cell.other
