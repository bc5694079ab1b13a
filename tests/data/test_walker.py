"""The tokens of a walk are those of a reference walk over the whole bytes, however the bytes are cut."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_proto.data.elements import EXTENDED_HEADERS, SHORT_VRS, DataSetError
from dicos_proto.data.walker import Walker
from dicos_proto.limits import Limits
from tests.data.reference import UNDEFINED, Collector, Refused, Token, walk

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
DICTIONARY = {0x00081140: b"SQ", 0x00100010: b"PN", 0x00091002: b"SQ"}
SYNTAXES = pytest.mark.parametrize(
    ("implicit", "little", "extended"),
    [(True, True, False), (False, True, False), (False, False, False), (False, True, True)],
)


def known(tag: int) -> bytes:
    return DICTIONARY.get(tag, b"UN")


class Writer:
    """Writes headers in one of the encodings; a tree of them is a data set."""

    def __init__(self, *, implicit: bool, little: bool, extended: bool) -> None:
        self.implicit, self.order, self.extended = implicit, "<" if little else ">", extended

    def header(self, tag: int, vr: bytes, length: int, *, implicit: bool | None = None) -> bytes:
        start = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        if tag >> 16 == 0xFFFE or (self.implicit if implicit is None else implicit):
            return start + struct.pack(self.order + "L", length)
        if self.extended and vr in EXTENDED_HEADERS:
            return start + vr + bytes(EXTENDED_HEADERS[vr] - 14) + struct.pack("<Q", length)
        if vr in SHORT_VRS:
            return start + vr + struct.pack(self.order + "H", length)
        return start + vr + struct.pack(self.order + "HL", 0, length)

    def enclosed(self, tag: int, vr: bytes, content: bytes, end: int, *, defined: bool) -> bytes:
        if defined:
            return self.header(tag, vr, len(content)) + content
        return self.header(tag, vr, UNDEFINED) + content + self.header(end, b"", 0)


LEAVES = st.tuples(
    st.sampled_from([0x00080018, 0x00100010, 0x00091001, 0x00280010, 0x7FE00010, 0x00080000]),
    st.sampled_from([b"PN", b"OB", b"OD", b"UN", b"US", b"ZZ"]),
    st.one_of(st.binary(max_size=12), st.sampled_from([bytes(127), bytes(128), bytes(129), bytes(400)])),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(
        st.sampled_from([0x00081140, 0x00091002, 0x00091003]),
        st.sampled_from([b"SQ", b"UN", b"OB"]),
        st.lists(st.tuples(st.lists(inner, max_size=3), st.booleans()), max_size=3),
        st.booleans(),
    ),
    max_leaves=12,
)


def written(tree: tuple[object, ...], writer: Writer) -> bytes:
    tag, vr, content, *rest = tree
    assert isinstance(tag, int)
    assert isinstance(vr, bytes)
    if isinstance(content, bytes):
        return writer.header(tag, vr, len(content)) + content
    assert isinstance(content, list)
    items = b"".join(
        writer.enclosed(ITEM, b"", b"".join(written(one, writer) for one in inside), ITEM_END, defined=defined)
        for inside, defined in content
    )
    return writer.enclosed(tag, vr, items, SEQUENCE_END, defined=bool(rest[0]))


def tokens_of(pieces: list[bytes], *, implicit: bool, little: bool, extended: bool) -> list[Token] | str:
    """Returns the tokens, or the fault."""
    walker = Collector(known, implicit=implicit, little=little, limits=Limits(sequence_depth=8), extended=extended)
    try:
        for piece in pieces:
            walker.feed(piece)
        walker.finish()
    except DataSetError as error:
        return str(error)
    assert not walker.missing
    return walker.tokens


def compare(draw: st.DataObject, data: bytes, *, implicit: bool, little: bool, extended: bool = False) -> None:
    whole = tokens_of([data], implicit=implicit, little=little, extended=extended)
    try:
        expected = walk(data, implicit=implicit, little=little, vr_of=known, depth=8, extended=extended)
    except Refused:
        assert isinstance(whole, str)
    else:
        assert whole == expected
    at = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[one:two] for one, two in zip([0, *at], [*at, len(data)], strict=True)]
    singly = [data[at : at + 1] for at in range(len(data))]
    for cut in (pieces, singly):
        assert tokens_of(cut, implicit=implicit, little=little, extended=extended) == whole


@SYNTAXES
@settings(max_examples=150, deadline=None)
@given(draw=st.data(), trees=st.lists(TREES, max_size=4))
def test_a_data_set_gives_its_tokens(
    implicit: bool, little: bool, extended: bool, draw: st.DataObject, trees: list[tuple[object, ...]]
) -> None:
    writer = Writer(implicit=implicit, little=little, extended=extended)
    compare(
        draw, b"".join(written(tree, writer) for tree in trees), implicit=implicit, little=little, extended=extended
    )


@SYNTAXES
@settings(max_examples=150, deadline=None)
@given(draw=st.data(), trees=st.lists(TREES, min_size=1, max_size=3))
def test_a_damaged_one_gives_its_tokens_or_is_refused(
    implicit: bool, little: bool, extended: bool, draw: st.DataObject, trees: list[tuple[object, ...]]
) -> None:
    writer = Writer(implicit=implicit, little=little, extended=extended)
    data = bytearray(b"".join(written(tree, writer) for tree in trees))
    for _ in range(draw.draw(st.integers(0, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.sampled_from([0, 1, 8, 0x41, 0x55, 0xFE, 0xFF]))
    cut = draw.draw(st.integers(0, len(data)))
    compare(draw, bytes(data[:cut]), implicit=implicit, little=little, extended=extended)


@settings(max_examples=300, deadline=None)
@given(draw=st.data(), data=st.binary(max_size=60), implicit=st.booleans())
def test_any_bytes_give_their_tokens_or_are_refused(draw: st.DataObject, data: bytes, implicit: bool) -> None:
    compare(draw, data, implicit=implicit, little=True)


def test_a_long_value_is_not_gathered() -> None:
    class Counting(Collector):
        def value(self, piece: bytes, left: int) -> None:  # type: ignore[override]
            self.missing += len(piece)

    walker = Counting(implicit=False, little=True, limits=Limits())
    walker.feed(struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OW", 1 << 30))
    piece = bytes(1 << 20)
    walker.missing = 0
    tracemalloc.start()
    for _ in range(1 << 10):
        walker.feed(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    walker.finish()
    assert walker.missing == 1 << 30
    assert peak < 20_000


@pytest.mark.parametrize(
    "tail", [bytes(5), bytes(3) + b"\1", b"\0\0\2\0\0"], ids=["zeros", "one at the end", "one inside"]
)
def test_zeros_after_the_end_are_judged_together_if_the_length_is_known(tail: bytes) -> None:
    data = struct.pack("<HH2sH2s", 8, 0x60, b"CS", 2, b"CT") + tail

    def outcome(size: int) -> str:
        walker = Walker(implicit=False, little=True, limits=Limits(), size=len(data))
        try:
            for at in range(0, len(data), size):
                walker.feed(data[at : at + size])
            walker.finish()
        except DataSetError as fault:
            return str(fault)
        return f"{walker.count} of {walker.ended}"

    found = {outcome(size) for size in range(1, len(data) + 1)}
    assert found == {
        "1 of 10"
        if not any(tail)
        else f"an element header of {len(tail)} bytes, before byte 10 of the data set [PS3.5 7]"
    }
