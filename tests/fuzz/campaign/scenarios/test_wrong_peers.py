"""Wrong peers in memory: for each, a family has a conversation that shows it, soon, and by the right oracle.

Each peer is our provider with one thing done wrong. The kit of broken peers (`dicos_fuzz.broken`) has more, over
sockets; these are the faults for which single families are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import pytest

from dicos_fuzz.campaign.engines import LEARNED, POLICY, Engine, Provider, User
from dicos_fuzz.campaign.judging import judge
from dicos_fuzz.campaign.memory import MemoryPlayer
from dicos_fuzz.campaign.responding import acceptance
from dicos_fuzz.campaign.scenarios import FAMILIES
from dicos_fuzz.finding import Violation
from dicos_fuzz.grammar.building import message, p_data
from dicos_fuzz.grammar.reading import pdus_of
from dicos_proto.association import Association
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import AnyRequest, CEchoRequest, CEchoResponse, CStoreRequest, response_to
from dicos_proto.limits import Limits
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.wire import Buffer, Wire
from tests.fuzz.campaign.transcripts import TALK


class Patient(Provider):
    """Never gives up a connection that stalls."""

    def __init__(self) -> None:
        super().__init__()
        forever = dict.fromkeys(Timeouts.__slots__)
        self.association = Association.acceptor(timeouts=Timeouts(**forever))  # type: ignore[arg-type]


class Tap:
    """The wire of a peer that takes something else than it is sent, one PDU at a time."""

    def __init__(self, inner: Wire, taken: Callable[[bytes], bytes]) -> None:
        self._inner = inner
        self._taken = taken
        self.receive_eof = inner.receive_eof
        self.data_to_send = inner.data_to_send
        self.deadline = inner.deadline
        self.handle_timeout = inner.handle_timeout

    @property
    def wants_read(self) -> bool:
        return self._inner.wants_read

    @property
    def wants_close(self) -> bool:
        return self._inner.wants_close

    def receive_data(self, data: Buffer) -> None:
        self._inner.receive_data(b"".join(map(self._taken, pdus_of(bytes(data)))))


class Tapped:
    """A peer behind a tap."""

    def __init__(self, peer: Engine, taken: Callable[[bytes], bytes]) -> None:
        self.association = Tap(peer.association, taken)
        self.react = peer.react


class Blind(Provider):
    """Reports success for each object, whatever its data set is."""

    def _answer(self, context: int, command: AnyRequest, code: int | None) -> None:
        super()._answer(context, command, 0)


def _any_name(pdu: bytes) -> bytes:
    """A C-STORE-RQ of a good name in place of one of any name."""
    stores = pdu[:1] == b"\4" and pdu[11:12] == b"\3" and b"\0\0\0\1\2\0\0\0\1\0" in pdu
    return p_data((3, True, True, TALK.parts(1, "any")[1])) if stores else pdu


def any_name() -> Engine:
    return Tapped(Blind(), _any_name)


def any_command() -> Engine:
    """Takes any command set for a C-ECHO-RQ."""
    return Tapped(Provider(), lambda pdu: TALK.ask() if pdu[:1] == b"\4" and pdu[11:12] == b"\3" else pdu)


def any_request() -> Engine:
    """Takes any A-ASSOCIATE-RQ for a good one."""
    return Tapped(Provider(), lambda pdu: TALK.rq if pdu[:1] == b"\1" else pdu)


def any_answer() -> Engine:
    """A user that takes any A-ASSOCIATE-AC for a good one."""
    user = User()
    asked = user.association.terms.request
    assert asked is not None
    good = encode(acceptance(asked))
    return Tapped(user, lambda pdu: good if pdu[:1] == b"\2" else pdu)


def any_response() -> Engine:
    """A user that takes anything for a response to its C-ECHO."""
    user = User(tasks=("echo", "echo", "echo"))

    def taken(pdu: bytes) -> bytes:
        if pdu[:1] != b"\4":
            return pdu
        (number,) = user.association.operations.unanswered or (0,)
        response = CEchoResponse(message_id_being_responded_to=number, status=0)
        return b"".join(message(1, response)) if number else b""

    return Tapped(user, taken)


class Small(Provider):
    """Refuses any A-ASSOCIATE-RQ with an unknown item, since it allows none."""

    def __init__(self) -> None:
        super().__init__()
        self.association = Association.acceptor(limits=Limits(unknown_items=0))


class Deaf(Provider):
    """Answers nothing that has a data set."""

    def _data(self, event: object) -> None:
        pass


class Hasty(Provider):
    """Reports success for an object as soon as its command set is there."""

    def _asked(self, context: int, command: AnyRequest, *, has_data: bool) -> None:
        if isinstance(command, CStoreRequest):
            self.association.send(MessageStart(context=context, command=response_to(command, 0), has_data=False))
        else:
            super()._asked(context, command, has_data=has_data)


class Failing(Provider):
    """Fails each C-ECHO."""

    def _status(self, context: int, command: AnyRequest) -> int:
        return 0x0110 if isinstance(command, CEchoRequest) else super()._status(context, command)


class Strict(Provider):
    """Wants its own called title."""

    def __init__(self) -> None:
        super().__init__(STRICT, replace(POLICY, called_aets=frozenset({"ELSE"})))


class Lost:
    """Closes at each connection, before a byte."""

    def __init__(self) -> None:
        self.association = Association.acceptor()
        self.association.receive_eof()

    def react(self) -> None:
        """Sees the end that never came."""
        while self.association.next_event() is not None and not self.association.wants_close:
            pass


def first(
    make: Callable[[], Engine], family: str, oracle: str, most: int, *, user: bool = False
) -> tuple[int, Violation]:
    """The number of the conversation of a family that shows it, and what it shows."""
    player = MemoryPlayer(LEARNED, user=make) if user else MemoryPlayer(LEARNED, provider=make)
    for number, one in enumerate(islice(FAMILIES[family].systematic(LEARNED), most), 1):
        for found in judge(one, player.play(one), LEARNED):
            if found.oracle == oracle:
                return number, found
    raise AssertionError(f"{family} does not show {oracle} within {most} conversations")


# fmt: off
FOUND: list[tuple[Callable[[], Engine], str, str, int, str]] = [
    # peer, family, oracle, conversations until then at most, the beginning of the reaction
    (Failing, "good", "refused-valid", 1, "status 0x0110 to C-ECHO, to good/one request"),
    (Strict, "good", "refused-valid", 1, "A-ASSOCIATE-RJ to good/one request"),
    (Lost, "good", "refused-valid", 1, "closed at once, to good/one request"),
    (Lost, "segments", "refused-valid", 1, "closed at once, to segments/pieces"),
    (Deaf, "good", "unanswered", 5, "silent to C-STORE-RQ"),
    (Small, "good", "refused-valid", 80, "A-ABORT to good/unknown item"),
    (any_name, "contents", "accepted", 1, "C-STORE-RSP (success) after contents/path as instance"),
    (any_command, "commands", "accepted", 40, "C-ECHO-RSP (success) after commands/"),
    (any_request, "associations", "accepted", 1, "A-ASSOCIATE-AC after associations/no context"),
    (any_request, "structure", "accepted", 150, "A-ASSOCIATE-AC after structure/"),
    (Hasty, "fragments", "success-before-data", 40, "C-STORE-RSP"),
    (Hasty, "release", "success-before-data", 5, "C-STORE-RSP"),
    (Hasty, "abort", "success-before-data", 1, "C-STORE-RSP"),
    (Patient, "slow", "no-deadline", 1, "waits forever for a PDU"),
]
# fmt: on


@pytest.mark.parametrize(("make", "family", "oracle", "most", "reaction"), FOUND)
def test_a_wrong_provider_is_found(
    make: Callable[[], Engine], family: str, oracle: str, most: int, reaction: str
) -> None:
    _, found = first(make, family, oracle, most)
    assert found.reaction.startswith(reaction)
    assert found.family == family


def test_a_peer_without_deadlines_is_right_where_it_sees_the_fault() -> None:
    player = MemoryPlayer(LEARNED, provider=Patient)
    for one in FAMILIES["foreign"].systematic(LEARNED):
        assert judge(one, player.play(one), LEARNED) == []


def test_a_user_that_goes_on_after_an_answer_that_does_not_fit_is_found() -> None:
    _, found = first(any_answer, "answers", "accepted", 1, user=True)
    assert found.reaction.startswith("P-DATA-TF after answers/")


def test_a_user_that_takes_anything_for_a_response_is_found() -> None:
    _, found = first(any_response, "responses", "accepted", 1, user=True)
    assert found.reaction.startswith("P-DATA-TF after responses/wrong id")
