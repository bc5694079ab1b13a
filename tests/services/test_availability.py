"""Instance availability: one side reads what the other sends; missing and invalid values are refused."""

from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import MessageStart
from dicos_proto.services.availability import (
    NOTIFICATION,
    Availability,
    AvailabilityNotified,
    Available,
    Notification,
    notify,
)
from dicos_proto.services.normalized import n_create, n_delete
from dicos_proto.services.serving import Reference, Refused
from tests.pair import Pair, splitters
from tests.services.talk import dataset, pair_for, serve, use

INSTANCES = (
    Available("1.2.1", Reference("1.2", "1.2.1.1"), Availability.ONLINE, "ARCHIVE"),
    Available("1.2.1", Reference("1.2", "1.2.1.2"), Availability.NEARLINE, "ARCHIVE"),
    Available("1.2.2", Reference("1.2", "1.2.2.1"), Availability.UNAVAILABLE, "OTHER"),
)


def take(pair: Pair) -> Any:
    def handle(start: MessageStart) -> flows.Flow[Any]:
        notified = AvailabilityNotified(pair.provides, start)
        try:
            found = yield from notified.read_notification()
        except Refused as refused:
            yield from notified.refuse(refused)
            return refused.code
        yield from notified.grant(sop_instance_uid="1.9")
        return found

    return handle


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_available_instances_are_reported(split: Any) -> None:
    pair = pair_for([NOTIFICATION], split=split)
    (first, second), served = pair.run(
        use(
            pair.uses,
            notify(pair.uses, "1.2.3", INSTANCES),
            notify(pair.uses, "1.2.3", INSTANCES[:1], "1.9"),
        ),
        serve(pair.provides, take(pair)),
    )
    assert (first.response.affected_sop_instance_uid, second.response.status) == ("1.9", 0)
    assert served == [
        Notification(study_uid="1.2.3", instances=INSTANCES),
        Notification(study_uid="1.2.3", instances=INSTANCES[:1]),
    ]
    assert served[0].attributes.dataset == served[0].dataset


def broken(**values: str) -> Any:
    made = Notification(study_uid="1.2.3", instances=INSTANCES[:1]).dataset
    for keyword, value in values.items():
        setattr(made.ReferencedSeriesSequence[0].ReferencedSOPSequence[0], keyword, value)
    return made


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (dataset(StudyInstanceUID="1.2"), 0x0120),
        (broken(RetrieveAETitle=""), 0x0121),
        (broken(InstanceAvailability="SOMEWHERE"), 0x0106),
        (broken(ReferencedSOPInstanceUID="1.2\\1.3"), 0x0106),
    ],
)
def test_invalid_notifications_are_refused(given: Any, code: int) -> None:
    pair = pair_for([NOTIFICATION])
    ((result, other), served) = pair.run(
        use(
            pair.uses,
            n_create(pair.uses, NOTIFICATION, "1.9", given),
            n_delete(pair.uses, NOTIFICATION, "1.9"),
        ),
        serve(pair.provides, take(pair)),
    )
    assert served == [code, 0x0211]
    assert (result.response.status, other.response.status) == (code, 0x0211)
