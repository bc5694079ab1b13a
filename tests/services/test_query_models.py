"""Every SOP class for queries: the same C-FIND under another UID."""

from typing import Any

import pytest

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CFindRequest
from dicos_proto.registry import status, uids
from dicos_proto.registry.service_classes import service_of
from dicos_proto.services import ups
from dicos_proto.services.query import Find, Finding
from tests.pair import splitters
from tests.services.talk import EXPLICIT, IMPLICIT, dataset, pair_for, serve, use

MODELS = (*uids.QUERY_SOP_CLASSES, ups.PULL, ups.WATCH, ups.QUERY)
ASKED = dataset(PatientID="", ScheduledProcedureStepSequence=[dataset(Modality="CT", ScheduledStationAETitle="")])
ENTRIES = [
    dataset(
        PatientID=f"P{number}",
        ScheduledProcedureStepSequence=[dataset(Modality="CT", ScheduledStationAETitle=f"CT{number}")],
    )
    for number in range(5)
]


def find_all(query: Find) -> flows.Flow[list[Any]]:
    found = []
    while (match := (yield from query.next())) is not None:
        found.append(match.attributes.dataset)
    return found


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("model", MODELS, ids=uids.name_of)
def test_a_model_is_queried(model: str, syntax: str) -> None:
    pair = pair_for([model], syntax=syntax)

    def handle(start: MessageStart) -> flows.Flow[Any]:
        finding = Finding(pair.provides, start)
        asked = yield from finding.receive()
        assert asked is not None
        assert isinstance(start.command, CFindRequest)
        yield from finding.send_all(ENTRIES)
        return start.command.affected_sop_class_uid, asked.dataset

    query = Find(pair.uses, model, ASKED)
    (found,), served = pair.run(use(pair.uses, find_all(query)), serve(pair.provides, handle))
    assert found == ENTRIES
    assert served == [(model, ASKED)]
    assert query.response is not None
    assert status.meaning(query.response.status, service_of(model)) != ""


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_a_worklist_arrives_as_it_was_sent_for_any_split(split: Any) -> None:
    pair = pair_for([uids.MODALITY_WORKLIST_FIND], split=split)

    def handle(start: MessageStart) -> flows.Flow[int]:
        finding = Finding(pair.provides, start)
        yield from finding.receive()
        return (yield from finding.send_all(ENTRIES))

    query = Find(pair.uses, uids.MODALITY_WORKLIST_FIND, ASKED)
    (found,), served = pair.run(use(pair.uses, find_all(query)), serve(pair.provides, handle))
    assert (found, served) == (ENTRIES, [status.SUCCESS])
