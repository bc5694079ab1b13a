"""Every flag of `Tolerance`: a deviation that a strict engine refuses, and that it accepts and reports with the flag.

Knows: one example of each deviation, as edits of a valid PDU. Must not know: how the engine recognises it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dicos_proto.association import Association, judge_of
from dicos_proto.data.elements import DataSetError
from dicos_proto.dimse.codec import encode_command
from dicos_proto.registry import uids
from dicos_proto.tolerance import CLAUSES, Tolerance
from dicos_proto.upper_layer.events import Deviation
from dicos_proto.upper_layer.machine import State
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import AssociateReject

from ....grammar import message, read_pdu
from ....grammar.building import p_data
from ....tree import Action, Edit, apply
from ....tree import encode as encode_tree
from ...model import menu
from ...model.neutral import Neutral
from ...model.running import LIMITS, Run
from ...model.scripts import Receive, Say, Script, Step
from ...model.table import PROVIDER, USER
from ..record import Coverage
from .probes import Unreached
from .scripts import to

__all__ = ["FLAGS", "Flag", "run_flag", "scripts"]

_RQ = encode(menu.REQUESTS[1])
_AC, _PLAIN_AC = encode(menu.answer(menu.REQUESTS[1], 0)), encode(menu.answer(menu.REQUESTS[0], 0))
_CLASS: Final = menu.CLASS_OF["C-ECHO-RQ"]
_LATIN: Final = b"\x10\0\x10\0\6\0\0\0M\xfcller"
"""A person's name beyond ASCII, invented, in a data set that names no character set."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A deviation. `before`: the steps that lead to it; `data`: the bytes that deviate. `fatal`: a strict engine ends
    the association; otherwise its policy, or the reader of the data set, refuses."""

    name: str
    role: str
    before: tuple[Step, ...]
    data: bytes
    fatal: bool = True


def _asked(name: str, *edits: Edit, fatal: bool = True) -> Flag:
    """A deviation in an A-ASSOCIATE-RQ."""
    return Flag(name, PROVIDER, to(PROVIDER, 2), encode_tree(apply(read_pdu(_RQ), list(edits))), fatal)


def _answered(name: str, *edits: Edit, request: int = 1, answer: bytes = _AC) -> Flag:
    """A deviation in an A-ASSOCIATE-AC to a request of the menu."""
    return Flag(name, USER, (Say("request", variant=request),), encode_tree(apply(read_pdu(answer), list(edits))))


def _heard(name: str, data: bytes, *before: Step, role: str = PROVIDER, fatal: bool = True) -> Flag:
    """A deviation in Sta6."""
    return Flag(name, role, (*to(role, 6), *before), data, fatal)


def _set(path: str, value: bytes) -> Edit:
    return Edit(path, Action.SET, value)


def _message(name: str, context: int = 1, *, variant: int = 0, data: bytes | None = None) -> bytes:
    made = menu.command(menu.CLASS_OF[name], context, 1, variant)
    return b"".join(message(context, made.command, data))


_ECHO: Final = encode_command(menu.command(_CLASS, 1, 1, 0).command, has_data=False)
_STORE: Final = encode_command(menu.command(menu.CLASS_OF["C-STORE-RQ"], 3, 1, 0).command, has_data=True)
_CONTEXT, _USER = "presentation context", "user information"
_ABSTRACT: Final = f"{_CONTEXT}/abstract syntax/UID"

FLAGS: Final = (
    _answered("answer_item_length", Edit(f"{_CONTEXT}/length", Action.LENGTH, 29)),
    _heard("joined_data_set", p_data((3, True, True, _STORE + bytes(20)))),
    _heard("short_abort", b"\7\0\0\0\0\4\1\5", fatal=False),
    _asked(
        "identity_without_secondary", _set(f"{_USER}/user identity/type#2", b"\1"),
        Edit(f"{_USER}/user identity/secondary", Action.DELETE),
    ),
    _answered(
        "unasked_identity_response", Edit(f"{_USER}/maximum length", Action.INSERT, bytes.fromhex("590000020000")),
        request=0, answer=_PLAIN_AC,
    ),
    _answered("contexts_unanswered", Edit(_CONTEXT, Action.DELETE)),
    _asked("uid_leading_zeros", _set(_ABSTRACT, b"1.2.03")),
    _asked("uid_invalid_root", _set(_ABSTRACT, b"9.2.3")),
    _asked("uid_too_long", _set(_ABSTRACT, b"1.2." + b"3" * 66)),
    _asked("uid_padded", _set(_ABSTRACT, b"1.2.3\0")),
    Flag(
        "over_max_length", PROVIDER, (*to(PROVIDER, 3), Say("accept", variant=1)),  # its Maximum Length is 100
        b"".join(message(1, replace(menu.command(_CLASS, 1, 1, 0).command, other=((0x5010, bytes(60)),)))),
    ),
    _asked("missing_user_information", Edit(f"{_USER}/maximum length", Action.DELETE)),
    _asked("blank_title", _set("calling title", b" " * 16), fatal=False),
    _asked("non_ascii_title", _set("calling title", "Köln".encode("latin-1").ljust(16)), fatal=False),
    _heard("report_without_role", _message("N-EVENT-REPORT-RQ")),
    _asked("informative_text", _set(f"{_USER}/implementation version/name", b"a name that is too long")),
    _asked("informative_number", _set(f"{_USER}/user identity/response requested", b"\7")),
    _asked("title_padded", _set("calling title", b"USER\0buffer".ljust(16)), fatal=False),
    _asked("repeated_item", Edit(f"{_USER}/maximum length", Action.REPEAT)),
    _answered(
        "unasked_window", Edit(f"{_USER}/maximum length", Action.INSERT, bytes.fromhex("5300000400050005")), request=0,
        answer=_PLAIN_AC,
    ),
    _asked(
        "role_of_neither", _set(f"{_USER}/role selection/SCU role", b"\0"),
        _set(f"{_USER}/role selection/SCP role", b"\0"), fatal=False,
    ),
    _asked("item_no_uid", _set(f"{_CONTEXT}/transfer syntax/UID", b"")),
    _answered("unreadable_item", _set(f"{_USER}/operations window/performed", b"\1")),
    _heard("command_layout", p_data((1, True, True, _ECHO[12:]))),
    _heard("unwanted_data_set", p_data((1, True, True, _ECHO.replace(b"\2\0\0\0\1\1", b"\2\0\0\0\1\0")))),
    _heard("response_on_other_context", _message("C-ECHO-RSP", 3), Say("C-ECHO-RQ"), role=USER),
    _heard("store_without_role", _message("C-STORE-RQ", 3, data=bytes(10)), Say("C-GET-RQ", 3), Say("last data", 3),
           role=USER),
    _heard("missing_character_set", _message("N-SET-RQ", data=_LATIN), fatal=False),
)  # fmt: skip
"""One deviation for each flag, in the order of `Tolerance`."""
_LEFT = {*CLAUSES} - {one.name for one in FLAGS}
assert not _LEFT, f"flags without a driver: {_LEFT}"


def scripts() -> list[Script]:
    """Returns the deviations as scripts, which a strict engine refuses: all that the model knows about."""
    return [Script(one.role, "association", (*one.before, Receive(one.data))) for one in FLAGS]


def run_flag(flag: Flag, coverage: Coverage) -> None:
    """Feeds the deviation to a strict engine and to one with the flag; notes both. Raises `Unreached`."""
    strict, told = _fed(flag, Tolerance())
    refused = "A-P-ABORT" in told if flag.fatal else _REFUSED[flag.name](strict)
    if not refused or "deviation" in told:
        raise Unreached(f"{flag.name}: a strict engine tells {told}")
    coverage.note("tolerance", f"{flag.name} refused")
    lenient, told = _fed(flag, Tolerance(**{flag.name: True}))
    if not flag.fatal:
        _REFUSED[flag.name](lenient)
    names = [one.name for one in _deviations(lenient)]
    if "A-P-ABORT" in told or names != [flag.name]:
        raise Unreached(f"{flag.name}: an engine with the flag tells {told}, deviations {names}")
    coverage.note("tolerance", f"{flag.name} accepted")


def _fed(flag: Flag, tolerance: Tolerance) -> tuple[Run, list[Neutral]]:
    run = Run(flag.role, "association", LIMITS[0], tolerance=tolerance)
    for step in flag.before:
        run.step(step)
    return run, run.step(Receive(flag.data)).told


def _deviations(run: Run) -> tuple[Deviation, ...]:
    engine = run.engine
    assert isinstance(engine, Association)
    while engine.next_event() is not None and not engine.wants_close:
        pass
    return engine.terms.deviations


# -- refusals that do not end the association --------------------------------------------------------------------------


def _is_rejected(run: Run) -> bool:
    """The policy rejects the title [PS3.8 table 9-21]."""
    assert run.request is not None
    assert isinstance(run.engine, Association)
    answer = negotiate(run.request, menu.POLICIES[0], run.engine.terms.tolerance)
    return isinstance(answer, AssociateReject)


def _has_no_role(run: Run) -> bool:
    """The roles are granted as proposed: none."""
    assert run.request is not None
    assert isinstance(run.engine, Association)
    answer = negotiate(run.request, menu.POLICIES[0], run.engine.terms.tolerance)
    assert not isinstance(answer, AssociateReject)
    return any(not one.scu and not one.scp for one in answer.user_information.roles)


def _cannot_be_decoded(run: Run) -> bool:
    from dicos_proto.data.datasets import decode

    assert isinstance(run.engine, Association)
    try:
        decode(_LATIN, uids.IMPLICIT_VR_LE, judge_of(run.engine))
    except DataSetError:
        return True
    return False


def _waits(run: Run) -> bool:
    """The rest of the A-ABORT is awaited."""
    return run.engine.state is State.Sta6


_REFUSED: Final[Mapping[str, Callable[[Run], bool]]] = {
    "short_abort": _waits,
    "blank_title": _is_rejected,
    "non_ascii_title": _is_rejected,
    "title_padded": _is_rejected,
    "role_of_neither": _has_no_role,
    "missing_character_set": _cannot_be_decoded,
}
