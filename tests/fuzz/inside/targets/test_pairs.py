"""Two engines with faults between them: the oracles notice faults that are planted in the engines themselves."""

from __future__ import annotations

import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")

from dicos_fuzz.faults import FaultPlan, parse_plan, tape_of_plan
from dicos_fuzz.inside.cases import CASES
from dicos_fuzz.inside.certificates import available
from dicos_fuzz.inside.provider import Provider
from dicos_fuzz.inside.targets import TARGETS
from dicos_fuzz.inside.targets.pairs import _STORING
from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.flows import Flow
from dicos_proto.dimse.assembly import Messages
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.services.query import Find, Match
from dicos_proto.services.storage import Outcome
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.wire import Buffer
from tests.fuzz.inside.planted import Planted

NAMES = [case.name for case in CASES]
STORING = [case.name for case in _STORING]
needs_tls = pytest.mark.skipif(not available(), reason="the packages for TLS are not installed")


def tape(case: int, for_user: str = "", for_provider: str = "") -> bytes:
    """A tape of a case and two plans, each as its text."""
    first, second = (tape_of_plan(parse_plan(one) if one else FaultPlan()) for one in (for_user, for_provider))
    return bytes((case, len(first))) + first + second


def alters_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plants a fault that changes the last byte of each received data set."""
    receive = Messages.receive

    def altered(self: Messages, fragment: Fragment) -> object:
        found = receive(self, fragment)
        if isinstance(found, MessageData) and found.last and found.data:
            changed = bytes(found.data[:-1]) + bytes((found.data[-1] ^ 1,))
            return MessageData(context=found.context, data=changed, last=True)
        return found

    monkeypatch.setattr(Messages, "receive", altered)


def forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plants a fault that answers with success and keeps no object."""
    store = Provider._store

    def forgetful(self: Provider, exchange: Exchange, start: MessageStart) -> Flow[None]:
        yield from store(self, exchange, start)
        self.stored.clear()

    monkeypatch.setattr(Provider, "_store", forgetful)


def test_an_object_that_did_not_arrive_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    alters_data(monkeypatch)
    Planted(monkeypatch).found_by("pair", tape(NAMES.index("store")), "bytes stored that did not arrive")


@pytest.mark.parametrize("plan", ["in every 5: split", "in at 0: short 3"])
def test_a_result_that_depends_on_the_pieces_is_noticed(monkeypatch: pytest.MonkeyPatch, plan: str) -> None:
    """A user that loses a match if bytes come in small pieces."""
    find = tape(NAMES.index("find"), plan)
    TARGETS["pair"].run(find)  # which notes the right result
    sizes: list[int] = []
    receive, next_match = Association.receive_data, Find.next

    def noted(self: Association, data: Buffer) -> None:
        sizes.append(len(data))
        receive(self, data)

    def losing(self: Find) -> Flow[Match | None]:
        found = yield from next_match(self)
        if found is not None and min(sizes) < 6:
            found = yield from next_match(self)
        return found

    monkeypatch.setattr(Association, "receive_data", noted)
    monkeypatch.setattr(Find, "next", losing)
    Planted(monkeypatch).found_by("pair", find, "pieces alone changed 1")


def test_pieces_that_end_it_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Association.receive_data

    def impatient(self: Association, data: Buffer) -> None:
        receive(self, data)
        if len(data) < 6:
            self.receive_eof()

    monkeypatch.setattr(Association, "receive_data", impatient)
    Planted(monkeypatch).found_by("pair", tape(NAMES.index("echo"), "in at 0: short 3"), "pieces alone ended it")


# -- over TLS ----------------------------------------------------------------------------------------------------


@needs_tls
@pytest.mark.parametrize("case", range(len(STORING)), ids=STORING)
def test_an_object_that_was_not_sent_is_noticed(monkeypatch: pytest.MonkeyPatch, case: int) -> None:
    TARGETS["pair-tls"].run(tape(case))  # which notes what is sent
    alters_data(monkeypatch)
    Planted(monkeypatch).found_by("pair-tls", tape(case), "bytes stored, which were not sent")


@needs_tls
@pytest.mark.parametrize("case", range(len(STORING)), ids=STORING)
def test_success_for_an_object_that_is_not_stored_is_noticed(monkeypatch: pytest.MonkeyPatch, case: int) -> None:
    TARGETS["pair-tls"].run(tape(case))
    forgets(monkeypatch)
    Planted(monkeypatch).found_by("pair-tls", tape(case), "success for message 1, whose object the provider has not")


@needs_tls
def test_success_is_noticed_on_an_association_that_fails_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is lost before the release, so that the flow of the user has no result."""
    release = flows.release

    def lost(association: Association) -> Flow[None]:
        association.receive_eof()
        yield from release(association)

    monkeypatch.setattr(flows, "release", lost)
    late = tape(0, "in at 0: delay 0.01")  # not harmless: it may fail
    TARGETS["pair-tls"].run(late)
    forgets(monkeypatch)
    Planted(monkeypatch).found_by("pair-tls", late, "success for message 1, whose object the provider has not")


@needs_tls
def test_success_without_a_response_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outcome, "stored", property(lambda self: True))
    many = tape(STORING.index("store many"))
    Planted(monkeypatch).found_by("pair-tls", many, "4 objects reported as stored; 3 responses do")
