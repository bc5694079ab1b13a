"""The trace marks everything that the engine refuses, and nothing that it takes without a word.

A user says a good conversation in which one field or length is wrong, in every way that the grammar knows; our own
strict provider answers. The trace of both, seen from outside, is compared with what the provider reported.
"""

from __future__ import annotations

from contextlib import suppress

import pytest

from dicos_fuzz.captures.events import How
from dicos_fuzz.grammar.changing import changes
from dicos_fuzz.grammar.reading import read_stream
from dicos_fuzz.trace.entries import Over
from dicos_fuzz.tree import Action, apply
from dicos_fuzz.tree import encode as bytes_of
from dicos_proto import (
    AssociateRequest,
    Association,
    MessageStart,
    ProviderAbort,
    ReleaseRequest,
    ReleaseResponse,
    RemoteProtocolError,
    encode,
)
from dicos_proto.conversation import exchange
from dicos_proto.dimse.types import DimseRequest
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.upper_layer.events import Closed
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu_types import AssociateReject
from tests.fuzz.trace.saying import Said, message, trace
from tests.fuzz.trace.test_association import ECHO, PIXELS, STORE
from tests.pair import POLICY, REQUEST

GOOD = {
    "request": encode(REQUEST),
    "echo": message(ECHO, context=1),
    "store": message(STORE, data=PIXELS),
    "release": encode(ReleaseRequest()),
}
UNJUDGED = (
    "an odd number",  # fragments of odd length, which the engine takes
    "not decoded: ",  # a limit of ours
    "until the next PDU",
    "without a PDU",
    ", which is for ",  # a SOP class other than the context's, which a service refuses by its status
)


class Provider:
    """Our own provider, strict: what it says, and the error that it reports."""

    def __init__(self) -> None:
        self.association = Association.acceptor(limits=Limits(peer_max_length=8))
        self.error: RemoteProtocolError | None = None
        self.rejected = False

    def hear(self, data: bytes) -> bytes:
        association = self.association
        association.receive_data(data)
        while (event := association.next_event()) is not None and not isinstance(event, Closed):
            if isinstance(event, ProviderAbort) and isinstance(event.error, RemoteProtocolError):
                self.error = event.error
            elif isinstance(event, AssociateRequest):
                answer = negotiate(event, POLICY)
                self.rejected = isinstance(answer, AssociateReject)
                association.send(answer)
            elif isinstance(event, MessageStart) and isinstance(event.command, DimseRequest) and not event.has_data:
                self._answer(event)
            elif isinstance(event, ReleaseRequest):
                association.send(ReleaseResponse())
        out = b""
        while buffers := association.data_to_send():
            out += b"".join(bytes(one) for one in buffers)
        return out

    def _answer(self, event: MessageStart) -> None:
        with suppress(LocalProtocolError):  # it cannot be answered: the association has ended meanwhile
            self.association.send(exchange.response_to(event, 0))


def compared(parts: list[bytes]) -> tuple[RemoteProtocolError | None, bool, list[str]]:
    """The error that the provider reports, True if it rejected, and the marks of the requestor."""
    provider = Provider()
    said: list[Said] = []
    for part in parts:
        said.append((True, part))
        answer = provider.hear(part)
        if answer:
            said.append((False, answer))
        if provider.association.wants_close:
            break
    kept = trace(said, how=How.CUT)
    assert len(kept.of(Over)) == 1
    return provider.error, provider.rejected, [mark for mark in kept.marks() if mark.startswith("> ")]


def test_the_good_conversation_is_good() -> None:
    assert compared(list(GOOD.values())) == (None, False, [])


CHANGED = [(name, edit) for name, raw in GOOD.items() for edit in changes(read_stream(raw))]


@pytest.mark.parametrize("part", range(8))
def test_one_wrong_field_is_refused_and_marked_or_neither(part: int) -> None:
    different = []
    for name, edit in CHANGED[part::8]:
        parts = GOOD | {name: bytes_of(apply(read_stream(GOOD[name]), (edit,)))}
        error, rejected, marks = compared(list(parts.values()))
        judged = [mark for mark in marks if not any(text in mark for text in UNJUDGED)]
        noted = [mark for mark in marks if "note: " in mark]
        if error is not None and not marks:
            different.append(f"{name} {edit.path} {edit.action.value} {edit.value!r}: only the engine: {error}")
        elif edit.action is Action.REPEAT:  # two at once, before the answer to the first: the engine answers in between
            continue
        elif error is None and not rejected and [mark for mark in judged if mark not in noted]:
            different.append(f"{name} {edit.path} {edit.action.value} {edit.value!r}: only the trace: {judged}")
    assert different == []


def test_the_changes_are_many() -> None:
    assert len(CHANGED) > 300
