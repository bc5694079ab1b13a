"""Invalid command sets, each with its clause and abort reason; values that no command set can hold."""

from dataclasses import replace

import pytest

from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.types import CCancelRequest, CEchoRequest, CEchoResponse, Command, CStoreRequest, CStoreResponse
from dicos_proto.errors import AbortReason, LocalProtocolError, Malformed
from tests.upper_layer.layouts import command_set, element, us

UID = element(0x0002, b"1.2\0")
INSTANCE = element(0x1000, b"1.3\0")
NO_DATA, DATA = us(0x0800, 0x0101), us(0x0800, 0)
ID, ANSWERED, SUCCESS = us(0x0110, 1), us(0x0120, 1), us(0x0900, 0)
PRIORITY = us(0x0700, 0)


def echo(*, uid: bytes = UID, number: bytes = ID) -> bytes:
    return command_set(uid, us(0x0100, 0x0030), number, NO_DATA)


def echo_answer(*more: bytes, status: bytes = SUCCESS) -> bytes:
    return command_set(us(0x0100, 0x8030), ANSWERED, NO_DATA, status, *more)


def store(*more: bytes, uid: bytes = UID, priority: bytes = PRIORITY, instance: bytes = INSTANCE) -> bytes:
    return command_set(uid, us(0x0100, 0x0001), ID, priority, DATA, instance, *more)


MALFORMED = {
    "no command field": (command_set(UID, ID, NO_DATA), "PS3.7 E.1", "no (0000,0100) command field of 2 bytes"),
    "command field of 4 bytes": (
        command_set(element(0x0100, bytes(4)), ID, NO_DATA), "PS3.7 E.1", "no (0000,0100) command field of 2 bytes",
    ),
    "no data set type": (command_set(UID, us(0x0100, 0x30), ID), "PS3.7 E.1", "no (0000,0800) data set type of 2"),
    "data set type empty": (
        command_set(UID, us(0x0100, 0x30), ID, element(0x0800, b"")), "PS3.7 E.1", "no (0000,0800) data set type of 2",
    ),
    "echo without message id": (echo(number=b""), "PS3.7 9.3", "no (0000,0110) message id in C-ECHO-RQ"),
    "echo without SOP class": (echo(uid=b""), "PS3.7 9.3", "no (0000,0002) affected sop class uid in C-ECHO-RQ"),
    "echo of an empty SOP class": (echo(uid=element(2, b"")), "PS3.7 9.3", "no (0000,0002) affected sop class uid"),
    "echo of a NUL for SOP class": (echo(uid=element(2, b"\0\0")), "PS3.5 9.1", "(0000,0002) of 2 bytes is padded"),
    "message id of 4 bytes": (echo(number=element(0x0110, bytes(4))), "PS3.7 E.1", "(0000,0110) of 4 bytes; one US"),
    "message id empty": (echo(number=element(0x0110, b"")), "PS3.7 E.1", "(0000,0110) of 0 bytes; one US, 2 bytes"),
    "UID of 65": (echo(uid=element(2, b"1" * 65 + b"\0")), "PS3.5 9.1", "(0000,0002) of 66 bytes is longer than 64"),
    "UID not ASCII": (echo(uid=element(2, b"1.\xb2\0")), "PS3.5 9.1", "(0000,0002) of 4 bytes; UI, at most 64"),
    "UID padded twice": (echo(uid=element(2, b"12\0\0")), "PS3.5 9.1", "(0000,0002) of 4 bytes is padded"),
    "two UIDs": (echo(uid=element(2, b"1.2\\1.3\0")), "PS3.5 9.1", "(0000,0002) of 8 bytes; UI, at most 64 digits"),
    "store without instance": (store(instance=b""), "PS3.7 9.3", "affected sop instance uid in C-STORE-RQ"),
    "store of an empty instance": (store(instance=element(0x1000, b"")), "PS3.7 9.3", "no (0000,1000) affected sop"),
    "store without priority": (store(priority=b""), "PS3.7 9.3", "no (0000,0700) priority in C-STORE-RQ"),
    "title of 18": (store(element(0x1030, b"X" * 18)), "PS3.5 6.2", "(0000,1030) of 18 bytes; AE, at most 16"),
    "title with a NUL": (store(element(0x1030, b"STORE\0")), "PS3.5 6.2", "(0000,1030) of 6 bytes; AE, at most 16"),
    "title with a backslash": (store(element(0x1030, b"A\\B\\C ")), "PS3.5 6.4", "(0000,1030) of 3 values; one AE"),
    "originator id of 1 US more": (store(element(0x1031, bytes(4))), "PS3.7 E.1", "(0000,1031) of 4 bytes; one US"),
    "answer without status": (echo_answer(status=b""), "PS3.7 9.3", "no (0000,0900) status in C-ECHO-RSP"),
    "answer of two statuses": (
        echo_answer(status=element(0x0900, bytes(4))), "PS3.7 E.1", "(0000,0900) of 4 bytes; one US, 2 bytes",
    ),
    "offending element of 2 bytes": (
        echo_answer(element(0x0901, bytes(2))), "PS3.7 E.1", "(0000,0901) of 2 bytes; tags of 4 bytes",
    ),
    "offending elements of 6 bytes": (
        echo_answer(element(0x0901, bytes(6))), "PS3.7 E.1", "(0000,0901) of 6 bytes; tags of 4 bytes",
    ),
    "comment of 66": (echo_answer(element(0x0902, b"x" * 66)), "PS3.5 6.2", "(0000,0902) of 66 bytes; LO, at most 64"),
    "comment not ASCII": (echo_answer(element(0x0902, b"\xe4\xf6")), "PS3.5 6.2", "(0000,0902) of 2 bytes; LO"),
    "comment with an escape": (echo_answer(element(0x0902, b"\x1b[2J")), "PS3.5 6.2", "(0000,0902) of 4 bytes; LO"),
    "comment of two lines": (echo_answer(element(0x0902, b"a\nb ")), "PS3.5 6.2", "(0000,0902) of 4 bytes; LO"),
    "comment of two values": (echo_answer(element(0x0902, b"a\\b ")), "PS3.5 6.4", "(0000,0902) of 2 values; one LO"),
    "error id empty": (echo_answer(element(0x0903, b"")), "PS3.7 E.1", "(0000,0903) of 0 bytes; one US, 2 bytes"),
    "cancel without the id": (command_set(us(0x0100, 0x0FFF), NO_DATA), "PS3.7 9.3", "being responded to in C-CANCEL"),
    "find without id": (command_set(UID, us(0x0100, 0x20), PRIORITY, DATA), "PS3.7 9.3", "no (0000,0110) message id"),
    "answer to a find without status": (
        command_set(us(0x0100, 0x8020), ANSWERED, NO_DATA), "PS3.7 9.3", "no (0000,0900) status",
    ),
    "group length alone": (command_set(), "PS3.7 E.1", "no (0000,0100) command field of 2 bytes"),
    "another group": (command_set(us(0x0100, 0x30), element(2, b"1.2\0", group=8)), "PS3.7 6.3.1", "(0008,0002) in a"),
    "no group length": (echo()[12:], "PS3.7 6.3.1", "command set begins with (0000,0002)"),
}  # fmt: skip


@pytest.mark.parametrize(("whole", "clause", "text"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(whole: bytes, clause: str, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_command(whole)
    fault = caught.value
    assert text in str(fault)
    assert (fault.clause, fault.reason, fault.limit) == (clause, AbortReason.INVALID_PARAMETER, None)


@pytest.mark.parametrize("field", [0x0000, 0x0002, 0x0031, 0x0FFE, 0x8FFF, 0x8000, 0x7FFF, 0xFFFF], ids=hex)
def test_unknown_command_field(field: int) -> None:
    with pytest.raises(Malformed) as caught:
        decode_command(command_set(UID, us(0x0100, field), ID, NO_DATA))
    assert str(caught.value) == f"command field 0x{field:04X} is not a message [PS3.7 E.1]"
    assert caught.value.reason is AbortReason.UNRECOGNIZED_PARAMETER


ECHO = CEchoRequest(message_id=1, affected_sop_class_uid="1.2")
STORE = CStoreRequest(message_id=1, affected_sop_class_uid="1.2", affected_sop_instance_uid="1.3")
ANSWER = CEchoResponse(message_id_being_responded_to=1, status=0)

NOT_SENT: dict[str, tuple[Command, str]] = {
    "message id 65536": (replace(ECHO, message_id=65536), "(0000,0110) 65536; 0 to 65535 [PS3.7 E.1]"),
    "message id -1": (replace(ECHO, message_id=-1), "(0000,0110) -1; 0 to 65535"),
    "message id a text": (replace(ECHO, message_id="1"), "(0000,0110) '1'; 0 to 65535"),  # type: ignore[arg-type]
    "message id None": (replace(ECHO, message_id=None), "no (0000,0110) message id in C-ECHO-RQ"),  # type: ignore[arg-type]
    "status 65536": (replace(ANSWER, status=65536), "(0000,0900) 65536; 0 to 65535"),
    "SOP class empty": (replace(ECHO, affected_sop_class_uid=""), "no (0000,0002) affected sop class uid in C-ECHO-RQ"),
    "SOP class None": (replace(ECHO, affected_sop_class_uid=None), "no (0000,0002) affected sop"),  # type: ignore[arg-type]
    "instance empty": (replace(STORE, affected_sop_instance_uid=""), "no (0000,1000) affected sop instance uid in C-S"),
    "SOP class a number": (replace(ECHO, affected_sop_class_uid=12), "(0000,0002) int; text, UI"),  # type: ignore[arg-type]
    "UID of 65": (replace(STORE, affected_sop_instance_uid="1" * 65), "(0000,1000) of 65 characters; UI, at most 64"),
    "UID with its padding": (replace(STORE, affected_sop_instance_uid="1.2\0"), "(0000,1000) of 4 characters; UI"),
    "two UIDs": (replace(STORE, affected_sop_instance_uid="1.2\\1.3"), "(0000,1000) of 2 values; one UI [PS3.5 6.4]"),
    "title of 17": (replace(STORE, move_originator_aet="X" * 17), "(0000,1030) of 17 characters; AE, at most 16"),
    "title not ASCII": (replace(STORE, move_originator_aet="Ä"), "(0000,1030) of 1 characters; AE"),
    "comment of two lines": (replace(ANSWER, error_comment="a\nb"), "(0000,0902) of 3 characters; LO, at most 64"),
    "tag 2**32": (replace(ANSWER, offending_element=(1 << 32,)), "(0000,0901) (4294967296,); a tuple of tags"),
    "tag -1": (replace(ANSWER, offending_element=(-1,)), "(0000,0901) (-1,); a tuple of tags [PS3.7 E.1]"),
    "tags a number": (replace(ANSWER, offending_element=1), "(0000,0901) 1; a tuple of tags"),  # type: ignore[arg-type]
    "other twice": (
        replace(ECHO, other=((0x1021, b""), (0x1021, b""))), "(0000,1021) of 0 bytes after (0000,1021) cannot be",
    ),
    "other descending": (replace(ECHO, other=((5, b""), (4, b""))), "(0000,0004) of 0 bytes after (0000,0005) cannot"),
    "other of odd length": (replace(ECHO, other=((5, b"abc"),)), "(0000,0005) of 3 bytes after (0000,0000) cannot be"),
    "other of the group length": (replace(ECHO, other=((0, bytes(4)),)), "(0000,0000) of 4 bytes after (0000,0000)"),
    "other beyond the group": (replace(ECHO, other=((0x10000, b""),)), "(0000,10000) of 0 bytes after (0000,0000)"),
    "other of the message itself": (replace(ECHO, other=((2, b"1.4\0"),)), "(0000,0002) of 4 bytes after (0000,0000)"),
    "other of the command field": (replace(ECHO, other=((0x0100, b"\1\0"),)), "(0000,0100) of 2 bytes after"),
    "other of the data set type": (replace(ECHO, other=((0x0800, b"\1\0"),)), "(0000,0800) of 2 bytes after"),
    "cancel of 65536": (CCancelRequest(message_id_being_responded_to=65536), "(0000,0120) 65536; 0 to 65535"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "text"), NOT_SENT.values(), ids=NOT_SENT)
def test_not_sent(command: Command, text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encode_command(command, has_data=False)
    assert text in str(caught.value)


def test_text_never_shows_a_value_that_may_speak_of_a_person() -> None:
    for comment in ("Meier\n", "Meier" * 13, "Meier\\Anna"):
        with pytest.raises(LocalProtocolError) as caught:
            encode_command(replace(ANSWER, error_comment=comment), has_data=False)
        assert "Meier" not in str(caught.value)
    for raw in (b"Meier\n", b"Meier " * 12, b"Meier\\Anna"):
        with pytest.raises(Malformed) as seen:
            decode_command(echo_answer(element(0x0902, raw)))
        assert "Meier" not in repr(seen.value)


def test_a_store_answer_need_not_repeat_what_was_stored() -> None:
    bare = command_set(us(0x0100, 0x8001), ANSWERED, NO_DATA, us(0x0900, 0x0122))
    expected = CStoreResponse(message_id_being_responded_to=1, status=0x0122)
    assert decode_command(bare) == (expected, False)
    assert encode_command(expected, has_data=False) == bare
