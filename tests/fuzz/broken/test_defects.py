"""Each planted defect shows in a scripted conversation, and the provider without a defect does right in the same."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGSEGV
from subprocess import PIPE, Popen

import psutil
import pytest

from dicos_fuzz.broken import DEFECTS, NONE
from dicos_fuzz.broken.leaks import KEPT
from dicos_fuzz.broken.provider import ASSOCIATIONS
from dicos_fuzz.grammar import building
from dicos_fuzz.grammar.building import Offer
from dicos_proto import dimse
from dicos_proto.registry import status, uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, RoleSelection, UserInformation
from dicos_transports.blocking import connect
from tests.fuzz.broken.client import (
    AB,
    AC,
    BRIEF,
    CLOSED,
    CT,
    DEFLATED,
    ECHO,
    ILE,
    REQUEST,
    RJ,
    SILENT,
    STORE,
    UID,
    Client,
    cancel,
    echo,
    element,
    find,
    image,
    serving,
    store,
    together,
)  # fmt: skip

Outcome = object
Process = Popen[str]
Start = Callable[[str], tuple[Process, int]]


def shown(name: str, script: Callable[[int], Outcome]) -> tuple[Outcome, Outcome]:
    """Returns the outcomes of the script at the defect, and at the provider without one."""
    found = []
    for defect in (name, NONE):
        with serving(defect) as port:
            found.append(script(port))
    return found[0], found[1]


def test_a_slow_first_pdu_blocks_the_accept_loop() -> None:
    def script(port: int) -> Outcome:
        with Client(port, None) as slow:
            slow.say(REQUEST[:20])
            return echo(port, BRIEF)

    assert shown("accept-loop", script) == (SILENT, status.SUCCESS)


def test_the_length_of_a_pdu_is_not_limited() -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            return client.say(b"\x04\0\xff\xff\xff\xff\0\0\0\4\1\3").kind(BRIEF)

    assert shown("endless-pdu", script) == (SILENT, AB)


def test_a_response_to_nobody_ends_the_thread() -> None:
    response = dimse.CEchoResponse(
        message_id_being_responded_to=1, affected_sop_class_uid=uids.VERIFICATION, status=status.SUCCESS
    )  # fmt: skip

    def script(port: int) -> Outcome:
        with Client(port) as client:
            return client.say(*building.message(ECHO, response)).kind(BRIEF)

    assert shown("dead-thread", script) == (SILENT, AB)


def test_responses_that_were_asked_for_end_no_thread() -> None:
    assert retrieved("dead-thread", image(100)) == image(100)


def always_rejected(port: int) -> bool:
    """True if no slot gets free: a slot that is given back takes a moment."""
    return all(echo(port) == -RJ for _ in range(5))


def leaves_slots(conversation: Callable[[Client], None]) -> Callable[[int], bool]:
    def script(port: int) -> bool:
        for _ in range(ASSOCIATIONS):
            client = Client(port, None).say(REQUEST)
            while client.kind() == RJ:  # the slot of the one before is not free yet
                client = Client(port, None).say(REQUEST)
            conversation(client)
        return always_rejected(port)

    return script


def test_a_reset_within_a_pdu_loses_the_slot() -> None:
    def script(client: Client) -> None:
        client.say(building.echo()[:10]).reset()

    assert shown("slot-at-reset", leaves_slots(script)) == (True, False)


def test_a_reset_between_pdus_loses_no_slot() -> None:
    def script(client: Client) -> None:
        client.say(building.echo()).kind()
        client.reset()

    with serving("slot-at-reset") as port:
        assert not leaves_slots(script)(port)


@pytest.mark.parametrize(("echoes", "lost"), [(True, True), (False, False)])
def test_an_abort_within_a_store_loses_the_slot_after_an_echo(echoes: bool, lost: bool) -> None:
    def script(client: Client) -> None:
        if echoes:
            assert client.say(building.echo(ECHO, 9)).status() == status.SUCCESS
        client.say(*store(image(60_000))[:-1]).abort()

    assert shown("echo-store-abort", leaves_slots(script)) == (lost, False)


def test_an_abort_after_echo_and_store_loses_no_slot() -> None:
    def script(client: Client) -> None:
        assert client.say(building.echo(ECHO, 9)).status() == status.SUCCESS
        assert client.say(*store(image())).status() == status.SUCCESS
        client.abort()

    with serving("echo-store-abort") as port:
        assert not leaves_slots(script)(port)


def test_a_descriptor_is_lost_at_an_abort() -> None:
    process = psutil.Process()

    def script(port: int) -> Outcome:
        echo(port)
        before = process.num_fds()
        for _ in range(20):
            Client(port).abort()
        return process.num_fds() - before >= 15  # the last ones may still be closing

    assert shown("descriptor-at-abort", script) == (True, False)


def test_memory_is_kept_for_each_association() -> None:
    def script(port: int) -> Outcome:
        echo(port)
        before = psutil.Process().memory_info().rss
        for _ in range(40):
            echo(port)
        return psutil.Process().memory_info().rss - before > 20 * KEPT

    assert shown("memory-kept", script) == (True, False)


def test_a_deflate_bomb_fills_the_memory() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    other = uids.SECONDARY_CAPTURE_IMAGE_STORAGE
    plain = b"\xe0\x7f\x10\x00OB\0\0" + (64 << 20).to_bytes(4, "little")
    bomb = packer.compress(plain) + packer.compress(bytes(64 << 20)) + packer.flush()
    bomb += b"\0" * (len(bomb) % 2)

    def script(port: int) -> Outcome:
        before = psutil.Process().memory_info().rss
        with Client(port) as client:
            code = client.say(*store(bomb, context=DEFLATED, sop_class=other)).status()
            return code, psutil.Process().memory_info().rss - before > 48 << 20

    assert shown("deflate-bomb", script) == ((status.SUCCESS, True), (status.CANNOT_UNDERSTAND, False))


def test_garbage_in_place_of_deflated_data_is_refused_all_the_same() -> None:
    other = uids.SECONDARY_CAPTURE_IMAGE_STORAGE
    with serving("deflate-bomb") as port, Client(port) as client:
        assert client.say(*store(b"\xff" * 100, context=DEFLATED, sop_class=other)).status() == 0xC000
        assert client.say(*store(image(), number=2)).status() == status.SUCCESS


def test_a_fault_of_one_peer_closes_the_connection_of_another() -> None:
    def script(port: int) -> Outcome:
        with Client(port) as good, Client(port) as bad:
            assert bad.say(b"\x99\0\0\0\0\0").kind() == AB
            bad.close()
            return good.kind(BRIEF)

    assert shown("neighbour-hurt", script) == (CLOSED, SILENT)


@pytest.mark.parametrize("item", [b"\x99\0\0\0", b"\x50\0\0\4\x77\0\0\0"])
def test_an_unknown_item_aborts(item: bytes) -> None:
    length = int.from_bytes(REQUEST[2:6], "big") + len(item)
    at = 74
    request = REQUEST[:2] + length.to_bytes(4, "big") + REQUEST[6:at] + item + REQUEST[at:]
    if item[0] == 0x50:  # into the user information
        user = REQUEST.rindex(b"\x50\0", 0, len(REQUEST))
        size = int.from_bytes(REQUEST[user + 2 : user + 4], "big") + 4
        request = (
            REQUEST[:2] + (length - 4).to_bytes(4, "big") + REQUEST[6 : user + 2] + size.to_bytes(2, "big")
            + REQUEST[user + 4 :] + item[4:]
        )  # fmt: skip

    def script(port: int) -> Outcome:
        with Client(port, None) as client:
            return client.say(request).kind()

    assert shown("unknown-item-aborts", script) == (AB, AC)


def test_a_transfer_syntax_that_was_not_offered_is_accepted() -> None:
    offer = Offer(contexts=((uids.VERIFICATION, (ILE,)), (CT, (uids.EXPLICIT_VR_BE,)), ("1.2.3", (ILE,))))

    def script(port: int) -> Outcome:
        with Client(port, None) as client:
            heard = client.say(building.request(offer)).hear()
            assert isinstance(heard, bytes)
            answer = decode(heard)
            assert isinstance(answer, AssociateAccept)
            return [int(one.result) for one in answer.contexts]

    assert shown("syntax-not-offered", script) == ([0, 0, 3], [0, 4, 3])


def test_a_second_request_is_accepted() -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            return client.say(REQUEST).kind()

    assert shown("second-rq-answered", script) == (AC, AB)


@pytest.mark.parametrize("size", [40_000, 3 << 20])
def test_a_p_data_longer_than_the_maximum_is_accepted(size: int) -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            return client.say(*store(image(size), max_length=4 << 20)).status()

    assert shown("over-max-length", script) == (status.SUCCESS, -AB)


@pytest.mark.parametrize(("number", "answered"), [(255, 255), (256, 0), (4660, 52)])
def test_message_ids_are_kept_in_one_byte(number: int, answered: int) -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            found = client.say(building.echo(ECHO, number)).response()
            assert isinstance(found, tuple)
            return found[1].message_id_being_responded_to

    assert shown("wrong-message-id", script) == (answered, number)


def test_responses_go_out_on_the_first_context() -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            found = client.say(*store(image())).response()
            assert isinstance(found, tuple)
            return found[0]

    assert shown("wrong-context", script) == (ECHO, STORE)


def test_the_second_message_of_a_p_data_is_lost() -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            client.say(together(building.echo(ECHO, 1), cancel(1), building.echo(ECHO, 2)))
            return client.status(), client.status(BRIEF)

    assert shown("second-message-lost", script) == ((status.SUCCESS, SILENT), (status.SUCCESS, status.SUCCESS))


def test_one_message_in_one_p_data_is_whole() -> None:
    with serving("second-message-lost") as port, Client(port) as client:
        assert client.say(together(*store(image()))).status() == status.SUCCESS
        assert client.say(*store(image(50_000), number=2)).status() == status.SUCCESS


def test_success_comes_before_the_data() -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            return client.say(*store(image(60_000))[:2]).status(BRIEF)

    assert shown("early-success", script) == (status.SUCCESS, SILENT)


def test_success_comes_once() -> None:
    with serving("early-success") as port, Client(port) as client:
        assert client.say(*store(image())).status() == status.SUCCESS
        assert client.say(building.echo(ECHO, 2)).response() is not None
        client.release()


def retrieved(name: str, data: bytes) -> bytes:
    """The object after C-STORE and C-GET."""
    contexts = propose([CT, uids.STUDY_ROOT_GET], (ILE,))
    roles = UserInformation(roles=(RoleSelection(sop_class_uid=CT, scu=True, scp=True),))
    identifier = element(0x00080018, UID.encode()) + element(0x00080052, b"IMAGE ")
    with (
        serving(name) as port,
        connect(("127.0.0.1", port), contexts, user_information=roles) as session,
    ):
        assert session.store(CT, UID, ILE, data).status == status.SUCCESS
        found = [bytes(b"".join(request.data())) for request in session.get(uids.STUDY_ROOT_GET, identifier)]
    assert len(found) == 1
    return found[0]


def test_a_byte_at_a_boundary_of_fragments_is_changed() -> None:
    data, short = image(60_000), image(40_000)
    found = retrieved("byte-changed", data)
    assert len(found) == len(data)
    assert sum(one != other for one, other in zip(found, data, strict=True)) == 1
    assert retrieved("byte-changed", short) == short
    assert retrieved(NONE, data) == data


def test_a_store_after_a_late_cancel_hangs() -> None:
    def script(port: int) -> Outcome:
        with Client(port) as client:
            client.say(*find(7, key=b"1.9.9"))
            assert client.status() == status.SUCCESS
            return client.say(cancel(7), *store(image(), number=8)).status(BRIEF)

    assert shown("cancel-then-store", script) == (SILENT, status.SUCCESS)


def test_parts_of_that_order_harm_nothing() -> None:
    with serving("cancel-then-store") as port, Client(port) as client:
        client.say(*find(7, key=b"1.9.9"))
        assert client.status() == status.SUCCESS
        assert client.say(*store(image(), number=8)).status() == status.SUCCESS
        assert client.say(cancel(99), *store(image(), number=9)).status() == status.SUCCESS
        client.say(cancel(7), *find(10, key=b"1.9.9"))
        assert client.status() == status.SUCCESS


def test_the_first_echo_after_a_rejection_fails() -> None:
    refused = building.request(Offer()).replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9")

    def script(port: int) -> Outcome:
        found = [echo(port)]
        with Client(port, refused, RJ):
            pass
        return [*found, echo(port), echo(port)]

    assert shown("after-reject", script) == ([0, status.PROCESSING_FAILURE, 0], [0, 0, 0])


# -- crashes, in processes of their own ----------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    """A data set with sequences of undefined length, one in the other."""
    begin = b"\x40\x00\x30\xa7\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return image(0)[:-8] + begin * depth + end * depth


def long_item(request: bytes) -> bytes:
    """The last sub-item of the user information runs past its end."""
    at = request.rindex(b"\x55\0")
    return request[: at + 2] + b"\x40\0" + request[at + 4 :]


@pytest.mark.parametrize("defect", ["item-length-crash", NONE])
def test_a_sub_item_that_is_too_long_crashes(defect: str, start: Start) -> None:
    process, port = start(defect)
    assert echo(port) == status.SUCCESS
    with Client(port, None) as client:
        assert client.say(long_item(REQUEST)).kind() == (AB if defect == NONE else CLOSED)
    assert survives(process, port) == (defect == NONE)


@pytest.mark.parametrize("defect", ["deep-sequence-crash", NONE])
def test_a_deep_sequence_crashes(defect: str, start: Start) -> None:
    process, port = start(defect)
    with Client(port) as client:
        assert client.say(*store(nested(200))).status() == status.CANNOT_UNDERSTAND
        found = client.say(*store(nested(300), number=2)).status()
    assert found == (status.CANNOT_UNDERSTAND if defect == NONE else CLOSED)
    assert survives(process, port) == (defect == NONE)


def survives(process: Process, port: int) -> bool:
    """False for a process that has ended by SIGSEGV; the end comes a moment after that of its connections."""
    try:
        if echo(port) == status.SUCCESS:
            return process.poll() is None
    except OSError:
        pass
    assert process.wait(10) == -SIGSEGV
    return False


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts providers as processes, and ends them."""
    with ExitStack() as stack:

        def started(defect: str) -> tuple[Process, int]:
            words = [sys.executable, "-m", "dicos_fuzz.broken", "--defect", defect]
            process = stack.enter_context(Popen(words, stdout=PIPE, text=True, cwd=Path(__file__).parents[3]))
            stack.callback(process.terminate)
            assert process.stdout is not None
            return process, int(process.stdout.readline())

        yield started


def test_every_defect_has_a_test_of_its_own() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [name for name in DEFECTS if f'"{name}"' not in source] == []


@pytest.mark.parametrize("name", ["wrong-context", "byte-changed", "second-message-lost", "wrong-message-id"])
def test_a_fault_of_the_peer_is_refused_beside_the_defect_too(name: str) -> None:
    """A defect changes messages, and must not fail at those that cannot be encoded."""
    for pdv in ((0, True, True, building.echo()[12:]), (2, False, True, b"\0"), (1, True, True, b"\xff" * 9)):
        with serving(name) as port, Client(port) as client:
            assert client.say(building.p_data(pdv)).kind() == AB
