"""The messages of this side: a right one is known by its command, a wrong one by the numbers that a reader may find."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign import asking as module
from dicos_fuzz.campaign.asking import Asking
from dicos_fuzz.campaign.lines import lines_of
from dicos_fuzz.campaign.scenarios.commands import number
from dicos_fuzz.conversation import Transcript
from dicos_fuzz.grammar.building import p_data
from dicos_proto.dimse.types import CEchoRequest, CStoreRequest
from tests.fuzz.campaign.transcripts import STORAGE, TALK, played, sent

ASK, COMMAND = TALK.ask(), TALK.command()
_, HEAD, OBJECT = TALK.parts(7, "asked")
GETTING = 7
WRONG = COMMAND + number(0x0110, 5)
"""A command set with a second message id behind the first."""


def asked(*messages: bytes, accepted: frozenset[int] | None = frozenset((1, STORAGE, 5, GETTING))) -> Asking:
    """Everything that one connection was sent."""
    asking = Asking()
    asking.accepted = accepted
    (line,) = lines_of(Transcript(played(*map(sent, messages)))).values()
    for one in line.said:
        asking.sent(one)
    return asking


def test_a_right_request_is_its_command() -> None:
    asking = asked(ASK)
    (one,) = asking.all
    assert isinstance(one.request, CEchoRequest)
    assert (one.context, one.ids, one.complete, one.done) == (1, {1}, True, 1)
    assert 0x0030 in one.fields
    assert not asking.loose
    assert asking.unanswered() == [one]


def test_a_request_is_complete_with_its_data_set() -> None:
    begun = p_data((STORAGE, True, True, HEAD)), p_data((STORAGE, False, False, OBJECT[:20]))
    asking = asked(*begun)
    assert not asking.all[0].complete
    assert asking.unanswered() == []
    assert asking.stored == {}
    asking = asked(*begun, p_data((STORAGE, False, True, OBJECT[20:])))
    (one,) = asking.unanswered()
    assert (one.done, one.data_done, bytes(one.data)) == (1, 3, OBJECT)
    ((instance, (kept, command)),) = asking.stored.items()
    assert kept is one
    assert isinstance(command, CStoreRequest)
    assert command.affected_sop_instance_uid == instance
    assert not asking.loose


def test_retrievals_are_kept() -> None:
    asking = asked(TALK.get(3), ASK)
    assert [one.ids for one in asking.retrievals] == [{3}]


@pytest.mark.parametrize(
    "wrong",
    [
        p_data((1, True, True, WRONG)),
        p_data((1, True, True, COMMAND[:-2])),
        p_data((77, True, True, COMMAND)),
        p_data((1, True, False, COMMAND[:21])) + p_data((1, True, True, COMMAND[21:])),
        p_data((1, True, False, COMMAND[:20])) + p_data((3, True, True, COMMAND)),
        p_data((STORAGE, True, True, HEAD)) + ASK,
        p_data((STORAGE, True, True, HEAD)) + p_data((5, False, True, b"ab")),
        p_data((1, False, True, b"ab")),
        ASK + ASK,
        ASK[:-1],
    ],
    ids=["two ids", "cut command", "context", "odd piece", "two command sets", "command inside data", "data elsewhere",
         "data alone", "an id in use", "cut PDU"],
)  # fmt: skip
def test_a_mistake_on_purpose_makes_it_loose(wrong: bytes) -> None:
    assert asked(wrong).loose


def test_all_numbers_that_a_reader_may_find_are_kept() -> None:
    asking = asked(p_data((1, True, True, WRONG)))
    (one,) = asking.all
    assert one.command is None
    assert one.ids == {1, 5}
    assert 0x0030 in asking.fields
    assert asking.with_id(5) == asking.with_id(1) == [one]
    assert asking.with_id(2) == []
    assert asking.unanswered() == []  # nobody knows what is the answer


def test_a_command_set_that_is_not_complete_has_begun_with_its_number() -> None:
    asking = asked(p_data((1, True, False, COMMAND)))
    assert asking.begun_with(1)
    assert not asking.begun_with(2)
    assert asking.all == []
    assert not asked(ASK).begun_with(1)


def test_an_id_that_comes_again_is_that_of_the_oldest_open_request() -> None:
    asking = asked(TALK.ask(4), TALK.ask(9))
    first = asking.next_open(4)
    assert first is asking.all[0]
    first.answered = 1
    assert asking.next_open(4) is first  # the last one, if all are answered
    assert asking.next_open(5) is None
    (line,) = lines_of(Transcript(played(sent(TALK.ask(4))))).values()
    asking.sent(line.said[0])
    assert asking.next_open(4) is asking.all[2]
    assert not asking.loose
    assert asking.unanswered() == asking.all[1:]


def test_a_request_behind_the_end_and_one_on_no_context_need_no_answer() -> None:
    asking = Asking()
    asking.accepted, asking.over = frozenset((1,)), True
    (line,) = lines_of(Transcript(played(sent(ASK)))).values()
    asking.sent(line.said[0])
    assert asking.all[0].late
    assert asking.unanswered() == []
    assert asked(ASK, accepted=None).unanswered() == []
    assert asked(ASK, accepted=frozenset((3,))).unanswered() == []


def test_the_bytes_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer object is not compared with one that comes back."""
    monkeypatch.setattr(module, "_KEPT", len(HEAD))
    asking = asked(p_data((STORAGE, True, True, HEAD)), p_data((STORAGE, False, True, OBJECT)))
    assert len(asking.all[0].data) == len(HEAD) < len(OBJECT)
    assert asking.all[0].complete
    assert asking.stored == {}
