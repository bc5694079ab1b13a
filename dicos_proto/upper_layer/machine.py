"""The upper layer protocol machine of PS3.8 9.2, as the tables the standard prints.

Knows: states, events, actions, and what each action does, by name. Must not know: bytes, time, how an effect is done.

`step(state, event, role)` gives the action and the state after it. A blank cell is None: the event cannot happen
there (a local primitive that is refused, a transport event that cannot come).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto


class State(IntEnum):
    """PS3.8 tables 9-1 to 9-5."""

    Sta1 = 1  # Idle
    Sta2 = 2  # Transport connection open (awaiting A-ASSOCIATE-RQ PDU)
    Sta3 = 3  # Awaiting local A-ASSOCIATE response primitive
    Sta4 = 4  # Awaiting transport connection opening to complete
    Sta5 = 5  # Awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ PDU
    Sta6 = 6  # Association established and ready for data transfer
    Sta7 = 7  # Awaiting A-RELEASE-RP PDU
    Sta8 = 8  # Awaiting local A-RELEASE response primitive
    Sta9 = 9  # Release collision, requestor side; awaiting A-RELEASE response primitive
    Sta10 = 10  # Release collision, acceptor side; awaiting A-RELEASE-RP PDU
    Sta11 = 11  # Release collision, requestor side; awaiting A-RELEASE-RP PDU
    Sta12 = 12  # Release collision, acceptor side; awaiting A-RELEASE response primitive
    Sta13 = 13  # Awaiting transport connection close indication


class Evt(IntEnum):
    """The events of PS3.8 table 9-10, in its order."""

    Evt1 = 1  # A-ASSOCIATE request (local user)
    Evt2 = 2  # Transport connection confirmation (local transport service)
    Evt3 = 3  # A-ASSOCIATE-AC PDU (received on transport connection)
    Evt4 = 4  # A-ASSOCIATE-RJ PDU
    Evt5 = 5  # Transport connection indication (local transport service)
    Evt6 = 6  # A-ASSOCIATE-RQ PDU
    Evt7 = 7  # A-ASSOCIATE response primitive (accept)
    Evt8 = 8  # A-ASSOCIATE response primitive (reject)
    Evt9 = 9  # P-DATA request primitive
    Evt10 = 10  # P-DATA-TF PDU
    Evt11 = 11  # A-RELEASE request primitive
    Evt12 = 12  # A-RELEASE-RQ PDU
    Evt13 = 13  # A-RELEASE-RP PDU
    Evt14 = 14  # A-RELEASE response primitive
    Evt15 = 15  # A-ABORT request primitive
    Evt16 = 16  # A-ABORT PDU
    Evt17 = 17  # Transport connection closed indication (local transport service)
    Evt18 = 18  # ARTIM timer expired
    Evt19 = 19  # Unrecognized or invalid PDU received


class Role(Enum):
    """The side that requested the association, or the one that accepted it."""

    REQUESTOR = "requestor"
    ACCEPTOR = "acceptor"


class Effect(Enum):
    """A step of an action."""

    CONNECT = auto()  # issue TRANSPORT CONNECT request primitive to the local transport service
    ANSWER_TRANSPORT = auto()  # issue transport connection response primitive
    SEND = auto()  # send the PDU that the primitive stands for
    SEND_REJECT = auto()  # send A-ASSOCIATE-RJ (service provider)
    SEND_USER_ABORT = auto()  # send A-ABORT (service-user source)
    SEND_PROVIDER_ABORT = auto()  # send A-ABORT (service-provider source)
    INDICATE = auto()  # issue the indication or confirmation primitive of the PDU received
    INDICATE_P_ABORT = auto()  # issue A-P-ABORT indication primitive
    START_ARTIM = auto()
    STOP_ARTIM = auto()
    CLOSE = auto()  # close transport connection
    IGNORE = auto()


class Action(Enum):
    """PS3.8 tables 9-6 to 9-9."""

    AE_1 = "AE-1"
    AE_2 = "AE-2"
    AE_3 = "AE-3"
    AE_4 = "AE-4"
    AE_5 = "AE-5"
    AE_6 = "AE-6"
    AE_7 = "AE-7"
    AE_8 = "AE-8"
    DT_1 = "DT-1"
    DT_2 = "DT-2"
    AR_1 = "AR-1"
    AR_2 = "AR-2"
    AR_3 = "AR-3"
    AR_4 = "AR-4"
    AR_5 = "AR-5"
    AR_6 = "AR-6"
    AR_7 = "AR-7"
    AR_8 = "AR-8"
    AR_9 = "AR-9"
    AR_10 = "AR-10"
    AA_1 = "AA-1"
    AA_2 = "AA-2"
    AA_3 = "AA-3"
    AA_4 = "AA-4"
    AA_5 = "AA-5"
    AA_6 = "AA-6"
    AA_7 = "AA-7"
    AA_8 = "AA-8"


E = Effect
ACTIONS: dict[Action, tuple[Effect, ...]] = {
    # association establishment, table 9-6
    Action.AE_1: (E.CONNECT,),
    Action.AE_2: (E.SEND,),
    Action.AE_3: (E.INDICATE,),
    Action.AE_4: (E.INDICATE, E.CLOSE),
    Action.AE_5: (E.ANSWER_TRANSPORT, E.START_ARTIM),
    Action.AE_6: (E.STOP_ARTIM, E.INDICATE),  # or, not acceptable: NOT_ACCEPTABLE
    Action.AE_7: (E.SEND,),
    Action.AE_8: (E.SEND, E.START_ARTIM),
    # data transfer, table 9-7
    Action.DT_1: (E.SEND,),
    Action.DT_2: (E.INDICATE,),
    # association release, table 9-8
    Action.AR_1: (E.SEND,),
    Action.AR_2: (E.INDICATE,),
    Action.AR_3: (E.INDICATE, E.CLOSE),
    Action.AR_4: (E.SEND, E.START_ARTIM),
    Action.AR_5: (E.STOP_ARTIM,),
    Action.AR_6: (E.INDICATE,),
    Action.AR_7: (E.SEND,),
    Action.AR_8: (E.INDICATE,),
    Action.AR_9: (E.SEND,),
    Action.AR_10: (E.INDICATE,),
    # association abort, table 9-9
    Action.AA_1: (E.SEND_USER_ABORT, E.START_ARTIM),
    Action.AA_2: (E.STOP_ARTIM, E.CLOSE),
    Action.AA_3: (E.INDICATE, E.CLOSE),
    Action.AA_4: (E.INDICATE_P_ABORT,),
    Action.AA_5: (E.STOP_ARTIM,),
    Action.AA_6: (E.IGNORE,),
    Action.AA_7: (E.SEND_PROVIDER_ABORT,),
    Action.AA_8: (E.SEND_PROVIDER_ABORT, E.INDICATE_P_ABORT, E.START_ARTIM),
}
NOT_ACCEPTABLE: tuple[Effect, ...] = (E.STOP_ARTIM, E.SEND_REJECT, E.START_ARTIM)
"""AE-6 when the service provider cannot accept the A-ASSOCIATE-RQ; the next state is then Sta13."""

# Table 9-10. A cell is the action and the next state; `3/13` and `9/10` are the two that have a choice: AE-6 (can the
# provider accept?) and AR-8 (association requestor or acceptor?). Columns are Sta1 to Sta13, `.` is a blank cell.
PRINTED = """
Evt1  AE-1>4 .         .       .      .       .       .       .       .       .        .       .       .
Evt2  .      .         .       AE-2>5 .       .       .       .       .       .        .       .       .
Evt3  .      AA-1>13   AA-8>13 .      AE-3>6  AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-8>13  AA-8>13 AA-8>13 AA-6>13
Evt4  .      AA-1>13   AA-8>13 .      AE-4>1  AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-8>13  AA-8>13 AA-8>13 AA-6>13
Evt5  AE-5>2 .         .       .      .       .       .       .       .       .        .       .       .
Evt6  .      AE-6>3/13 AA-8>13 .      AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-8>13  AA-8>13 AA-8>13 AA-7>13
Evt7  .      .         AE-7>6  .      .       .       .       .       .       .        .       .       .
Evt8  .      .         AE-8>13 .      .       .       .       .       .       .        .       .       .
Evt9  .      .         .       .      .       DT-1>6  .       AR-7>8  .       .        .       .       .
Evt10 .      AA-1>13   AA-8>13 .      AA-8>13 DT-2>6  AR-6>7  AA-8>13 AA-8>13 AA-8>13  AA-8>13 AA-8>13 AA-6>13
Evt11 .      .         .       .      .       AR-1>7  .       .       .       .        .       .       .
Evt12 .      AA-1>13   AA-8>13 .      AA-8>13 AR-2>8  AR-8>9/10 AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-6>13
Evt13 .      AA-1>13   AA-8>13 .      AA-8>13 AA-8>13 AR-3>1  AA-8>13 AA-8>13 AR-10>12 AR-3>1  AA-8>13 AA-6>13
Evt14 .      .         .       .      .       .       .       AR-4>13 AR-9>11 .        .       AR-4>13 .
Evt15 .      .         AA-1>13 AA-2>1 AA-1>13 AA-1>13 AA-1>13 AA-1>13 AA-1>13 AA-1>13  AA-1>13 AA-1>13 .
Evt16 .      AA-2>1    AA-3>1  .      AA-3>1  AA-3>1  AA-3>1  AA-3>1  AA-3>1  AA-3>1   AA-3>1  AA-3>1  AA-2>1
Evt17 .      AA-5>1    AA-4>1  AA-4>1 AA-4>1  AA-4>1  AA-4>1  AA-4>1  AA-4>1  AA-4>1   AA-4>1  AA-4>1  AR-5>1
Evt18 .      AA-2>1    .       .      .       .       .       .       .       .        .       .       AA-2>1
Evt19 .      AA-1>13   AA-8>13 .      AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-8>13 AA-8>13  AA-8>13 AA-8>13 AA-7>13
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of table 9-10: the action, and the next state, with the other one where there is a choice."""

    action: Action
    state: State
    otherwise: State


def _parse(printed: str) -> dict[tuple[Evt, State], Cell]:
    table: dict[tuple[Evt, State], Cell] = {}
    for line in printed.split("\n"):
        event, *cells = line.split() or [""]
        for state, cell in zip(State, cells, strict=bool(cells)):
            if cell != ".":
                action, _, states = cell.partition(">")
                first, _, second = states.partition("/")
                table[Evt[event], state] = Cell(Action(action), State(int(first)), State(int(second or first)))
    return table


TABLE = _parse(PRINTED)


def step(state: State, event: Evt, role: Role, *, acceptable: bool = True) -> tuple[Action, State] | None:
    """The action for `event` in `state` and the state after it, or None where the standard's cell is blank.

    `acceptable`: False if the service provider cannot accept the A-ASSOCIATE-RQ (Evt6 in Sta2 only).
    """
    cell = TABLE.get((event, state))
    if cell is None:
        return None
    first = acceptable if cell.action is Action.AE_6 else role is Role.REQUESTOR
    return cell.action, cell.state if first else cell.otherwise
