"""Minimising: planted faults are reduced to their known minimum, in a known number of questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicos_fuzz.conversation import Await, Check, Conversation, End, Open, Pause, Reading, Send, Side, Step
from dicos_fuzz.findings.minimise import earlier, minimise, minimised
from dicos_fuzz.grammar import Offer, echo, pdus_of, read_pdu, request
from dicos_fuzz.tree import Action, Edit, Length, find, lengths, walk
from dicos_proto import Association
from dicos_proto.events import Closed, ProviderAbort
from dicos_proto.registry import uids
from tests.fuzz import values

Still = Callable[[Conversation], bool]
STORE = values.PDUS["C-STORE-RQ"]
WINDOW = "A-ASSOCIATE-RQ/user information/operations window"


def stream_of(conversation: Conversation, connection: int = 0) -> bytes:
    """The bytes that a conversation sends on a connection."""
    found = bytearray()
    opened = False
    for step in conversation.steps:
        if isinstance(step, Open | End) and step.connection == connection:
            opened = isinstance(step, Open)
        elif isinstance(step, Send) and step.connection == connection and opened:
            found += step.wire()
    return bytes(found)


def window_of_one_byte_and_two_p_data(conversation: Conversation) -> bool:
    """A planted fault: an A-ASSOCIATE-RQ with an operations window of length 1, then two P-DATA-TF."""
    for connection in range(8):
        pdus = list(pdus_of(stream_of(conversation, connection)))
        if pdus and pdus[0][0] == 1 and [pdu[0] for pdu in pdus[1:]].count(4) >= 2:
            tree = read_pdu(pdus[0])
            node = find(tree, "user information/operations window/length")
            if isinstance(node, Length):
                right, _ = lengths(tree)["user information/operations window/length"]
                if (right if node.value is None else node.value) == 1:
                    return True
    return False


NOISE: tuple[Step, ...] = (
    Open(connection=1),
    Send(message=values.REQUEST, connection=1, piece=3, gap=0.1),
    Await(connection=1),
    Send(message=STORE, connection=1),
    End(connection=1, how="reset"),
    Check(),
    Pause(seconds=2.0),
)
LARGE = Conversation(
    name="sizes/window",
    about="operations window of the wrong length",
    steps=(
        *NOISE,
        Open(connection=4),
        Send(
            message=values.REQUEST,
            edits=(
                Edit("A-ASSOCIATE-RQ/called title", Action.SET, b"X" * 16),
                Edit(f"{WINDOW}/reserved", Action.SET, b"\xff"),
                Edit(f"{WINDOW}/length", Action.LENGTH, 1),
                Edit("A-ASSOCIATE-RQ/presentation context", Action.REPEAT),
            ),
            connection=4,
            piece=7,
            gap=0.01,
        ),
        *(replace(step, connection=2) if hasattr(step, "connection") else step for step in NOISE),
        Await(kinds=(2,), connection=4, seconds=5.0),
        Send(message=echo() + STORE * 2, connection=4),
        Reading(on=False, connection=4),
        Send(message=values.PDUS["A-RELEASE-RQ"], connection=4),
        Check(),
    ),
)


def test_a_window_of_one_byte_and_two_p_data_are_all_that_is_left() -> None:
    assert window_of_one_byte_and_two_p_data(LARGE)
    found = minimised(LARGE, window_of_one_byte_and_two_p_data, budget=2000)
    assert (found.shown, found.complete) == (True, True)
    assert [type(step) for step in found.conversation.steps] == [Open, Send, Send]
    assert {step.connection for step in found.conversation.steps if isinstance(step, Open | Send)} == {0}
    pdus = list(pdus_of(stream_of(found.conversation)))
    # The fixed fields, the headers of the user information item and of the window; two headers, the last one cut.
    assert [len(pdu) for pdu in pdus] == [6 + 68 + 4 + 4, 6, 1]
    assert all(step.piece == 0 and step.gap == 0 for step in found.conversation.steps if isinstance(step, Send))
    assert (found.conversation.name, found.conversation.about) == (LARGE.name, LARGE.about)
    assert found.calls < 320


def test_what_is_wrong_keeps_its_name_while_the_message_around_it_goes() -> None:
    """The engine as the peer: a P-DATA-TF for a context that was not accepted is aborted."""

    def aborted(conversation: Conversation) -> bool:
        acceptor = Association.acceptor()
        acceptor.receive_data(stream_of(conversation))
        return any(
            isinstance(event, ProviderAbort) and "context 99" in str(event.error) for event in events_of(acceptor)
        )

    offer = Offer(contexts=tuple((f"1.2.{n}", (uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE)) for n in range(20)))
    wrong = Edit("P-DATA-TF/PDV/context id", Action.SET, b"\x63")
    noise = Edit("P-DATA-TF/PDV/C-ECHO-RQ/(0000,0110)/value", Action.SET, b"\xff\xff")
    large = Conversation(
        name="x",
        steps=(Open(), Send(message=request(offer)), Await(), Send(message=echo(), edits=(noise, wrong)), End()),
    )
    assert aborted(large)
    found = minimised(large, aborted, budget=5000)
    assert found.complete
    assert len(found.conversation.steps) == 3
    _, asked, sent = found.conversation.steps
    assert isinstance(asked, Send)
    assert isinstance(sent, Send)
    # One context with one transfer syntax is left, of UIDs that cannot be shorter.
    assert [path for path, _ in walk(read_pdu(asked.wire())) if path.endswith("syntax")] == [
        "presentation context/abstract syntax",
        "presentation context/transfer syntax",
    ]
    assert len(sent.wire()) <= 12
    assert found.calls < 700


def events_of(acceptor: Association) -> list[object]:
    found: list[object] = []
    while (event := acceptor.next_event()) is not None and not isinstance(event, Closed):
        found.append(event)
        if len(found) == 1 and not isinstance(event, ProviderAbort):
            from dicos_proto import AcceptPolicy, negotiate

            policy = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE))
            acceptor.send(negotiate(event, policy))  # type: ignore[arg-type]
    return found


def test_two_connections_that_are_needed_both_stay() -> None:
    def both(conversation: Conversation) -> bool:
        opened = {step.connection for step in conversation.steps if isinstance(step, Open)}
        return len(opened) >= 2

    found = minimise(LARGE, both, budget=500)
    assert found.steps == (Open(connection=0), Open(connection=1))


def test_a_step_that_is_needed_twice_stays_twice() -> None:
    steps = tuple(Check() if n % 7 == 0 else Pause(seconds=1.0) for n in range(50))
    found = minimise(
        Conversation(name="x", steps=steps), lambda one: sum(isinstance(s, Check) for s in one.steps) >= 3, budget=300
    )
    assert found.steps == (Check(),) * 3


@pytest.mark.parametrize("least", [0, 256, 70_000, 0xFFFFFFFF])
def test_a_wrong_length_becomes_the_lowest_that_shows_it(least: int) -> None:
    def long(conversation: Conversation) -> bool:
        wire = stream_of(conversation)
        return len(wire) >= 6 and wire[0] == 4 and int.from_bytes(wire[2:6], "big") >= least

    start = Conversation(
        name="x",
        steps=(Open(), Send(message=echo(), edits=(Edit("P-DATA-TF/length", Action.LENGTH, 0xFFFFFFFF),))),
    )
    found = minimised(start, long, budget=400)
    assert found.complete
    assert stream_of(found.conversation).hex() == f"0400{least:08x}"


def test_a_value_of_an_edit_becomes_as_short_as_it_can_be_and_zero() -> None:
    path = "A-ASSOCIATE-RQ/application context/UID"

    def long(conversation: Conversation) -> bool:
        return any(
            len(node.value) > 64
            for pdu in pdus_of(stream_of(conversation))
            for found, node in walk(read_pdu(pdu))
            if found == "application context/UID" and not isinstance(node, Length) and hasattr(node, "value")
        )

    start = Conversation(
        name="x", steps=(Open(), Send(message=values.REQUEST, edits=(Edit(path, Action.SET, b"9" * 300),)))
    )
    found = minimise(start, long, budget=60)  # enough until single bytes are tried
    send = found.steps[1]
    assert isinstance(send, Send)
    assert send.edits == (Edit(path, Action.SET, bytes(65)),)


def test_a_message_is_cut_where_the_rest_is_not_needed() -> None:
    start = Conversation(name="x", steps=(Open(), Send(message=values.REQUEST)))
    found = minimise(start, lambda one: len(stream_of(one)) >= 40, budget=50)
    assert stream_of(found)[:2] == b"\x01\x00"
    assert len(stream_of(found)) == 40
    send = found.steps[1]
    assert isinstance(send, Send)
    assert send.edits[-1] == Edit("", Action.CUT, 40)


def test_edits_follow_the_parts_that_they_are_in() -> None:
    wrong = Edit("A-ASSOCIATE-RQ/presentation context#2/transfer syntax#2/length", Action.LENGTH, 99)

    def shows(conversation: Conversation) -> bool:
        return any(
            isinstance(node, Length) and node.value == 99 and "/transfer syntax" in path
            for pdu in pdus_of(stream_of(conversation))
            for path, node in walk(read_pdu(pdu))
        )

    start = Conversation(name="x", steps=(Open(), Send(message=values.REQUEST, edits=(wrong,))))
    found = minimise(start, shows, budget=30)
    send = found.steps[1]
    assert isinstance(send, Send)
    assert send.edits[0] == replace(wrong, path="A-ASSOCIATE-RQ/presentation context/transfer syntax/length")


@pytest.mark.parametrize("piece", [0, 1])
def test_waits_become_shorter_and_writes_larger(piece: int) -> None:
    start = Conversation(
        name="x",
        steps=(Open(), Send(message=echo(), piece=1, gap=2.0), Await(seconds=8), Pause(seconds=4)),
    )

    def shows(conversation: Conversation) -> bool:
        waits = sum(step.seconds or 0 for step in conversation.steps if isinstance(step, Await | Pause))
        pieces = [step.piece for step in conversation.steps if isinstance(step, Send)]
        return waits >= 0.9 and len(pieces) == 1 and pieces[0] >= piece

    found = minimise(start, shows, budget=400)
    waits = [step.seconds for step in found.steps if isinstance(step, Await | Pause)]
    assert waits == [1.0]
    assert [(one.piece, one.gap) for one in found.steps if isinstance(one, Send)] == [(piece, 0.0)]


def test_a_conversation_that_does_not_show_it_is_returned_unchanged() -> None:
    found = minimised(LARGE, lambda one: False, budget=100)
    assert (found.conversation, found.shown, found.complete, found.calls) == (LARGE, False, False, 1)
    assert minimised(LARGE, lambda one: True, budget=0).conversation is LARGE


@pytest.mark.parametrize("budget", [1, 2, 10, 30, 100, 200])
def test_when_the_budget_ends_the_best_is_kept(budget: int) -> None:
    calls = 0

    def still(conversation: Conversation) -> bool:
        nonlocal calls
        calls += 1
        return window_of_one_byte_and_two_p_data(conversation)

    found = minimised(LARGE, still, budget=budget)
    assert found.calls == calls == budget
    assert not found.complete
    assert window_of_one_byte_and_two_p_data(found.conversation)
    size = sum(len(step.wire()) for step in found.conversation.steps if isinstance(step, Send))
    if budget >= 30:
        assert len(found.conversation.steps) <= 4
    if budget >= 100:
        assert size < 400


def test_a_flaky_peer_needs_more_questions_and_gets_the_same_result() -> None:
    random = Random(3)

    def flaky(conversation: Conversation) -> bool:
        return window_of_one_byte_and_two_p_data(conversation) and random.random() < 0.6

    found = minimised(LARGE, flaky, budget=20_000, tries=8, needed=1)
    assert found.shown
    assert [len(pdu) for pdu in pdus_of(stream_of(found.conversation))] == [82, 6, 1]


def test_the_same_questions_are_asked_each_time_and_none_twice() -> None:
    def asked() -> list[Conversation]:
        found: list[Conversation] = []

        def still(conversation: Conversation) -> bool:
            found.append(conversation)
            return window_of_one_byte_and_two_p_data(conversation)

        minimise(LARGE, still, budget=300)
        return found

    first = asked()
    assert first == asked()
    assert all(first.count(one) == 1 for one in first)


@settings(max_examples=60)
@given(values.conversations, st.integers(1, 2**30))
def test_for_any_predicate_the_result_shows_it_and_no_step_can_be_left_out(start: Conversation, seed: int) -> None:
    def shows(conversation: Conversation) -> bool:
        sizes = tuple(
            len(step.wire()) if isinstance(step, Send) else len(type(step).__name__) for step in conversation.steps
        )
        return conversation == start or hash((seed, sizes)) % 3 == 0

    found = minimised(start, shows, budget=3000)
    assert shows(found.conversation)
    assert found.conversation.side is start.side
    if found.complete and all(not isinstance(step, Open) for step in found.conversation.steps):
        for index in range(len(found.conversation.steps)):
            fewer = replace(
                found.conversation, steps=found.conversation.steps[:index] + found.conversation.steps[index + 1 :]
            )
            assert not shows(fewer)


def test_the_side_stays() -> None:
    start = replace(LARGE, side=Side.PROVIDER)
    assert minimise(start, lambda one: True, budget=10) == replace(start, steps=())


# -- conversations before it ---------------------------------------------------------------------------------------

BEFORE = tuple(Conversation(name=f"c{number}", steps=()) for number in range(1000))


@pytest.mark.parametrize(
    ("wanted", "most"), [((), 1), ((999,), 3), ((990,), 25), ((3, 700), 90), ((0,), 35), ((10, 11, 12), 130)]
)
def test_the_conversations_that_are_needed_before_it_are_found(wanted: tuple[int, ...], most: int) -> None:
    names = {f"c{number}" for number in wanted}
    found = earlier(BEFORE, lambda some: names <= {one.name for one in some}, budget=1000)
    assert [one.name for one in found.conversations] == [f"c{number}" for number in wanted]
    assert (found.shown, found.complete) == (True, True)
    assert found.calls <= most


def test_it_may_take_a_number_of_conversations_of_any_kind() -> None:
    found = earlier(BEFORE, lambda some: len(some) >= 37, budget=5000)
    assert found.conversations == BEFORE[-37:]
    assert found.complete


def test_it_may_not_show_again_at_all() -> None:
    found = earlier(BEFORE, lambda some: False, budget=1000)
    assert (found.conversations, found.shown, found.complete) == (BEFORE, False, True)
    assert found.calls <= 12


def test_the_best_is_kept_when_the_budget_ends() -> None:
    found = earlier(BEFORE, lambda some: len(some) >= 300, budget=12)
    assert found.shown
    assert not found.complete
    assert 300 <= len(found.conversations) < 1000
    none = earlier(BEFORE, lambda some: len(some) >= 300, budget=2)
    assert (none.conversations, none.shown, none.complete) == (BEFORE, False, False)


def test_a_wait_for_an_answer_is_kept_and_not_a_pause_that_does_the_same() -> None:
    start = Conversation(name="x", steps=(Open(), Await(kinds=(2,)), Pause(seconds=0.5), Send(message=echo())))

    def shows(conversation: Conversation) -> bool:
        waits = [step for step in conversation.steps if isinstance(step, Await | Pause)]
        return bool(waits) and isinstance(conversation.steps[-1], Send)

    found = minimise(start, lambda one: shows(one) and isinstance(one.steps[0], Open), budget=100)
    assert [type(step) for step in found.steps] == [Open, Await, Send]


def test_a_wait_does_not_become_so_short_that_it_depends_on_the_host() -> None:
    start = Conversation(name="x", steps=(Pause(seconds=3.0),))
    found = minimise(start, lambda one: len(one.steps) == 1, budget=100)
    assert found.steps == (Pause(seconds=0.095),)
