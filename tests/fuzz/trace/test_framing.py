"""The PDUs of one direction, as a bystander reads them: cut anywhere, with gaps, and with faults."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.trace.framing import Body, End, Framing, PdvData, PdvHole, PdvStart, Remark, Start
from dicos_proto import Abort, AssociateReject, ReleaseRequest, encode
from tests.pair import REQUEST, p_data

RQ, RELEASE, ABORT = encode(REQUEST), encode(ReleaseRequest()), encode(Abort(source=2, reason=6))
REJECT = encode(AssociateReject())


def data(*sizes: int, context: int = 3) -> bytes:
    return p_data(*((context, False, True, bytes(range(size % 256)) + bytes(size - size % 256)) for size in sizes))


class Said:
    """The tokens as short words; data of one PDV joined, a hole of n as `<n>`."""

    def __init__(self, *, begun: bool = True, max_length: int = 0, contexts: tuple[int, ...] = ()) -> None:
        self.framing = Framing(begun=begun)
        self.framing.max_length = max_length
        self.framing.contexts = contexts
        self.words: list[str] = []
        self.marks: list[str] = []
        self._data = ""

    def feed(self, raw: bytes, piece: int = 1 << 20) -> Said:
        for at in range(0, len(raw), piece):
            self._take(self.framing.feed(memoryview(raw[at : at + piece])))
        return self

    def gap(self, size: int) -> Said:
        self._take(self.framing.gap(size))
        return self

    def end(self) -> Said:
        self._take(self.framing.end())
        return self

    def _take(self, tokens) -> None:
        for token in tokens:
            match token:
                case Start():
                    self.words.append(f"{token.number:02x}:{token.length}")
                    self.marks += map(str, token.marks)
                case Body():
                    self.words.append(token.data.hex())
                case PdvStart():
                    self.words.append(f"pdv {token.context}/{token.control}/{token.length}")
                    self._data = ""
                case PdvData() | PdvHole():
                    self._data += token.data.hex() if isinstance(token, PdvData) else f"<{token.size}>"
                    if token.complete:
                        self.words.append(self._data or "-")
                case End():
                    self.words.append("cut" if token.cut else "end")
                case Remark():
                    self.marks.append(str(token.mark))


def read(raw: bytes, piece: int = 1 << 20) -> tuple[list[str], list[str]]:
    said = Said().feed(raw, piece)
    return said.words, said.marks


WHOLE = RQ + data(4) + data(2, 0, 6) + RELEASE + ABORT


def test_the_parts_of_pdus() -> None:
    words, marks = read(data(4) + data(2, 0) + RELEASE)
    assert words == [
        "04:10", "pdv 3/2/4", "00010203", "end",
        "04:14", "pdv 3/2/2", "0001", "pdv 3/2/0", "-", "end",
        "05:4", "00000000", "end",
    ]  # fmt: skip
    assert marks == []


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 11, 64])
def test_pieces_of_any_size_give_the_same(piece: int) -> None:
    assert read(WHOLE, piece) == read(WHOLE)
    assert read(WHOLE)[1] == []


FAULTS = {
    "an unknown type": (b"\x09\0\0\0\0\4abcd", "violation: PDU type 0x09; 0x01 to 0x07 [PS3.8 9.3.1]"),
    "an empty unknown PDU": (b"\x09\0\0\0\0\0", "violation: PDU type 0x09; 0x01 to 0x07 [PS3.8 9.3.1]"),
    "a release of another length": (b"\5\0\0\0\0\6abcdef", "violation: A-RELEASE-RQ of 6 bytes; 4"),
    "a short A-ASSOCIATE": (b"\1\0\0\0\0\4abcd", "violation: A-ASSOCIATE-RQ of 4 bytes; at least 68"),
    "an empty P-DATA-TF": (b"\4\0\0\0\0\0", "violation: P-DATA-TF of 0 bytes; at least one PDV"),
    "a PDV longer than its PDU": (b"\4\0\0\0\0\x08\0\0\0\x09\3\2ab", "violation: PDV of 9 bytes in a PDU with 4 left"),
    "a PDV of one byte": (b"\4\0\0\0\0\x06\0\0\0\1\3\2", "violation: PDV of 1 bytes; at least 2 [PS3.8 9.3.5.1]"),
    "half a PDV header": (
        b"\4\0\0\0\0\x0b\0\0\0\4\3\2abXYZ",
        "violation: 3 bytes at the end of a P-DATA-TF; a PDV header is 6 [PS3.8 9.3.5.1]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
@pytest.mark.parametrize(("bad", "mark"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_pdu_is_marked_and_skipped(bad: bytes, mark: str, piece: int) -> None:
    words, marks = read(RELEASE + bad + data(4), piece)
    assert words[:3] == ["05:4", "00000000", "end"]
    assert words[-4:] == ["04:10", "pdv 3/2/4", "00010203", "end"]
    assert len(marks) == 1
    assert marks[0].startswith(mark)


def test_an_a_associate_beyond_the_limit_is_skipped() -> None:
    long = b"\1\0\0\x20\0\0" + bytes(0x200000)
    said = Said().feed(long + RELEASE, 1 << 16)
    assert said.words == ["01:2097152", "end", "05:4", "00000000", "end"]
    assert said.framing.held == 0
    assert "limit associate_pdu" in said.marks[0]


def test_p_data_longer_than_the_maximum_length_is_marked_and_read() -> None:
    said = Said(max_length=16).feed(data(12) + data(4) + p_data((3, False, True, bytes(2 << 20))))
    assert [word for word in said.words if word.startswith("04")] == ["04:18", "04:10", "04:2097158"]
    assert said.marks == [
        "deviation (over_max_length): P-DATA-TF of 18 bytes; Maximum Length 16 [PS3.8 D.1]",
        "violation: P-DATA-TF longer than the Maximum Length (limit max_length: 2097158 seen, 1048576 allowed) "
        "[PS3.8 D.1]",
    ]


@pytest.mark.parametrize("piece", [1, 2, 100])
def test_an_a_abort_of_two_bytes(piece: int) -> None:
    short = b"\7\0\0\0\0\4\2\6"
    words, marks = read(RELEASE + short, piece)
    assert words[3:] == ["07:4", "00000206", "end"]
    assert marks == ["deviation (short_abort): A-ABORT of 2 bytes under a length field of 4 [PS3.8 9.3.8]"]
    assert read(short + RELEASE, piece)[0] == ["07:4", "00000206", "end", "05:4", "00000000", "end"]


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_other_protocols_are_named_and_the_next_pdu_is_found(piece: int) -> None:
    said = Said().feed(b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n", piece)
    assert said.words == []
    assert said.marks[0].startswith("violation: HTTP, not DICOM: 47 45 54 20 2f 20")
    said.feed(data(4))
    assert said.words == ["04:10", "pdv 3/2/4", "00010203", "end"]
    assert "bytes until the next PDU are not decoded" in said.marks[1]


def test_garbage_between_pdus() -> None:
    said = Said().feed(data(4)).feed(b"\xff" * 40 + data(6) + RELEASE)
    assert [word for word in said.words if ":" in word] == ["04:10", "04:12", "05:4"]
    assert said.marks == [
        "violation: not a PDU: ff ff ff ff ff ff (PDU type 0xFF; 0x01 to 0x07) [PS3.8 9.3.1]",
        "note: after bytes that are not a PDU: 34 bytes until the next PDU are not decoded",
    ]


# -- gaps ----------------------------------------------------------------------------------------------------------


def test_a_gap_within_a_pdv_costs_only_that() -> None:
    raw = data(100) + RELEASE
    said = Said().feed(raw[:20]).gap(50).feed(raw[70:])
    assert said.words[2] == raw[12:20].hex() + "<50>" + raw[70:112].hex()
    assert said.words[3:] == ["end", "05:4", "00000000", "end"]
    assert said.marks == []


def test_a_gap_up_to_the_end_of_a_pdv() -> None:
    raw = data(100) + RELEASE
    said = Said().feed(raw[:20]).gap(92).feed(RELEASE)
    assert said.words[2:] == [raw[12:20].hex() + "<92>", "end", "05:4", "00000000", "end"]


def test_a_gap_within_another_pdu_costs_that() -> None:
    said = Said().feed(RQ[:40]).gap(20).feed(RQ[60:] + RELEASE)
    assert said.words == [f"01:{len(RQ) - 6}", "end", "05:4", "00000000", "end"]
    assert said.marks == ["note: 20 bytes of this PDU are missing in the recording"]


def test_a_gap_within_a_pdu_that_is_skipped() -> None:
    bad = b"\x09\0\0\0\0\x40" + bytes(64)
    assert Said().feed(bad[:30]).gap(20).feed(bad[50:] + RELEASE).words[-3:] == ["05:4", "00000000", "end"]
    assert Said().feed(bad[:30]).gap(40).feed(RELEASE).words == ["09:64", "end", "05:4", "00000000", "end"]


@pytest.mark.parametrize("start", [0, 3, 6, 9, 12, 40])
def test_after_a_gap_over_a_header_the_next_pdu_is_found(start: int) -> None:
    raw = data(100)
    said = Said(contexts=(3,)).feed(raw[:start]).gap(200)
    said.feed(bytes(30) + data(6)).feed(RELEASE)
    assert said.words[-7:] == ["04:12", "pdv 3/2/6", "000102030405", "end", "05:4", "00000000", "end"]
    assert said.marks == [
        "note: 200 bytes are missing in the recording",
        "note: after the gap: 30 bytes until the next PDU are not decoded",
    ]
    assert ("cut" in said.words) is (start >= 6)


def test_a_second_gap_while_searching() -> None:
    said = Said().gap(5).feed(data(4)[:8]).gap(3).feed(data(4)[8:] + data(6))
    assert said.words == ["04:12", "pdv 3/2/6", "000102030405", "end"]


def test_a_header_cut_by_segments_is_found_too() -> None:
    raw = bytes(50) + data(6)
    assert Said().gap(5).feed(raw, 7).words == ["04:12", "pdv 3/2/6", "000102030405", "end"]


def test_a_recording_that_begins_in_the_middle() -> None:
    said = Said(begun=False).feed(b"rest of a data set").feed(RELEASE)
    assert said.words == ["05:4", "00000000", "end"]
    assert said.marks == ["note: the recording begins in the middle: 18 bytes until the next PDU are not decoded"]
    assert Said(begun=False).feed(RQ).words[0] == f"01:{len(RQ) - 6}"


def test_only_contexts_that_are_accepted_are_a_sign_of_p_data() -> None:
    said = Said(contexts=(5,)).gap(1).feed(bytes(10) + data(4) + data(4, context=5))
    assert said.words[0:2] == ["04:10", "pdv 5/2/4"]
    said = Said(max_length=64).gap(1).feed(bytes(10) + data(200) + data(4))
    assert said.words[0] == "04:10"


def test_a_direction_without_any_pdu_is_given_up() -> None:
    said = Said(begun=False)
    for _ in range(17):
        said.feed(b"\4\0" * (1 << 19))
    assert said.framing.lost
    assert said.marks[-1].endswith("the rest is not decoded")
    assert said.feed(data(4)).words == []


def test_the_end_within_a_pdu_is_noted() -> None:
    assert Said().feed(RQ[:30]).end().marks == [f"note: the bytes end {len(RQ) - 30} bytes before the end of the PDU"]
    assert Said().feed(RQ[:30]).end().words[-1] == "cut"
    assert Said().feed(RELEASE + b"\4\0\0").end().marks == ["note: the bytes end 3 bytes into a PDU header"]
    assert Said().feed(RELEASE).end().marks == []
    assert Said(begun=False).feed(b"abc").end().marks == [
        "note: the recording begins in the middle: 3 bytes without a PDU are not decoded"
    ]


# -- any bytes -----------------------------------------------------------------------------------------------------

parts = st.one_of(
    st.sampled_from([RQ, RELEASE, ABORT, REJECT, data(4), data(0, 2, 8), b"\4\0\0\0\0\x08\0\0\0\x06\3\2abcd"]),
    st.binary(max_size=24),
)


@given(st.lists(parts, max_size=8), st.integers(1, 40), st.sampled_from([0, 8, 4096]), st.booleans())
def test_any_bytes_in_any_pieces(raws: list[bytes], piece: int, max_length: int, begun: bool) -> None:
    said = Said(begun=begun, max_length=max_length)
    for raw in raws:
        said.feed(raw, piece)
    said.end()
    assert said.words.count("end") + said.words.count("cut") == sum(word[2:3] == ":" for word in said.words)
    assert said.framing.held == 0


@given(st.lists(st.sampled_from([RELEASE, ABORT, REJECT, data(4), data(0, 2, 8)]), max_size=6), st.data())
def test_any_cuts_give_the_same(raws: list[bytes], choice: st.DataObject) -> None:
    raw = b"".join(raws)
    said, at = Said(), 0
    for cut in (*sorted(choice.draw(st.lists(st.integers(0, len(raw)), max_size=8))), len(raw)):
        said.feed(raw[at:cut])
        at = cut
    assert (said.words, said.marks) == read(raw)


@given(st.lists(st.one_of(parts, st.integers(1, 60)), max_size=8))
def test_any_bytes_and_gaps(steps: list[bytes | int]) -> None:
    said = Said()
    for step in steps:
        if isinstance(step, int):
            said.gap(step)
        else:
            said.feed(step, 5)
    said.end()


def test_tls_without_secrets_is_only_noted() -> None:
    said = Said().feed(bytes.fromhex("16030102000100"))
    assert said.marks == ["note: TLS, which is not decrypted: no secrets of this connection"]
