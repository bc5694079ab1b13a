"""Providers and users of normalized services accept or refuse any data set; they never fail in another way."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.data.datasets import encode
from dicos_proto.dimse.events import MessageStart
from dicos_proto.registry import uids
from dicos_proto.services import availability, commitment, media, mpps, printing, ups
from dicos_proto.services.normalized import Result, n_action, n_create, n_event_report, n_set
from dicos_proto.services.serving import NormalizedOperation, Refused
from tests.services import test_availability, test_commitment, test_media, test_mpps, test_printing, test_ups
from tests.services.talk import EXPLICIT, IMPLICIT, dataset, pair_for, serve, use

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns about invalid values

FILM = printing.Film(
    session_uid="1.8",
    session=Dataset(),
    boxes=(
        printing.FilmBox(
            sop_instance_uid="1.9",
            dataset=Dataset(),
            image_boxes=(printing.ImageBox(reference=printing.Reference(printing.GRAYSCALE_IMAGE, "1.7")),),
        ),
    ),
)
SESSION_REFERENCE = dataset(ReferencedSOPClassUID=printing.SESSION, ReferencedSOPInstanceUID="1.8")
BOX = dataset(ImageDisplayFormat="STANDARD\\1,2", ReferencedFilmSessionSequence=[SESSION_REFERENCE])
IMAGE = dataset(ImageBoxPosition=1, BasicGrayscaleImageSequence=[test_printing.image(1)])
ENDED = test_mpps.ended(PerformedProcedureStepStatus="COMPLETED")
SUBSCRIBE = dataset(ReceivingAE="WATCHER", DeletionLock="TRUE")
PROGRESS = dataset(TransactionUID="1.5", ProcedureStepProgressInformationSequence=[dataset(ProcedureStepProgress="5")])
AVAILABLE = availability.Notification(study_uid="1.2", instances=test_availability.INSTANCES)


def ask(operation: Any, sop_class: str, instance: str, *type_id: int, negotiated: str | None = None) -> Any:
    def asked(user: Exchange, data: bytes) -> flows.Flow[Result]:
        return operation(user, sop_class, instance, *type_id, data, negotiated=negotiated)  # type: ignore[no-any-return]

    return asked


def printed(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
    return printing.Printing(exchange, start).work(FILM, (f"1.7.{one}" for one in count()), Dataset())


Read = Callable[[Exchange, MessageStart], flows.Flow[Any]]
# fmt: off
CASES: dict[str, tuple[str, Dataset, Any, Read]] = {
    "commitment request": (
        commitment.PUSH_MODEL, test_commitment.SOME.dataset,
        ask(n_action, commitment.PUSH_MODEL, commitment.INSTANCE, 1),
        lambda on, start: commitment.Committing(on, start).read_request()),
    "commitment report": (
        commitment.PUSH_MODEL, test_commitment.SOME.dataset,
        ask(n_event_report, commitment.PUSH_MODEL, commitment.INSTANCE, 2),
        lambda on, start: commitment.Reported(on, start).read_report()),
    "mpps create": (
        mpps.MPPS, test_mpps.created(), ask(n_create, mpps.MPPS, "1.2"),
        lambda on, start: mpps.Stepping(on, start).step({})),
    "mpps set": (
        mpps.MPPS, ENDED, ask(n_set, mpps.MPPS, "1.9"),
        lambda on, start: mpps.Stepping(on, start).step({"1.9": test_mpps.STEP})),
    "ups create": (
        ups.PUSH, test_ups.scheduled(), ask(n_create, ups.PUSH, "1.2"),
        lambda on, start: ups.Working(on, start).work({})),
    "ups set": (
        ups.PULL, PROGRESS, ask(n_set, ups.PUSH, "1.9", negotiated=ups.PULL),
        lambda on, start: ups.Working(on, start).work({"1.9": test_ups.CLAIMED})),
    "ups change": (
        ups.PULL, test_ups.to("IN PROGRESS"), ask(n_action, ups.PUSH, "1.9", 1, negotiated=ups.PULL),
        lambda on, start: ups.Working(on, start).work({"1.9": test_ups.NEW})),
    "ups cancel": (
        ups.PUSH, dataset(ReasonForCancellation="late"), ask(n_action, ups.PUSH, "1.9", 2),
        lambda on, start: ups.Working(on, start).work({"1.9": test_ups.NEW})),
    "ups subscribe": (
        ups.WATCH, SUBSCRIBE, ask(n_action, ups.PUSH, "1.9", 3, negotiated=ups.WATCH),
        lambda on, start: ups.Working(on, start).subscription({"1.9": test_ups.NEW})),
    "film box": (
        printing.GRAYSCALE, BOX, ask(n_create, printing.BOX, "1.2", negotiated=printing.GRAYSCALE), printed),
    "image box": (
        printing.GRAYSCALE, IMAGE, ask(n_set, printing.GRAYSCALE_IMAGE, "1.7", negotiated=printing.GRAYSCALE), printed),
    "media create": (
        media.MEDIA, test_media.REQUEST, ask(n_create, media.MEDIA, "1.2"),
        lambda on, start: media.Creating(on, start).work({})),
    "media initiate": (
        media.MEDIA, dataset(NumberOfCopies="2"), ask(n_action, media.MEDIA, "1.9", 1),
        lambda on, start: media.Creating(on, start).work({"1.9": test_media.IDLE})),
    "availability": (
        availability.NOTIFICATION, AVAILABLE.dataset, ask(n_create, availability.NOTIFICATION, "1.2"),
        lambda on, start: availability.AvailabilityNotified(on, start).read_notification()),
}
# fmt: on

Damage = list[tuple[int, int]]


def outcome(name: str, syntax: str, damage: Damage) -> Any:
    """Returns the value that the provider reads from a good data set with some bytes changed, or its refusal."""
    negotiated, good, conversation, read = CASES[name]
    data = bytearray(encode(good, syntax))
    for at, value in damage:
        data[at % len(data)] = value
    pair = pair_for([negotiated], syntax=syntax, roles={negotiated: (True, True)}, record=False)

    def handle(start: MessageStart) -> flows.Flow[Any]:
        serving = NormalizedOperation(pair.provides, start)
        try:
            found = yield from read(pair.provides, start)
        except Refused as refused:
            yield from serving.refuse(refused)
            return refused
        yield from serving.grant()
        return found

    ((result,), (found,)) = pair.run(use(pair.uses, conversation(pair.uses, bytes(data))), serve(pair.provides, handle))
    assert result.response.status == (found.code if isinstance(found, Refused) else 0)
    return found


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT], ids=uids.name_of)
@pytest.mark.parametrize("name", CASES)
def test_undamaged_data_sets_are_accepted(name: str, syntax: str) -> None:
    found = outcome(name, syntax, [])
    if name == "commitment request":
        assert found.references == (test_commitment.ONE,)
    assert not isinstance(found, Refused)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT], ids=uids.name_of)
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25)
@given(damage=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_data_sets_are_accepted_or_refused(name: str, syntax: str, damage: Damage) -> None:
    outcome(name, syntax, damage)
