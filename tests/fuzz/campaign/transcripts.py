"""Transcripts written by hand, for the tests of the oracles: good PDUs of both sides, and lines in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dicos_fuzz.campaign.engines import LEARNED
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.responding import acceptance
from dicos_fuzz.campaign.scenarios.scripts import Talk, pdu
from dicos_fuzz.conversation import Conversation, Entry, Side, Transcript, What
from dicos_fuzz.finding import Violation
from dicos_fuzz.grammar.building import message
from dicos_proto.dimse.types import CEchoResponse, Command, CStoreResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest

TALK = Talk.of(LEARNED)
RQ = TALK.rq
RELEASE, RELEASE_RP, ABORT = pdu(5, bytes(4)), pdu(6, bytes(4)), pdu(7, bytes((0, 0, 2, 1)))
USER_ABORT, REJECT = pdu(7, bytes(4)), pdu(3, bytes((0, 1, 1, 7)))
CT = uids.CT_IMAGE_STORAGE
STORAGE = 3
"""The id of the context of storage in `TALK`."""


def accepted(rq: bytes = RQ) -> AssociateAccept:
    """The answer that accepts every context."""
    asked = decode(rq)
    assert isinstance(asked, AssociateRequest)
    found = acceptance(asked)
    assert isinstance(found, AssociateAccept)
    return found


def ac(rq: bytes = RQ, **changed: object) -> bytes:
    """That answer as bytes, with other fields."""
    return encode(replace(accepted(rq), **changed))  # type: ignore[arg-type]


def said(context: int, command: Command, data: bytes | None = None) -> bytes:
    """A message as one run of P-DATA-TFs."""
    return b"".join(message(context, command, data))


def echoed(message_id: int = 1, *, status: int = 0, context: int = 1) -> bytes:
    """A C-ECHO-RSP."""
    response = CEchoResponse(
        message_id_being_responded_to=message_id, affected_sop_class_uid=uids.VERIFICATION, status=status
    )
    return said(context, response)


def stored(message_id: int = 1, *, status: int = 0, context: int = STORAGE) -> bytes:
    """A C-STORE-RSP."""
    response = CStoreResponse(message_id_being_responded_to=message_id, affected_sop_class_uid=CT, status=status)
    return said(context, response)


Line = tuple[str, bytes] | str
STALLED = "stalled"


def played(*lines: Line, connection: int = 0) -> list[Entry]:
    """Lines of one connection: ("sent", bytes), ("received", bytes), or the name of another kind of line; `STALLED` is
    "quiet" after a minute and more."""
    found = [Entry(0.0, connection, What.OPENED)]
    for number, line in enumerate(lines, 1):
        what, data = (line, b"") if isinstance(line, str) else line
        if what is STALLED:
            found.append(Entry(number / 10 + 66, connection, What.QUIET))
            continue
        found.append(Entry(number / 10, -1 if what in ("checked", "unanswered") else connection, What(what), data))
    return found


def sent(data: bytes) -> Line:
    return "sent", data


def got(data: bytes) -> Line:
    return "received", data


ASSOCIATED = (sent(RQ), got(ac()))
"""The first lines of an association."""


def judged(
    *lines: Line,
    expect: str = "any",
    side: Side = Side.USER,
    name: str = "tested/case: one",
    entries: Iterable[Entry] = (),
) -> list[Violation]:
    """The violations in these lines of one connection, or in `entries`."""
    transcript = Transcript([*entries] or played(*lines))
    conversation = Conversation(name=name, about="a test", clause="PS3.8 0", expect=expect, steps=(), side=side)
    return judge(conversation, transcript, LEARNED)


def oracles(violations: Iterable[Violation]) -> list[str]:
    """Their names, sorted."""
    return sorted(one.oracle for one in violations)
