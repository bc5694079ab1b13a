"""Reactions become observations: stable where a peer reacts the same, different where it does not."""

from __future__ import annotations

from dicos_fuzz.campaign.bitmap import MOST, Bitmap, observations, reaction
from dicos_fuzz.conversation import Entry, Transcript, What
from dicos_fuzz.grammar import Offer, echo, message, request
from dicos_proto.dimse.types import CEchoResponse
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import Abort, AssociateReject, AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy

RQ = request(Offer())
ASKED = decode(RQ)
assert isinstance(ASKED, AssociateRequest)
ACCEPTED = encode(negotiate(ASKED, AcceptPolicy(other_contexts=("1.2.840.10008.1.2",))))
REFUSED = encode(negotiate(ASKED, AcceptPolicy()))


def run(*answers: bytes | What, at: float = 0.01, after: bytes = RQ, cut: int = 0) -> Transcript:
    entries = [Entry(0, 0, What.OPENED), Entry(0.001, 0, What.SENT, after)]
    for answer in answers:
        if isinstance(answer, What):
            entries.append(Entry(at, 0, answer))
        elif cut:
            entries += [Entry(at, 0, What.RECEIVED, answer[:cut]), Entry(at, 0, What.RECEIVED, answer[cut:])]
        else:
            entries.append(Entry(at, 0, What.RECEIVED, answer))
    return Transcript(entries)


def response(status: int) -> bytes:
    return message(1, CEchoResponse(message_id_being_responded_to=1, status=status))[0]


def test_different_reactions_are_different_observations() -> None:
    runs = [
        run(ACCEPTED),
        run(REFUSED),
        run(encode(AssociateReject(result=2, source=3, reason=2))),
        run(encode(AssociateReject(result=1, source=1, reason=2))),
        run(encode(Abort(source=2, reason=1))),
        run(encode(Abort(source=2, reason=6))),
        run(What.ENDED),
        run(What.RESET),
        run(What.QUIET),
        run(What.QUIET, at=2.0),
        run(ACCEPTED, at=2.0),
        run(b"HTTP/1.1 200 OK"),
        run(response(0), after=echo()),
        run(response(0x0211), after=echo()),
        run(response(0)),
    ]
    found = [observations(one) for one in runs]
    assert len(set(found)) == len(found)
    assert all(found)


def beneath(record: bytes, *, at: float = 0.01) -> Transcript:
    """A peer that answers bytes beneath TLS with a record."""
    sent = Entry(0.001, 0, What.BENEATH, b"\x17\3\3\0\1x")
    return Transcript([Entry(0, 0, What.OPENED), sent, Entry(at, 0, What.HEARD, record)])


def test_records_beneath_tls_differ_by_their_type_and_alerts_by_all_they_say() -> None:
    records = [
        b"\x15\3\3\0\2\2\x28",  # fatal, handshake_failure
        b"\x15\3\3\0\2\2\x46",  # fatal, protocol_version
        b"\x15\3\3\0\2\1\x46",  # the same as a warning
        b"\x16\3\3\0\2\2\x28",
        b"\x17\3\3\0\2\2\x28",
    ]
    found = [observations(beneath(one)) for one in records]
    assert [len(one) for one in found] == [1] * len(found)
    assert len(set(found)) == len(found)
    assert observations(beneath(b"\x16\3\1\0\1x")) == observations(beneath(b"\x16\3\3\0\2yz", at=0.02))
    assert observations(beneath(records[0])) != observations(beneath(records[0], at=2.0))


def test_times_ids_and_segments_make_no_difference() -> None:
    assert observations(run(ACCEPTED)) == observations(run(ACCEPTED, at=0.04))
    assert observations(run(ACCEPTED)) == observations(run(ACCEPTED, cut=20))
    other = message(1, CEchoResponse(message_id_being_responded_to=77, status=0))[0]
    assert observations(run(response(0), after=echo())) == observations(run(other, after=echo(message_id=77)))


def test_the_state_makes_a_difference() -> None:
    late = run(ACCEPTED)
    late.entries += [Entry(0.02, 0, What.SENT, RQ), Entry(0.03, 0, What.RECEIVED, encode(Abort(source=2, reason=2)))]
    early = run(encode(Abort(source=2, reason=2)))
    assert not observations(early) <= observations(late)


def test_a_bit_is_new_once() -> None:
    bitmap = Bitmap()
    assert bitmap.add(observations(run(ACCEPTED))) == 1
    assert bitmap.add(observations(run(ACCEPTED))) == 0
    assert bitmap.add(observations(run(REFUSED))) == 1
    again = Bitmap(bitmap.dump())
    assert again.count == bitmap.count == 2
    assert again.add(observations(run(REFUSED))) == 0


def test_observations_are_bounded() -> None:
    many = [bytes((1 + at % 7, 0)) + (1 << at % 20).to_bytes(4, "big") + bytes(1 << at % 20) for at in range(140)]
    assert len(observations(run(*many))) <= MOST


def test_a_reaction_is_said_in_a_few_words() -> None:
    assert reaction(run(ACCEPTED, response(0), What.ENDED)) == "A-ASSOCIATE-AC [0], P-DATA-TF C-ECHO-RSP success, ended"
    assert reaction(run()) == ""
    assert reaction(run(*[ACCEPTED, REFUSED] * 20)).endswith(", ...")
