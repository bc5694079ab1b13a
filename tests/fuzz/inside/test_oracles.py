"""The oracles notice what they are for: faults that are planted in the engine, in what it sends, in what it stores."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicos_fuzz.grammar.building import message, p_data
from dicos_fuzz.inside.oracles import check_sent, reassembled
from dicos_fuzz.inside.seeds import ASKED, ELEMENTS, acceptor_streams, pdus
from dicos_fuzz.inside.tape import raw
from dicos_fuzz.inside.target import OracleFailure
from dicos_proto.dimse.assembly import Messages
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import MessageData
from dicos_proto.dimse.types import CEchoRequest
from dicos_proto.registry import uids
from dicos_proto.upper_layer.core import Core
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.upper_layer.framing import PduReader
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort, ReleaseRequest
from tests.fuzz.inside.planted import Planted

ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION)
STREAM = raw(b"\0\0\0\0\0", acceptor_streams()[1])
CHUNKED = raw(b"\0\3\0\0\0", acceptor_streams()[1])


# -- what is sent ----------------------------------------------------------------------------------------------------


def test_valid_pdus_may_be_sent() -> None:
    assert check_sent(b"".join(pdus()[:4]) + encode(ReleaseRequest()) + encode(Abort()) + encode(Abort(source=2))) == 7


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (encode(ReleaseRequest())[:9], "cut"),
        (b"\4\0", "cut"),
        (encode(Abort(source=2, reason=3)), "source 2 and reason 3"),
        (encode(Abort(source=1)), "source 1"),
        (encode(Abort(source=0, reason=1)), "source 0 and reason 1"),
        (b"\7\0\0\0\0\4\1\0\0\0", "A-ABORT"),
        (encode(Abort()) + encode(ReleaseRequest()), "after an A-ABORT"),
        (b"\x09\0\0\0\0\0", "would refuse"),
        (p_data((1, True, True, bytes(600))), "606 bytes; Maximum Length 512"),
    ],
)
def test_what_must_not_be_sent_is_noticed(sent: bytes, said: str) -> None:
    with pytest.raises(OracleFailure, match=said):
        check_sent(sent, max_length=512)


# -- what is complete ------------------------------------------------------------------------------------------------


def test_messages_are_put_together() -> None:
    command = encode_command(ECHO, has_data=False)
    stream = (
        encode(ASKED)
        + p_data((1, True, False, command[:7]), (1, True, True, command[7:]))
        + b"".join(message(3, ECHO, ELEMENTS * 9, max_length=100))
        + p_data((3, True, True, command), (3, False, False, b"ab"))
    )
    found = list(reassembled(stream))
    assert [(one.context, one.data) for one in found] == [(1, None), (3, ELEMENTS * 9), (3, None)]
    assert found[0].command == command


def test_a_length_that_does_not_fit_ends_it() -> None:
    good = p_data((1, True, True, b"ab"))
    assert len(list(reassembled(good + struct.pack(">BxLLBB", 4, 12, 99, 1, 3) + bytes(6) + good))) == 1
    assert list(reassembled(good[:-1])) == []


# -- faults that are planted -----------------------------------------------------------------------------------------


def test_a_byte_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Messages.receive

    def short(self: Messages, fragment: Fragment) -> object:
        found = receive(self, fragment)
        return MessageData(context=found.context, data=found.data[:-1], last=True) if _is_end(found) else found

    monkeypatch.setattr(Messages, "receive", short)
    Planted(monkeypatch).found_by("association-acceptor", STREAM, "bytes of data that were not sent")


def _is_end(found: object) -> bool:
    return isinstance(found, MessageData) and found.last and len(found.data) > 1


def test_an_end_that_depends_on_the_chunks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = PduReader.read_heads

    def early(self: PduReader) -> Fragment | None:
        found = heads(self)
        if found is not None and not found.last and not found.command:
            return Fragment(found.context, found.command, found.start, True, found.data)
        return found

    monkeypatch.setattr(PduReader, "read_heads", early)
    Planted(monkeypatch).found_by("framing", raw(b"\0\x81\x09", acceptor_streams()[1]), "chunks change")


def test_a_reserved_abort_reason_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Core._put_abort
    monkeypatch.setattr(Core, "_put_abort", lambda self, encoded: put(self, encoded[:-1] + b"\3"))
    garbage = raw(b"\0\0\0\0\0", encode(ASKED) + b"\x77\0\0\0\0\0")
    Planted(monkeypatch).found_by("association-acceptor", garbage, "reason 3")


def test_an_association_that_does_not_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "receive_eof", lambda self, why=None: None)
    Planted(monkeypatch).found_by("upper-layer-acceptor", STREAM, "no Closed after the end")


def test_a_provider_that_spins_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "wants_read", property(lambda self: False))
    Planted(monkeypatch).found_by("services-provider", raw(b"\0\0\0", acceptor_streams()[0]), "reads nothing")
