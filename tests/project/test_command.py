"""The command set codec: elements of group 0000 in implicit VR little endian, and every way not to be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_proto.dimse.command import decode_elements, encode_bytes, encode_us, with_group_length
from dicos_proto.errors import AbortReason, Malformed
from tests.upper_layer.layouts import command_set, element, us

ELEMENTS = us(0x0100, 0x0030) + element(0x0902, b"ab")

MALFORMED = {
    "nothing": (b"", "command set of 0 bytes; at least 12"),
    "eleven bytes": (command_set()[:11], "command set of 11 bytes; at least 12"),
    "no group length": (ELEMENTS, "command set begins with (0000,0100); (0000,0000) of 4 bytes"),
    "group length in group 2": (element(0, bytes(4), group=2), "command set begins with (0002,0000)"),
    "big endian": (b"\0\0\0\0\0\0\0\4\0\0\0\0", "command set begins with (0000,0000)"),
    "explicit VR": (b"\0\0\0\0UL\x04\0\0\0\0\0", "command set begins with (0000,0000)"),
    "group length of 2 bytes": (element(0, b"\2\0") + bytes(2), "command set begins with (0000,0000)"),
    "group length one short": (command_set(ELEMENTS, length=19), "command group length 19 before 20 bytes"),
    "group length one long": (command_set(ELEMENTS, length=21), "command group length 21 before 20 bytes"),
    "group length 0": (command_set(ELEMENTS, length=0), "command group length 0 before 20 bytes"),
    "group length of all ones": (command_set(ELEMENTS, length=0xFFFFFFFF), "command group length 4294967295"),
    "half an element header": (command_set(ELEMENTS, bytes(7)), "command element header of 7 bytes; 8"),
    "group 2": (command_set(us(0x0100, 1), element(0x0900, b"ab", group=2)), "element (0002,0900) in a command set"),
    "group FFFF": (command_set(element(0x0100, b"ab", group=0xFFFF)), "element (FFFF,0100) in a command set"),
    "descending": (command_set(us(0x0110, 1), us(0x0100, 1)), "(0000,0100) after (0000,0110); ascending order"),
    "twice": (command_set(us(0x0100, 1), us(0x0100, 1)), "(0000,0100) after (0000,0100); ascending order"),
    "group length twice": (command_set(element(0, bytes(4))), "(0000,0000) after (0000,0000); ascending order"),
    "longer than the set": (command_set(element(0x0100, b"ab", length=4)), "(0000,0100) of 4 bytes with 2 left"),
    "one longer": (command_set(element(0x0100, b"ab", length=3)), "(0000,0100) of 3 bytes with 2 left"),
    "undefined length": (command_set(element(0x0100, b"ab", length=0xFFFFFFFF)), "of 4294967295 bytes with 2 left"),
    "odd length": (command_set(element(0x0902, b"abc"), b"\0"), "(0000,0902) of odd length 3"),
}


@pytest.mark.parametrize(("whole", "text"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(whole: bytes, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_elements(whole)
    fault = caught.value
    assert text in str(fault)
    assert (fault.clause, fault.reason) == ("PS3.7 6.3.1", AbortReason.INVALID_PARAMETER)


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_elements_in_their_order(buffer: type) -> None:
    whole = command_set(element(0x0001, b""), us(0x0100, 0x0030), element(0xFFFF, b"abcd"))
    found = decode_elements(buffer(whole))
    assert list(found.items()) == [(0x0001, b""), (0x0100, b"\x30\0"), (0xFFFF, b"abcd")]
    assert all(type(value) is bytes for value in found.values())


def test_a_command_set_of_its_group_length_alone_has_no_elements() -> None:
    assert decode_elements(bytes.fromhex("00000000 04000000 00000000")) == {}


def test_elements_are_encoded_little_endian() -> None:
    assert encode_us(0x0110, 0x0102) == bytes.fromhex("0000 1001 02000000 0201")
    assert encode_bytes(0x0902, b"ab") == bytes.fromhex("0000 0209 02000000 6162")
    assert encode_bytes(0x0901, b"") == bytes.fromhex("0000 0109 00000000")
    assert with_group_length(bytes(300)) == bytes.fromhex("0000 0000 04000000 2c010000") + bytes(300)


@given(st.dictionaries(st.integers(1, 0xFFFF), st.binary(max_size=40).map(lambda value: value * 2), max_size=6))
def test_what_is_encoded_is_decoded_equal(elements: dict[int, bytes]) -> None:
    ordered = dict(sorted(elements.items()))
    whole = with_group_length(b"".join(encode_bytes(*each) for each in ordered.items()))
    assert list(decode_elements(whole).items()) == list(ordered.items())


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_elements_or_malformed(rest: bytes, headed: bool) -> None:
    whole = command_set(rest) if headed else rest
    try:
        found = decode_elements(whole)
    except Malformed:
        return
    assert with_group_length(b"".join(encode_bytes(*each) for each in found.items())) == whole
