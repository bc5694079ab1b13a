"""PS3.8 table 9-10, every state x event x role, against a copy typed by hand from the standard, state by state.

The copy is a column of the printed table at a time (the machine's source shows it row by row), and then both are held
against the table of a second implementation.
"""

import pytest

from dicos_proto.upper_layer.machine import ACTIONS, NOT_ACCEPTABLE, TABLE, Action, Effect, Evt, Role, State, step

ABORTED = "AA-8 13"
PROVIDER_ABORTS = dict.fromkeys((3, 4, 6, 10, 12, 13, 19), ABORTED)
"""The PDUs that a state does not expect, and unrecognized PDUs; each column removes those that its state expects."""


def column(**cells: str) -> dict[int, str]:
    return {int(name.removeprefix("e")): cell for name, cell in cells.items()}


def without(cells: dict[int, str], *events: int) -> dict[int, str]:
    return {event: cell for event, cell in cells.items() if event not in events}


OPEN = column(e15="AA-1 13", e16="AA-3 1", e17="AA-4 1")
"""The cells common to Sta3 and Sta5 to Sta12: the user aborts, the peer aborts, the connection closes."""

TYPED: dict[int, dict[int, str]] = {
    1: column(e1="AE-1 4", e5="AE-5 2"),
    2: {
        **dict.fromkeys((3, 4, 10, 12, 13, 19), "AA-1 13"),
        **column(e6="AE-6 3|13", e16="AA-2 1", e17="AA-5 1", e18="AA-2 1"),
    },
    3: {**PROVIDER_ABORTS, **OPEN, **column(e7="AE-7 6", e8="AE-8 13")},
    4: column(e2="AE-2 5", e15="AA-2 1", e17="AA-4 1"),
    5: {**without(PROVIDER_ABORTS, 3, 4), **OPEN, **column(e3="AE-3 6", e4="AE-4 1")},
    6: {
        **without(PROVIDER_ABORTS, 10, 12),
        **OPEN,
        **column(e9="DT-1 6", e10="DT-2 6", e11="AR-1 7", e12="AR-2 8"),
    },
    7: {**without(PROVIDER_ABORTS, 10, 12, 13), **OPEN, **column(e10="AR-6 7", e12="AR-8 9|10", e13="AR-3 1")},
    8: {**PROVIDER_ABORTS, **OPEN, **column(e9="AR-7 8", e14="AR-4 13")},
    9: {**PROVIDER_ABORTS, **OPEN, **column(e14="AR-9 11")},
    10: {**without(PROVIDER_ABORTS, 13), **OPEN, **column(e13="AR-10 12")},
    11: {**without(PROVIDER_ABORTS, 13), **OPEN, **column(e13="AR-3 1")},
    12: {**PROVIDER_ABORTS, **OPEN, **column(e14="AR-4 13")},
    13: {
        **dict.fromkeys((3, 4, 10, 12, 13), "AA-6 13"),
        **dict.fromkeys((6, 19), "AA-7 13"),
        **column(e16="AA-2 1", e17="AR-5 1", e18="AA-2 1"),
    },
}
for number in (3, 5, 6, 7, 8, 9, 10, 11, 12):
    TYPED[number].setdefault(6, ABORTED)

CASES = [
    pytest.param(state, event, role, id=f"{state.name}-{event.name}-{role.value}")
    for state in State
    for event in Evt
    for role in Role
]


@pytest.mark.parametrize(("state", "event", "role"), CASES)
def test_every_cell(state: State, event: Evt, role: Role) -> None:
    cell = TYPED[state].get(event)
    found = step(state, event, role)
    if cell is None:
        assert found is None
        return
    action, _, states = cell.partition(" ")
    first, _, second = states.partition("|")
    assert found is not None
    if action == "AE-6":
        assert found == (Action("AE-6"), State(int(first)))
        assert step(state, event, role, acceptable=False) == (Action("AE-6"), State(int(second)))
    elif action == "AR-8":
        assert found == (Action("AR-8"), State(int(first if role is Role.REQUESTOR else second)))
    else:
        assert found == (Action(action), State(int(first)))


def test_the_size_of_the_table() -> None:
    assert (len(State), len(Evt), len(Action)) == (13, 19, 28)
    assert len(TABLE) == sum(map(len, TYPED.values())) == 123


EFFECTS = {
    # Tables 9-6 to 9-9, a letter an effect in the order the standard lists them: c connect, t transport response,
    # s send the PDU, u send A-ABORT (user), p send A-ABORT (provider), i indicate, P indicate A-P-ABORT,
    # + start ARTIM, - stop ARTIM, x close, 0 ignore
    "AE-1": "c", "AE-2": "s", "AE-3": "i", "AE-4": "ix", "AE-5": "t+", "AE-6": "-i", "AE-7": "s", "AE-8": "s+",
    "DT-1": "s", "DT-2": "i",
    "AR-1": "s", "AR-2": "i", "AR-3": "ix", "AR-4": "s+", "AR-5": "-", "AR-6": "i", "AR-7": "s", "AR-8": "i",
    "AR-9": "s", "AR-10": "i",
    "AA-1": "u+", "AA-2": "-x", "AA-3": "ix", "AA-4": "P", "AA-5": "-", "AA-6": "0", "AA-7": "p", "AA-8": "pP+",
}  # fmt: skip
LETTERS = {
    Effect.CONNECT: "c", Effect.ANSWER_TRANSPORT: "t", Effect.SEND: "s", Effect.SEND_USER_ABORT: "u",
    Effect.SEND_PROVIDER_ABORT: "p", Effect.INDICATE: "i", Effect.INDICATE_P_ABORT: "P", Effect.START_ARTIM: "+",
    Effect.STOP_ARTIM: "-", Effect.CLOSE: "x", Effect.IGNORE: "0", Effect.SEND_REJECT: "r",
}  # fmt: skip


@pytest.mark.parametrize("action", Action)
def test_what_each_action_does(action: Action) -> None:
    assert "".join(LETTERS[effect] for effect in ACTIONS[action]) == EFFECTS[action.value]


def test_what_is_done_with_a_request_the_provider_cannot_accept() -> None:
    assert "".join(LETTERS[effect] for effect in NOT_ACCEPTABLE) == "-r+"


DIFFERENCES: dict[tuple[str, str], str] = {}
"""(event, state) where the second implementation's table departs from the standard's; none does."""


def test_a_second_implementation_has_the_same_table() -> None:
    fsm = pytest.importorskip("pynetdicom.fsm", reason="pynetdicom is not installed")
    theirs = dict(fsm.TRANSITION_TABLE)
    ours = {(event.name, state.name): cell.action.value for (event, state), cell in TABLE.items()}
    assert {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)} == set(DIFFERENCES)


def test_a_second_implementation_has_the_same_next_states() -> None:
    """There a next state belongs to the action, not to the cell: every cell of an action must then agree."""
    fsm = pytest.importorskip("pynetdicom.fsm", reason="pynetdicom is not installed")
    assert {action.value for action in Action} == set(fsm.ACTIONS)
    for cell in TABLE.values():
        states = fsm.ACTIONS[cell.action.value][2]
        # AE-6 and AR-8 alone have a choice: (Sta3, Sta13) and (Sta9, Sta10).
        first, second = states if isinstance(states, tuple) else (states, states)
        assert (cell.state.name, cell.otherwise.name) == (first, second)
        assert (first != second) == (cell.action in (Action.AE_6, Action.AR_8))
