"""The DIMSE-N operations in their general form: each way, with and without attributes, on contexts of meta classes."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.data.datasets import Attributes, DataSetError
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import NActionRequest, NActionResponse, NCreateRequest, NCreateResponse, NGetRequest
from dicos_proto.registry import uids
from dicos_proto.services import normalized
from dicos_proto.services.normalized import n_action, n_create, n_delete, n_event_report, n_get, n_set
from dicos_proto.services.performing import ProviderOperation
from tests.pair import Splitter, splitters
from tests.services.parties import parties, serve, then_release

MPPS, META = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.5.1.1.9"
FILM = "1.2.840.10008.5.1.1.1"
ANY = pytest.mark.parametrize("split", splitters().values(), ids=splitters())


def attributes(name: str) -> Dataset:
    one = Dataset()
    one.PatientID = name
    return one


def perform(exchange: Exchange, start: MessageStart) -> flows.Flow[Any]:
    """Answers with the received data set, if there is one."""
    performing = ProviderOperation(exchange, start)
    received = yield from performing.receive()
    reply = None if start.command.NAME == "N-DELETE-RQ" else attributes("reply")
    yield from performing.finish(0, given=reply)
    return start.command, None if received is None else received.dataset.PatientID


OPERATIONS: dict[str, Any] = {
    "N-CREATE": lambda exchange: n_create(exchange, MPPS, "1.2.3", attributes("new")),
    "N-SET": lambda exchange: n_set(exchange, MPPS, "1.2.3", attributes("change")),
    "N-GET": lambda exchange: n_get(exchange, MPPS, "1.2.3", (0x00100020, 0x00100010)),
    "N-ACTION": lambda exchange: n_action(exchange, MPPS, "1.2.3", 4, attributes("act")),
    "N-DELETE": lambda exchange: n_delete(exchange, MPPS, "1.2.3"),
}
SAID = {"N-CREATE": "new", "N-SET": "change", "N-GET": None, "N-ACTION": "act", "N-DELETE": None}


@ANY
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_and_its_answer(split: Splitter, name: str) -> None:
    pair = parties(MPPS, split=split)
    result, done = pair.run(then_release(pair.uses, OPERATIONS[name](pair.uses)), serve(pair.provides, perform))
    command, said = done[0]
    assert command.NAME == f"{name}-RQ"
    assert said == SAID[name]
    assert (result.response.NAME, result.response.status) == (f"{name}-RSP", 0)
    assert result.response.affected_sop_class_uid == MPPS
    assert result.response.affected_sop_instance_uid == "1.2.3"
    if name == "N-DELETE":
        assert result.attributes is None
    else:
        assert result.attributes.dataset.PatientID == "reply"


def test_optional_attributes_may_be_left_out() -> None:
    pair = parties(MPPS)

    def bare() -> flows.Flow[Any]:
        yield from n_create(pair.uses, MPPS)
        yield from n_get(pair.uses, MPPS, "1.2.3")
        yield from n_action(pair.uses, MPPS, "1.2.3", 1)

    _, done = pair.run(then_release(pair.uses, bare()), serve(pair.provides, perform))
    assert [command for command, _ in done] == [
        NCreateRequest(message_id=1, affected_sop_class_uid=MPPS),
        NGetRequest(message_id=2, requested_sop_class_uid=MPPS, requested_sop_instance_uid="1.2.3"),
        NActionRequest(
            message_id=3, requested_sop_class_uid=MPPS, requested_sop_instance_uid="1.2.3", action_type_id=1
        ),
    ]
    assert [said for _, said in done] == [None] * 3


def test_the_provider_names_the_instance_it_made() -> None:
    pair = parties(MPPS)

    def make(exchange: Exchange, start: MessageStart) -> flows.Flow[None]:
        yield from ProviderOperation(exchange, start).answer(
            NCreateResponse(
                message_id_being_responded_to=1,
                status=0,
                affected_sop_class_uid=MPPS,
                affected_sop_instance_uid="1.2.9",
            )
        )

    result, _ = pair.run(then_release(pair.uses, n_create(pair.uses, MPPS)), serve(pair.provides, make))
    assert result.response.affected_sop_instance_uid == "1.2.9"


@ANY
def test_a_report_goes_from_scp_to_scu(split: Splitter) -> None:
    pair = parties(MPPS, split=split)

    def report() -> flows.Flow[Any]:
        result = yield from n_event_report(pair.provides, MPPS, "1.2.3", 2, attributes("event"))
        yield from flows.release(pair.provider)
        return result

    result, done = pair.run(report(), serve(pair.uses, perform))
    command, said = done[0]
    assert (command.NAME, command.event_type_id, said) == ("N-EVENT-REPORT-RQ", 2, "event")
    assert (result.response.event_type_id, result.attributes.dataset.PatientID) == (2, "reply")
    with pytest.raises(flows.ContextNotAccepted, match="but not in the role of an SCP"):
        next(n_event_report(pair.uses, MPPS, "1.2.3", 2))


def test_a_context_may_stand_for_other_sop_classes() -> None:
    """Print: the SOP class of the command is not the abstract syntax of its context [PS3.4 H.2]."""
    pair = parties(META, both_roles=(META,))

    def all_of_them() -> flows.Flow[Any]:
        yield from n_create(pair.uses, FILM, "1.2", negotiated=META)
        yield from n_set(pair.uses, FILM, "1.2", b"", negotiated=META)
        yield from n_get(pair.uses, FILM, "1.2", negotiated=META)
        yield from n_action(pair.uses, FILM, "1.2", 1, negotiated=META)
        yield from n_delete(pair.uses, FILM, "1.2", negotiated=META)
        yield from n_event_report(pair.uses, FILM, "1.2", 1, negotiated=META)

    def count(exchange: Exchange, start: MessageStart) -> flows.Flow[str]:
        performing = ProviderOperation(exchange, start)
        assert performing.context.abstract_syntax == META
        yield from performing.finish(0)
        return start.command.NAME

    _, done = pair.run(then_release(pair.uses, all_of_them()), serve(pair.provides, count))
    assert done == ["N-CREATE-RQ", "N-SET-RQ", "N-GET-RQ", "N-ACTION-RQ", "N-DELETE-RQ", "N-EVENT-REPORT-RQ"]


def test_a_failure_names_its_subject() -> None:
    pair = parties(MPPS)

    def refuse(exchange: Exchange, start: MessageStart) -> flows.Flow[None]:
        yield from ProviderOperation(exchange, start).finish(0x0123, "no such action type")

    result, _ = pair.run(then_release(pair.uses, n_action(pair.uses, MPPS, "1.2.3", 9)), serve(pair.provides, refuse))
    assert result.response == NActionResponse(
        message_id_being_responded_to=1,
        affected_sop_class_uid=MPPS,
        affected_sop_instance_uid="1.2.3",
        status=0x0123,
        error_comment="no such action type",
        action_type_id=9,
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_sent_without_a_context(name: str) -> None:
    pair = parties(FILM)
    with pytest.raises(flows.ContextNotAccepted, match="none was proposed"):
        next(OPERATIONS[name](pair.uses))
    assert pair.user.operations.outstanding == 0


def test_nothing_is_sent_if_it_cannot_be_encoded() -> None:
    pair = parties(MPPS, transfer_syntax="1.2.3")
    with pytest.raises(DataSetError):
        next(n_create(pair.uses, MPPS, "1.2.3", attributes("new")))
    assert pair.user.operations.outstanding == 0


def test_a_result_need_not_be_decoded() -> None:
    pair = parties(MPPS)

    def raw(exchange: Exchange, start: MessageStart) -> flows.Flow[None]:
        yield from ProviderOperation(exchange, start).finish(0, given=b"any bytes")

    result, _ = pair.run(then_release(pair.uses, n_get(pair.uses, MPPS, "1.2.3")), serve(pair.provides, raw))
    assert result.attributes == Attributes(b"any bytes", uids.EXPLICIT_VR_LE)
    assert normalized.__doc__
