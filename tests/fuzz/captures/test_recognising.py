"""DICOM is recognised by its first bytes, on any port and in either direction; what is held until then is bounded."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.captures import CaptureError, conversations
from dicos_fuzz.captures.events import Connection, Data, Ended, Event, Gap, How, Opened, Over
from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.captures.reading import MOST_OF_ONE, Piece
from dicos_fuzz.captures.recognising import MOST_HEAD, MOST_IN_ALL, MOST_TRIES, Recogniser, begins_with_pdu
from dicos_fuzz.captures.recording import START, Recorder
from dicos_proto import Abort, ReleaseRequest, encode
from dicos_proto.upper_layer.negotiation import negotiate
from tests.pair import POLICY, REQUEST, p_data

RQ, AC, RELEASE, ABORT = encode(REQUEST), encode(negotiate(REQUEST, POLICY)), encode(ReleaseRequest()), encode(Abort())
P_DATA = p_data((1, True, True, bytes(40)))
Said = tuple[bool, bytes | int]


def connection(number: int = 1, *, port: int = 40_001, begun: bool = True) -> Connection:
    return Connection(number, Endpoint("10.0.0.1", 50_000), Endpoint("10.0.0.2", port), 0, begun=begun)


def run(said: Iterable[Said], one: Connection, stage: Recogniser | None = None) -> tuple[list[Event], dict[str, int]]:
    stage = stage or Recogniser()
    events: list[Event] = [Opened(one)]
    for by_client, what in said:
        events.append(
            Gap(one, by_client, 0, what) if isinstance(what, int) else Data(one, by_client, 0, memoryview(what))
        )
    found = [made for event in [*events, Over(one, 0, How.CLOSED)] for made in stage.feed(event)]
    assert not stage._candidates
    assert not stage._chosen
    return found, stage.others


def passed(said: Iterable[Said], one: Connection | None = None) -> bytes | None:
    """The bytes of both sides in order, if the connection is taken for DICOM."""
    found, _ = run(said, one or connection())
    if not found:
        return None
    assert isinstance(found[0], Opened)
    assert isinstance(found[-1], Over)
    return b"".join(bytes(event.data) for event in found if isinstance(event, Data))


@pytest.mark.parametrize("head", [RQ, AC, RELEASE, ABORT, P_DATA, b"\7\0\0\0\0\4\1\5"])
def test_a_side_that_begins_with_a_pdu_is_enough(head: bytes) -> None:
    assert passed([(True, head)]) == head
    assert passed([(False, head)]) == head
    assert passed([(True, bytes([one])) for one in head]) == head
    assert passed([(True, b"GET / HTTP/1.1\r\n\r\n"), (False, head)]) == b"GET / HTTP/1.1\r\n\r\n" + head


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH"),
        (b"\x16\3\1\0\x50\1", "TLS"),
        (b"\1\0\0\0\0\x10" + bytes(40), "unknown"),  # an A-ASSOCIATE-RQ is longer
        (b"\1\0\0\x20\0\0" + bytes(40), "unknown"),
        (b"\1\0\0\0\1\0\xff\xff\xff\xff" + bytes(40), "unknown"),
        (b"\1\1\0\0\1\0\0\1\0\0" + bytes(40), "unknown"),
        (b"\4\0\0\0\0\4abcd" + bytes(40), "unknown"),
        (b"\4\0\0\0\0\x0a\0\0\0\x20\1\3" + bytes(40), "unknown"),
        (b"\4\0\0\0\0\x0a\0\0\0\6\2\3" + bytes(40), "unknown"),
        (b"\5\0\0\0\0\5abcde", "unknown"),
        (b"\0" * 40, "unknown"),
        (b"\x08\0\0\0\0\4abcd", "unknown"),
        (b"\1\0", "unknown"),
    ],
)
def test_other_connections_are_left_out_and_named(head: bytes, name: str) -> None:
    found, others = run([(True, head), (False, b"\xff" * 20), (True, RQ)], connection())
    assert (found, others) == ([], {name: 1}) or head == b"\1\0"
    assert begins_with_pdu(head) is not True


def test_with_ports_the_bytes_do_not_matter() -> None:
    stage = Recogniser([11_112])
    found, others = run([(True, b"GET / HTTP/1.1")], connection(port=11_112), stage)
    assert len(found) == 3
    found, others = run([(True, RQ)], connection(2, port=104), stage)
    assert (found, others) == ([], {"on other ports": 1})


def test_a_connection_that_begins_in_the_middle() -> None:
    half = connection(begun=False)
    assert passed([(True, b"\xff" * 500), (True, P_DATA), (True, b"more")], half) == P_DATA + b"more"
    assert passed([(True, b"\xff" * 50)] * (MOST_TRIES + 5) + [(True, P_DATA)], half) is None
    assert passed([(True, b"\xff" * 500)], connection(port=104, begun=False)) == b"\xff" * 500
    assert passed([(True, b"GET / HTTP/1.1")], connection(port=104, begun=False)) is None
    two = p_data((1, True, False, bytes(40)), (1, True, True, bytes(40)))
    assert passed([(True, two)], half) is None


def test_a_gap_before_the_decision_makes_it_one_that_begins_in_the_middle() -> None:
    one = connection()
    assert passed([(True, RQ[:3]), (True, 500), (True, P_DATA)], one) == P_DATA
    assert one.begun is False


def test_what_is_held_is_bounded_for_one_and_for_all() -> None:
    garbage: list[Said] = [(True, b"\xff" * 1000)] * 80
    assert passed([*garbage, (False, ABORT)]) is None
    assert passed([*garbage[: MOST_HEAD // 1256], (False, ABORT)]) is not None
    stage = Recogniser()
    number = 0
    while not stage.others:
        number += 1
        one = connection(number)
        for event in (Opened(one), Ended(one, False, 0), Data(one, True, 0, memoryview(b"\xff" * 60_000))):
            assert list(stage.feed(event)) == []
        assert stage._cost <= MOST_IN_ALL
    assert number > 200


@given(
    st.lists(st.tuples(st.booleans(), st.one_of(st.binary(min_size=1, max_size=30), st.integers(1, 9)))), st.booleans()
)
def test_any_bytes_pass_whole_or_not_at_all(said: list[Said], begun: bool) -> None:
    found, others = run(said, connection(begun=begun))
    assert bool(found) is not bool(others)
    if found and begun and not any(isinstance(what, int) for _, what in said):
        expected = [(by, what) for by, what in said]
        assert [(one.by_client, bytes(one.data)) for one in found if isinstance(one, Data)] == expected


# -- seeds ---------------------------------------------------------------------------------------------------------


def written(path: Path, *conversations: list[tuple[bool, bytes]]) -> Path:
    file = BytesIO()
    recorder = Recorder(file)
    for number, said in enumerate(conversations):
        recorder.open(number, START + number)
        for by_client, data in said:
            recorder.send(number, START + number, data, by_client=by_client)
    path.write_bytes(file.getvalue())
    return path


def test_the_conversations_of_a_recording(tmp_path: Path) -> None:
    one, two = [(True, RQ), (False, AC), (True, P_DATA), (True, RELEASE)], [(True, RQ), (False, ABORT)]
    path = written(tmp_path / "x.pcapng", one, [(True, b"GET /"), (False, b"HTTP/1.1 200")], two)
    first, second = conversations(path)
    assert first.pieces == (Piece(START, True, RQ), Piece(START, False, AC), Piece(START, True, P_DATA + RELEASE))
    assert (first.stream(by_client=True), first.complete) == (RQ + P_DATA + RELEASE, True)
    assert (first.client.port, first.server.port, first.at) == (40_000, 11_112, START)
    assert second.pieces[1] == Piece(START + 2, False, ABORT)


def test_long_conversations_are_cut(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pcapng", [(True, RQ), (False, AC), (True, P_DATA * 100), (False, RELEASE)])
    (found,) = conversations(path, most=2000)
    assert found.complete is False
    whole = RQ + P_DATA * 100
    assert whole.startswith(found.stream(by_client=True))
    assert 1000 < sum(len(piece.data) for piece in found.pieces) <= 2000
    (found,) = conversations(path)
    assert found.complete
    assert len(found.stream(by_client=True)) < MOST_OF_ONE


def test_damage_comes_after_the_conversations(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pcapng", [(True, RQ), (False, AC)])
    path.write_bytes(path.read_bytes()[:-3])
    found = []
    with pytest.raises(CaptureError, match=r"x\.pcapng: Enhanced Packet block"):
        found += conversations(path)
    reader = conversations(path)
    assert next(reader).pieces == (Piece(START, True, RQ), Piece(START, False, AC))
    with pytest.raises(FileNotFoundError):
        list(conversations(tmp_path / "missing"))
