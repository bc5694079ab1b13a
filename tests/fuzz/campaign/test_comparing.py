"""Objects that come back: another encoding of the same data set does not differ, a changed value does."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign.comparing import difference
from dicos_fuzz.campaign.objects import Writer, composite, deflate, query, uid
from dicos_proto.registry import uids

CT = uids.CT_IMAGE_STORAGE
IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    uids.IMPLICIT_VR_LE,
    uids.EXPLICIT_VR_LE,
    uids.EXPLICIT_VR_BE,
    uids.DEFLATED_EXPLICIT_VR_LE,
)
SYNTAXES = (IMPLICIT, EXPLICIT, BIG, DEFLATED)


def made(syntax: str, **more: int) -> bytes:
    return composite(CT, "2.25.12345678901", syntax, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("sent", SYNTAXES)
@pytest.mark.parametrize("stored", SYNTAXES)
def test_the_same_object_in_another_transfer_syntax_is_the_same(sent: str, stored: str) -> None:
    assert difference(made(sent, pixels=200), sent, made(stored, pixels=200), stored) is None


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_changed_value_and_a_missing_element_are_named(syntax: str) -> None:
    write = Writer(syntax)
    whole = [write.element(0x00080018, b"UI", b"1.2.3"), write.number(0x00280010, 512), write.number(0x00280011, 512)]
    sent = write.whole(*whole)
    assert difference(sent, syntax, write.whole(*whole[:2]), syntax) == "(0028,0011) is missing"
    changed = write.whole(*whole[:2], write.number(0x00280011, 513))
    assert difference(sent, syntax, changed, syntax) == "(0028,0011) has another value"
    assert difference(sent, syntax, write.whole(*whole, write.number(0x00280100, 16)), syntax) is None


def test_values_in_sequences_are_compared_and_their_lengths_are_not() -> None:
    write = Writer(EXPLICIT)
    inner = write.element(0x00081155, b"UI", b"1.2.3")
    sent = write.sequence(0x00081140, inner)
    assert difference(sent, EXPLICIT, write.sequence(0x00081140, inner, undefined=True), EXPLICIT) is None
    other = write.sequence(0x00081140, write.element(0x00081155, b"UI", b"1.2.4"))
    assert difference(sent, EXPLICIT, other, EXPLICIT) == "(0008,1155) in (0008,1140) has another value"
    twice = write.sequence(0x00081140, inner, inner)
    assert difference(twice, EXPLICIT, sent, EXPLICIT) == "(0008,1155) in (0008,1140) is missing"


def test_padding_and_group_lengths_do_not_count() -> None:
    write = Writer(EXPLICIT)
    sent = write.element(0x00080060, b"CS", b"OT")
    padded = write.element(0x00080000, b"UL", b"\0\0\0\x0a") + write.element(0x00080060, b"CS", b"OT  ")
    assert difference(sent, EXPLICIT, padded + write.element(0xFFFCFFFC, b"OB", b"\0" * 8), EXPLICIT) is None


def test_bytes_that_are_no_data_set() -> None:
    good = made(EXPLICIT)
    assert (
        difference(
            good,
            EXPLICIT,
            good[:-3],
            EXPLICIT,
        )
        is not None
    )
    assert difference(good[:-3], EXPLICIT, good, EXPLICIT) is None  # what was sent was wrong
    assert (
        difference(good, "1.2.3", good + b"\0", "1.2.3") == "other bytes, in a transfer syntax that is not known here"
    )
    assert difference(good, "1.2.3", good, "1.2.3") is None
    assert difference(good, EXPLICIT, deflate(good)[:9], DEFLATED) is not None


def test_fragments_are_compared() -> None:
    write = Writer(EXPLICIT)

    def pixels(*fragments: bytes) -> bytes:
        items = b"".join(write.element(0xFFFEE000, b"", one) for one in (b"", *fragments))
        return write.element(0x7FE00010, b"OB", b"", 0xFFFFFFFF) + items + write.element(0xFFFEE0DD, b"", b"")

    assert difference(pixels(b"ab", b"cd"), EXPLICIT, pixels(b"ab", b"cd"), uids.JPEG_BASELINE) is None
    assert difference(pixels(b"ab", b"cd"), EXPLICIT, pixels(b"ab", b"ce"), EXPLICIT) is not None


def test_objects_are_made_of_their_seed_and_hold_no_name() -> None:
    assert uid("a", 1) == uid("a", 1) != uid("a", 2)
    assert uid("a").startswith("2.25.")
    assert uids.is_valid(uid("a"))
    for syntax in SYNTAXES:
        assert made(syntax) == made(syntax)
    assert b"FUZZ" in made(IMPLICIT)
    assert uid("nobody's study").encode() in query(IMPLICIT)
