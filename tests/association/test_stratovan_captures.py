"""Replays captures of pyDICOS 1.3.0: each direction of each capture, with the engine as receiver.

The captures lie beside the checkout. Without them, `test_tolerance` has each of their deviations, written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dicos_proto.association import Association
from dicos_proto.dimse.events import Event, MessageData, MessageStart
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse, CStoreRequest, CStoreResponse
from dicos_proto.dissect import Dissector
from dicos_proto.registry import uids
from dicos_proto.tolerance import STRATOVAN, STRICT, Tolerance
from dicos_proto.upper_layer.events import Closed, Deviation, ProviderAbort
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ReleaseRequest,
    ReleaseResponse,
    UserIdentity,
)
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.upper_layer.recognition import AUTOMATIC
from tests.pair import Lone, Splitter, data, joined, pdus, splitters, start

CAPTURES = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "captures" / "pydicos"
pytestmark = pytest.mark.skipif(not CAPTURES.is_dir(), reason=f"no captures in {CAPTURES}")

JPEG, EXTENDED = uids.JPEG_LOSSLESS_SV1, uids.DICOS_EXPLICIT_VR_LE_EXTENDED
POLICY = AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES)
ECHO = CEchoRequest(message_id=0, affected_sop_class_uid=uids.VERIFICATION)
ECHO_RSP = CEchoResponse(message_id_being_responded_to=0, status=0, affected_sop_class_uid=uids.VERIFICATION)
FIRST, SECOND = "1720554634.52603.05867.017031.022107132188135075", "1420515891.38676.26023.193226.179039147030234059"


def store(instance: str) -> CStoreRequest:
    return CStoreRequest(
        message_id=0,
        affected_sop_class_uid=uids.DICOS_CT,
        affected_sop_instance_uid=instance,
        move_originator_aet="CT_SCANNER_1",
        move_originator_message_id=0,
    )


def store_rsp(instance: str) -> CStoreResponse:
    return CStoreResponse(
        message_id_being_responded_to=0,
        status=0,
        affected_sop_class_uid=uids.DICOS_CT,
        affected_sop_instance_uid=instance,
        other=((0x0110, b"\1\0"),),  # its response carries a message id of its own
    )


@dataclass(frozen=True)
class Capture:
    """The expected content of one capture. `asks`, `answers`: the deviations of each direction.

    `strict_*`: why STRICT refuses it. `requests`: the messages from client to server. `says`: the events from the
    server after its first PDU.
    """

    asks: list[str]
    answers: list[str]
    requests: list[Event]
    says: list[Event]
    strict_asks: str | None
    strict_answers: str | None
    accepted: dict[int, str] | None = None
    identity: UserIdentity | None = None


ROOT, ZEROS, JOINED, SECONDARY = (
    "uid_invalid_root",
    "uid_leading_zeros",
    "joined_data_set",
    "identity_without_secondary",
)
ANSWER = ["answer_item_length", ROOT, "unasked_identity_response"]
BAD_ROOT = (
    "implementation class UID '589819685.55210.17349.165143.11411818077180154' begins with invalid arcs [PS3.5 9.1]"
)
COUNTS = "presentation context item of 34 bytes counts the 4 of its own header [PS3.8 9.3.3.2]"
CONTEXTS = dict.fromkeys(range(1, 24, 2), EXTENDED)
END, END_RSP = ReleaseRequest(), ReleaseResponse()


def captured(name: str, begin: int = 0, end: int | None = None) -> bytes:
    """A part of a file; nothing where there are none, and no test runs then."""
    path = CAPTURES / name
    return path.read_bytes()[begin:end] if path.is_file() else b""


ECHOED = Capture([ROOT], ANSWER, [start(1, ECHO), END], [start(1, ECHO_RSP), END_RSP], BAD_ROOT, COUNTS, {1: EXTENDED})
CASES: dict[str, Capture] = {
    "echo": ECHOED,
    "names_ok": ECHOED,
    "ct_default": Capture(
        [ROOT, ZEROS, JOINED], [*ANSWER, ZEROS],
        [start(1, store(FIRST), has_data=True), data(1, captured("ct_default.c2s.bin", 1792, 4668)), END],
        [start(1, store_rsp(FIRST)), END_RSP], BAD_ROOT, COUNTS, {**CONTEXTS, 1: JPEG, 9: JPEG, 17: JPEG},
    ),
    "ct_nocomp": Capture(
        [ROOT, JOINED], ANSWER,
        [start(1, store(SECOND), has_data=True), data(1, captured("datasets/ct_ext64.ds")), END],
        [start(1, store_rsp(SECOND)), END_RSP], BAD_ROOT, COUNTS, CONTEXTS,
    ),
    "user_ok": Capture(
        [ROOT, SECONDARY], [], [], [Closed()], BAD_ROOT, None,
        identity=UserIdentity(type=1, primary=b"UserA", response_requested=True),
    ),
    "up_bad": Capture(
        [ROOT], [], [], [Closed()], BAD_ROOT, None,
        identity=UserIdentity(type=2, primary=b"UserA", secondary=b"nope", response_requested=True),
    ),
    # The bytes of a client made for this purpose, and the reaction of the server.
    "odd0": Capture(
        [], [*ANSWER[::2], "short_abort"],
        [start(3, CStoreRequest(message_id=1, affected_sop_class_uid=uids.DICOS_CT,
                                affected_sop_instance_uid="1.2.3.4"), has_data=True),
         data(3, captured("odd0.c2s.bin", 408, 1408), last=False)],
        [Abort(source=1, reason=5), Closed()], None, COUNTS, {1: EXTENDED, 3: EXTENDED},
    ),
    "pynetdicom_vs_pydicos_server": Capture(
        [], ANSWER[::2], [Abort(source=2, reason=0), Closed()], [], None, COUNTS.replace("34", "31"),
        {1: uids.EXPLICIT_VR_LE},
    ),
    "reject_some_contexts_vs_pynetdicom": Capture(
        [ROOT], [], [END], [END_RSP], BAD_ROOT, None, {1: uids.EXPLICIT_VR_LE},
    ),
}  # fmt: skip
NAMES = pytest.mark.parametrize("name", CASES)
SPLITS = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def stream(name: str, direction: str) -> bytes:
    return (CAPTURES / f"{name}.{direction}.bin").read_bytes()


OURS = uids.IMPLEMENTATION_CLASS_UID


def own_request(name: str, *, echoed: bool = False) -> AssociateRequest:
    """The captured A-ASSOCIATE-RQ as a request of ours: with an implementation class UID that can be sent."""
    asked = decode(pdus(stream(name, "c2s"))[0], tolerance=STRATOVAN)
    assert isinstance(asked, AssociateRequest)
    theirs = asked.user_information.implementation_class_uid
    ours = replace(asked.user_information, implementation_class_uid=same_length(theirs) if echoed else OURS)
    return replace(asked, user_information=ours)


def feed(lone: Lone, received: bytes, react: Callable[[Event], None]) -> list[Event]:
    """Returns the events of the engine for these bytes, split. `react` is the user's reaction to each event."""
    found: list[Event] = []
    for chunk in lone.split([received]):
        lone.engine.receive_data(chunk)
        while (event := lone.engine.next_event()) is not None:
            found.append(event)
            if isinstance(event, Closed):
                break
            react(event)
    while found[-2:] == [Closed(), Closed()]:
        found.pop()
    return joined(found)


def as_provider(name: str, split: Splitter, tolerance: Tolerance) -> tuple[Lone, list[Event]]:
    lone = Lone(Association.acceptor(tolerance=tolerance), split)

    def react(event: Event) -> None:
        if isinstance(event, AssociateRequest):
            lone.engine.send(negotiate(event, POLICY, tolerance))

    return lone, feed(lone, stream(name, "c2s"), react)


def as_user(name: str, split: Splitter, tolerance: Tolerance, *, echoed: bool = False) -> tuple[Lone, list[Event]]:
    """The user has asked what the captured client asked, and goes on as that one did.

    `echoed`: the server repeats the implementation of our request, as it does on the wire."""
    received = stream(name, "s2c")
    if echoed:
        received = received.replace(*implementation(name))
    lone = Lone(Association.requestor(own_request(name, echoed=echoed), tolerance=tolerance), split)
    case = CASES[name]

    def react(event: Event) -> None:
        first = case.requests[:1]
        if isinstance(event, AssociateAccept) and first != [Abort(source=2, reason=0)]:
            for each in case.requests:
                if isinstance(each, MessageStart | MessageData) or each == END == first[0]:
                    lone.engine.send(each)
        elif isinstance(event, MessageStart):
            lone.engine.send(END)

    return lone, feed(lone, received, react)


def implementation(name: str) -> tuple[bytes, bytes]:
    """The class UID in a capture, and ours padded to that length in the only way that keeps all lengths: by a longer
    last component."""
    asked = decode(pdus(stream(name, "c2s"))[0], tolerance=STRATOVAN)
    assert isinstance(asked, AssociateRequest)
    theirs = asked.user_information.implementation_class_uid
    return theirs.encode(), same_length(theirs).encode()


def same_length(theirs: str) -> str:
    """A class UID that can be sent, as long as this one."""
    return uids.IMPLEMENTATION_CLASS_UID[: len(theirs)].rstrip(".").ljust(len(theirs), "1")


def names_of(found: Iterable[Event]) -> list[str]:
    return [event.name for event in found if isinstance(event, Deviation)]


def without_deviations(found: Iterable[Event]) -> list[Event]:
    return [event for event in found if not isinstance(event, Deviation)]


def test_every_capture_has_its_case() -> None:
    found = {path.name.removesuffix(".c2s.bin") for path in CAPTURES.glob("*.c2s.bin")}
    assert found == set(CASES)


@SPLITS
@NAMES
def test_from_the_client(name: str, split: Splitter) -> None:
    case = CASES[name]
    lone, found = as_provider(name, split, STRATOVAN)
    assert names_of(found) == case.asks == [one.name for one in lone.engine.terms.deviations]
    asked, *rest = without_deviations(found)
    assert isinstance(asked, AssociateRequest)
    assert (asked.called_aet, asked.user_information.user_identity) == ("CENTRAL_SERVER", case.identity)
    if name == "odd0":
        *rest, wrong = rest
        assert isinstance(wrong, ProviderAbort)
        assert "command PDV inside the data set on context 3" in str(wrong.error)
    assert rest == case.requests


RECOGNIZED = {name for name in CASES if name not in ("odd0", "pynetdicom_vs_pydicos_server")}
"""The captures whose client is Stratovan's toolkit; the others were made by a client that is not."""


@SPLITS
@NAMES
def test_automatic_is_like_stratovan_for_the_client_and_says_so_once(name: str, split: Splitter) -> None:
    _, found = as_provider(name, split, AUTOMATIC)
    _, known = as_provider(name, split, STRATOVAN)
    assert without_recognition(found) == known
    assert recognized_by(found) == ([ROOT] if name in RECOGNIZED else [])


@SPLITS
@NAMES
def test_automatic_is_like_stratovan_for_the_server_and_says_so_once(name: str, split: Splitter) -> None:
    _, found = as_user(name, split, AUTOMATIC, echoed=True)
    _, known = as_user(name, split, STRATOVAN, echoed=True)
    assert without_recognition(found) == known
    assert recognized_by(found) == (["answer_item_length"] if CASES[name].answers else [])


@NAMES
def test_automatic_refuses_an_acceptor_that_breaks_the_same_rule_and_has_a_name_of_its_own(name: str) -> None:
    """The answers in the captures repeat the name of the toolkit's client, not that of ours."""
    _, found = as_user(name, splitters()["whole"], AUTOMATIC)
    reasons = [str(event.error) for event in found if isinstance(event, ProviderAbort)]
    assert reasons == ([] if CASES[name].strict_answers is None else [CASES[name].strict_answers])
    assert recognized_by(found) == []


def recognized_by(found: Iterable[Event]) -> list[str]:
    return [event.name for event in found if isinstance(event, Deviation) and event.recognized]


def without_recognition(found: Iterable[Event]) -> list[Event]:
    return [replace(event, recognized="") if isinstance(event, Deviation) else event for event in found]


def test_the_compressed_one_is_what_the_client_wrote_to_a_file() -> None:
    """Equal except for UIDs: the file is from another run, which made new ones of the same length."""
    _, found = as_provider("ct_default", splitters()["whole"], STRATOVAN)
    (sent,) = (event for event in found if isinstance(event, MessageData))
    written = captured("datasets/ct_jpeg.ds")
    assert sent.data != written
    assert without_names(bytes(sent.data)) == without_names(written)


UID = re.compile(rb"[0-9]{6,}(\.[0-9]+){3,}")


def without_names(content: bytes) -> bytes:
    return UID.sub(lambda found: b"#" * len(found[0]), content)


@SPLITS
@NAMES
def test_from_the_server(name: str, split: Splitter) -> None:
    case = CASES[name]
    lone, found = as_user(name, split, STRATOVAN)
    assert names_of(found) == case.answers == [one.name for one in lone.engine.terms.deviations]
    answer, *rest = without_deviations(found)
    if case.accepted is None:
        assert answer == AssociateReject(result=1, source=2, reason=1)
    else:
        assert isinstance(answer, AssociateAccept)
        found_contexts = {one.id: one.transfer_syntax for one in answer.contexts if one.result == 0}
        assert found_contexts == case.accepted
    assert without(Closed(), rest) == without(Closed(), case.says)
    if case.says:
        assert lone.engine.wants_close is (case.says[-1] in (Closed(), END_RSP))


def without(event: Event, found: list[Event]) -> list[Event]:
    return [each for each in found if each != event]


@SPLITS
@NAMES
def test_strict_refuses_the_client_by_name(name: str, split: Splitter) -> None:
    case = CASES[name]
    _, found = as_provider(name, split, STRICT)
    assert names_of(found) == []
    reasons = [str(event.error) for event in found if isinstance(event, ProviderAbort)]
    if case.strict_asks is not None:
        assert reasons == [case.strict_asks]
    else:
        assert isinstance(found[0], AssociateRequest)
        assert len(reasons) == (name == "odd0")


@SPLITS
@NAMES
def test_strict_refuses_the_server_by_name(name: str, split: Splitter) -> None:
    case = CASES[name]
    _, found = as_user(name, split, STRICT)
    assert names_of(found) == []
    reasons = [str(event.error) for event in found if isinstance(event, ProviderAbort)]
    assert reasons == ([] if case.strict_answers is None else [case.strict_answers])


@pytest.mark.parametrize(("name", "text"), [
    ("ct_default", "(0000,1000) of 48 bytes has a component that begins with 0 [PS3.5 9.1]"),
    ("ct_nocomp", "command group length 164 before 5284 bytes [PS3.7 6.3.1]"),
])  # fmt: skip
def test_without_one_flag_that_one_is_the_reason(name: str, text: str) -> None:
    _, found = as_provider(name, splitters()["whole"], Tolerance(uid_invalid_root=True, joined_data_set="de" in name))
    assert isinstance(found[-1], ProviderAbort)
    assert str(found[-1].error) == text


def test_a_short_abort_in_strict_is_a_connection_that_ends_within_one() -> None:
    lone = Lone(Association.requestor(own_request("odd0"), tolerance=replace(STRATOVAN, short_abort=False)))
    lone.feed(stream("odd0", "s2c"))
    lone.engine.receive_eof()
    abort, closed = lone.events()
    assert isinstance(abort, ProviderAbort)
    assert str(abort.error) == "connection closed by the peer in Sta6, in an A-ABORT, 2 bytes before its end"
    assert closed == Closed()


@NAMES
@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_dissected_to_the_end(name: str, direction: str) -> None:
    """Each quirk in the decodes that lie beside the captures is a deviation here; the rest is dissected."""
    raw = stream(name, direction)
    one = Dissector()
    lines = [*one.feed(raw), *one.end()]
    assert not any("malformed" in line or "not a PDU" in line or "the bytes end" in line for line in lines)
    told = (CAPTURES / f"{name}.{direction}.txt").read_text()
    assert [line.split(",")[0] for line in lines if not line.startswith(" ") and not line.startswith("P-DATA")] == [
        found for found in re.findall(r"^@\d+ PDU \S+ (\S+)", told, re.MULTILINE) if found != "P-DATA-TF"
    ]
    marked = {
        "answer_item_length": "QUIRK:length field 4 too large", "joined_data_set": "QUIRK: \\d+ bytes of data set",
        "short_abort": "QUIRK: only 2 bytes", "identity_without_secondary": "QUIRK: secondary-field-length missing",
    }  # fmt: skip
    for flag, mark in marked.items():
        assert any(f"deviation ({flag})" in line for line in lines) is (re.search(mark, told) is not None), flag
