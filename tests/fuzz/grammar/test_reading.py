"""Bytes to trees: lossless for all bytes, in linear time and bounded memory, with the names that paths are made of."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.grammar import pdus_of, read_command, read_data_set, read_pdu, read_stream
from dicos_fuzz.grammar.reading import MOST_PARTS
from dicos_fuzz.tree import Length, Part, encode, find, walk
from tests.fuzz import values


@given(values.streams)
def test_a_stream_is_read_without_loss(stream: bytes) -> None:
    assert encode(read_stream(stream)) == stream
    assert b"".join(pdus_of(stream)) == stream
    assert encode(read_pdu(stream)) == stream
    assert encode(read_command(stream)) == stream
    assert encode(read_data_set(stream)) == stream


def test_items_have_sub_items_that_have_none() -> None:
    """A context in a context in a context ...: the reader calls itself no deeper than the standard nests."""
    body = b""
    for _ in range(4_000):
        body = b"\x20\0" + min(len(body) + 4, 0xFFFF).to_bytes(2, "big") + b"\1\0\0\0" + body
    pdu = b"\1\0" + (68 + len(body)).to_bytes(4, "big") + bytes(68) + body
    tree = read_pdu(pdu)
    assert encode(tree) == pdu
    assert max(path.count("/") for path, _ in walk(tree)) <= 3


sets = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=40).map(lambda raw: values.DATA_SET + raw),
    st.integers(0, 60).map(lambda size: bytes.fromhex("000000000400000014000000") + bytes(size)),
)


@given(sets)
def test_a_command_set_and_a_data_set_are_read_without_loss(raw: bytes) -> None:
    assert encode(read_command(raw)) == raw
    assert encode(read_data_set(raw)) == raw


@pytest.mark.parametrize("number", [65_524, 65_536, 134_464, 1 << 20])
def test_a_group_length_of_a_set_longer_than_what_is_read_into_fields(number: int) -> None:
    raw = bytes.fromhex("0000000004000000") + number.to_bytes(4, "little") + bytes(134_464)
    assert encode(read_command(raw)) == raw
    assert encode(read_data_set(raw)) == raw


@pytest.mark.parametrize("name", values.PDUS)
def test_a_valid_pdu_has_only_lengths_that_are_right(name: str) -> None:
    tree = read_stream(values.PDUS[name])
    assert all(node.value is None for _, node in walk(tree) if isinstance(node, Length))
    assert not [path for path, _ in walk(tree) if "trailing" in path]


def test_names_contain_no_sign_of_paths() -> None:
    for raw in values.PDUS.values():
        assert all(not set(node.name) & set("/#%") for _, node in walk(read_stream(raw)))


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("A-ASSOCIATE-RQ", "A-ASSOCIATE-RQ/called title", b"ANY-SCP         "),
        ("A-ASSOCIATE-RQ", "A-ASSOCIATE-RQ/application context/UID", b"1.2.840.10008.3.1.1.1"),
        ("A-ASSOCIATE-RQ", "A-ASSOCIATE-RQ/presentation context#2/id", b"\x03"),
        (
            "A-ASSOCIATE-RQ",
            "A-ASSOCIATE-RQ/presentation context#2/transfer syntax#2/UID",
            b"1.2.840.10008.1.2.1",
        ),
        ("A-ASSOCIATE-RQ", "A-ASSOCIATE-RQ/user information/operations window/invoked", b"\x00\x04"),
        ("A-ASSOCIATE-RQ", "A-ASSOCIATE-RQ/user information/role selection/SCP role", b"\x01"),
        ("A-ASSOCIATE-RQ", "A-ASSOCIATE-RQ/user information/user identity/secondary/value", b"pass"),
        (
            "A-ASSOCIATE-RQ",
            "A-ASSOCIATE-RQ/user information/common extended negotiation/service class/value",
            b"1.2.840.10008.4.2",
        ),
        ("A-ASSOCIATE-RJ", "A-ASSOCIATE-RJ/reason", b"\x07"),
        ("C-ECHO-RQ", "P-DATA-TF/PDV/context id", b"\x01"),
        ("C-ECHO-RQ", "P-DATA-TF/PDV/C-ECHO-RQ/(0000,0110)/value", b"\x01\x00"),
        ("C-STORE-RQ", "P-DATA-TF#2/PDV/data set/(0008,1115)/(FFFE,E000)/(0008,1155)/value", b"2\x00"),
        ("A-ABORT", "A-ABORT/source", b"\x02"),
        ("unknown", "PDU 4A/bytes", b"\x01\x02\x03\x04"),
    ],
)
def test_fields_have_names(name: str, path: str, value: bytes) -> None:
    node = find(read_stream(values.PDUS[name]), path)
    assert node is not None, [path for path, _ in walk(read_stream(values.PDUS[name]))]
    assert encode(node) == value


def test_the_length_of_an_implicit_element_is_not_taken_for_a_vr() -> None:
    raw = bytes.fromhex("080005000000000008000800") + b"SQ\x00\x00" + bytes(0x5153)
    element = find(read_data_set(raw), "(0008,0008)")
    assert isinstance(element, Part)
    assert [node.name for node in element.nodes] == ["tag", "length", "value"]


MANY = {
    "PDUs": bytes.fromhex("050000000000") * 100_000,
    "items": b"\x01\x00" + (68 + 400_000).to_bytes(4, "big") + bytes(68) + bytes.fromhex("99000000") * 100_000,
    "sub-items": b"\x01\x00"
    + (68 + 4 * 65_536).to_bytes(4, "big")
    + (bytes(68) + (b"\x50\x00\xff\xfc" + bytes.fromhex("99000000") * 16_383) * 4),
    "PDVs": b"\x04\x00" + (600_000).to_bytes(4, "big") + bytes.fromhex("000000020100") * 100_000,
    "elements": (b"\x04\x00" + (16_006).to_bytes(4, "big") + (16_002).to_bytes(4, "big") + b"\x01\x00" + bytes(16_000))
    * 70,
    "one long value": b"\x04\x00" + (1 << 20).to_bytes(4, "big") + (1 << 20).to_bytes(4, "big") + bytes(1 << 20),
    "an unclosed nest": b"\x04\x00"
    + (60_006).to_bytes(4, "big")
    + ((60_002).to_bytes(4, "big") + b"\x01\x00" + bytes.fromhex("feff00e060ea0000") * 7500),
}


@pytest.mark.parametrize("what", MANY)
def test_a_megabyte_of_small_things_becomes_a_bounded_number_of_nodes_in_linear_time(what: str) -> None:
    begun = time.process_time()
    tree = read_stream(MANY[what])
    assert encode(tree) == MANY[what]
    assert time.process_time() - begun < 10  # a second on an idle machine; quadratic time would take minutes
    parts, nodes = 0, 0
    for _, node in walk(tree):
        nodes += 1
        parts += isinstance(node, Part)
    assert parts < 1.01 * MOST_PARTS
    assert nodes < 6 * MOST_PARTS


@pytest.mark.slow  # tracemalloc follows some hundred thousand objects
def test_a_megabyte_of_small_things_takes_bounded_memory() -> None:
    tracemalloc.start()
    try:
        tree = read_stream(MANY["PDVs"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(tree, Part)
    assert peak < 60 << 20


def test_reading_and_encoding_take_linear_time() -> None:
    def seconds(count: int) -> float:
        raw = values.REQUEST * count
        begun = time.process_time()
        for _ in range(3):
            encode(read_stream(raw))
        return time.process_time() - begun

    seconds(10)
    assert seconds(1600) < 40 * max(seconds(160), 0.01)
