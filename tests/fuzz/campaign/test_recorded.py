"""A recorded association becomes a conversation without what was recorded of people."""

from __future__ import annotations

from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.player import Peer, Player
from dicos_fuzz.campaign.recorded import STEPS, conversation_of
from dicos_fuzz.conversation import Send
from dicos_fuzz.grammar import Offer, echo, message, pdus_of, request
from dicos_proto.dimse.types import CFindRequest, CMoveRequest, CStoreRequest
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import UserIdentity, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from tests.transports.servers import serving

CT, FIND, MOVE = uids.CT_IMAGE_STORAGE, uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE
SECRET = b"SMITH^JOHN^SECRET"
INSTANCE = "1.2.840.99999.1.7"
RELEASE = bytes.fromhex("05000000000400000000")


def recording() -> bytes:
    offer = Offer(
        called="HOSPITAL",
        calling="SCANNER_7",
        contexts=((CT, (uids.EXPLICIT_VR_LE,)), (FIND, (uids.IMPLICIT_VR_LE,)), (MOVE, (uids.IMPLICIT_VR_LE,))),
        user_information=UserInformation(user_identity=UserIdentity(type=1, primary=b"dr.secret")),
    )
    store = CStoreRequest(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid=INSTANCE, move_originator_aet="SECRET_AE"
    )
    find = CFindRequest(message_id=2, affected_sop_class_uid=FIND)
    move = CMoveRequest(message_id=3, affected_sop_class_uid=MOVE, move_destination="SECRET_DST")
    data = b"\x10\x00\x10\x00PN\x12\x00" + SECRET + b" "
    return b"".join(
        (request(offer), *message(1, store, data * 2000), *message(3, find, data), *message(5, move, data), RELEASE)
    )


def test_order_contexts_and_messages_stay() -> None:
    made = conversation_of(recording(), "clinic.pcap: 1", Learned(called="PEER", calling="FUZZ"))
    assert made is not None
    assert made.name == "recorded/clinic.pcap: 1"
    sent = [step.message for step in made.steps if isinstance(step, Send)]
    assert [message[0] for message in sent] == [1, 4, 4, 4, 5]
    assert [pdu[10] for message in sent[1:4] for pdu in [next(iter(pdus_of(message)))]] == [1, 3, 5]
    with (
        serving("blocking", policy=AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES)) as server,
        Player(Peer(port=server.port), Learned()) as player,
    ):
        found = player.play(made)
    assert [pdu[0] for pdu in pdus_of(found.received())] == [2, 4, 4, 4, 6]


def test_nothing_of_people_is_sent() -> None:
    made = conversation_of(recording(), "x", Learned())
    assert made is not None
    wire = b"".join(step.wire() for step in made.steps if isinstance(step, Send))
    for secret in (SECRET, INSTANCE.encode(), b"SECRET", b"dr.secret", b"HOSPITAL", b"SCANNER_7"):
        assert secret not in wire


def test_long_recordings_are_cut() -> None:
    made = conversation_of(request(Offer()) + echo() * 500, "x", Learned())
    assert made is not None
    assert len(made.steps) == STEPS


def test_what_begins_no_association_is_left_out() -> None:
    for stream in (b"", b"GET / HTTP/1.1\r\n\r\n", echo(), request(Offer())[:50]):
        assert conversation_of(stream, "x", Learned()) is None


def test_damaged_messages_are_left_out() -> None:
    made = conversation_of(request(Offer()) + echo()[:30] + b"\x04\x00\x00\x00\x00\x01\x00" + echo(), "x", Learned())
    assert made is not None
