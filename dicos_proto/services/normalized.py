"""The DIMSE-N operations in their general form, for any normalized SOP class [PS3.7 10.1].

User side: one flow for each operation, each with the same parameters and a `Result`. Provider side:
`performing.ProviderOperation`, whose `receive` returns the attributes of the request and whose `finish` answers it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..association import judge_of
from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..conversation.invoking import inquire
from ..data.datasets import Attributes, Content, content
from ..dimse.types import (
    DimseResponse,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NEventReportRequest,
    NGetRequest,
    NRequest,
    NSetRequest,
)
from ..upper_layer.agreement import PresentationContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The response of an operation, with its attribute list, event reply or action reply, if it has one."""

    response: DimseResponse
    attributes: Attributes | None


def n_create(
    exchange: Exchange,
    sop_class_uid: str,
    sop_instance_uid: str | None = None,
    attributes: Content | None = None,
    *,
    negotiated: str | None = None,
) -> Flow[Result]:
    """Sends an N-CREATE. If `sop_instance_uid` is None, the provider makes a UID and names it in its response
    [PS3.7 10.1.5].

    `negotiated`: the abstract syntax of the context to use, if it is not the SOP class itself (a meta SOP class, or one
    that stands for others). Raises `ContextNotAccepted`, `DataSetError` or `LocalProtocolError` before anything is
    sent; `DataSetTooLong`; and as `Exchange.step` does. The other flows of this module raise the same.
    """
    context = find_context(exchange.association, negotiated or sop_class_uid)
    request = NCreateRequest(
        message_id=exchange.association.operations.new_message_id(),
        affected_sop_class_uid=sop_class_uid,
        affected_sop_instance_uid=sop_instance_uid,
    )
    return (yield from _invoke(exchange, context, request, attributes))


def n_set(
    exchange: Exchange, sop_class_uid: str, sop_instance_uid: str, attributes: Content, *, negotiated: str | None = None
) -> Flow[Result]:
    """Sends an N-SET with a modification list [PS3.7 10.1.3]."""
    context = find_context(exchange.association, negotiated or sop_class_uid)
    request = NSetRequest(
        message_id=exchange.association.operations.new_message_id(),
        requested_sop_class_uid=sop_class_uid,
        requested_sop_instance_uid=sop_instance_uid,
    )
    return (yield from _invoke(exchange, context, request, attributes))


def n_get(
    exchange: Exchange,
    sop_class_uid: str,
    sop_instance_uid: str,
    tags: tuple[int, ...] | None = None,
    *,
    negotiated: str | None = None,
) -> Flow[Result]:
    """Sends an N-GET for the attributes with these tags (0xGGGGEEEE), or for all [PS3.7 10.1.2]."""
    context = find_context(exchange.association, negotiated or sop_class_uid)
    request = NGetRequest(
        message_id=exchange.association.operations.new_message_id(),
        requested_sop_class_uid=sop_class_uid,
        requested_sop_instance_uid=sop_instance_uid,
        attribute_identifier_list=tags,
    )
    return (yield from _invoke(exchange, context, request, None))


def n_action(
    exchange: Exchange,
    sop_class_uid: str,
    sop_instance_uid: str,
    action_type_id: int,
    information: Content | None = None,
    *,
    negotiated: str | None = None,
) -> Flow[Result]:
    """Sends an N-ACTION of a type that the SOP class defines [PS3.7 10.1.4]."""
    context = find_context(exchange.association, negotiated or sop_class_uid)
    request = NActionRequest(
        message_id=exchange.association.operations.new_message_id(),
        requested_sop_class_uid=sop_class_uid,
        requested_sop_instance_uid=sop_instance_uid,
        action_type_id=action_type_id,
    )
    return (yield from _invoke(exchange, context, request, information))


def n_delete(
    exchange: Exchange, sop_class_uid: str, sop_instance_uid: str, *, negotiated: str | None = None
) -> Flow[Result]:
    """Sends an N-DELETE [PS3.7 10.1.6]."""
    context = find_context(exchange.association, negotiated or sop_class_uid)
    request = NDeleteRequest(
        message_id=exchange.association.operations.new_message_id(),
        requested_sop_class_uid=sop_class_uid,
        requested_sop_instance_uid=sop_instance_uid,
    )
    return (yield from _invoke(exchange, context, request, None))


def n_event_report(
    exchange: Exchange,
    sop_class_uid: str,
    sop_instance_uid: str,
    event_type_id: int,
    information: Content | None = None,
    *,
    negotiated: str | None = None,
) -> Flow[Result]:
    """Sends an N-EVENT-REPORT, which goes from the SCP of the SOP class to its SCU [PS3.7 10.1.1]."""
    context = find_context(exchange.association, negotiated or sop_class_uid, as_scp=True)
    request = NEventReportRequest(
        message_id=exchange.association.operations.new_message_id(),
        affected_sop_class_uid=sop_class_uid,
        affected_sop_instance_uid=sop_instance_uid,
        event_type_id=event_type_id,
    )
    return (yield from _invoke(exchange, context, request, information))


def _invoke(exchange: Exchange, context: PresentationContext, request: NRequest, given: Content | None) -> Flow[Result]:
    data = None if given is None else content(given, context.transfer_syntax)
    answer = yield from inquire(exchange, context.id, request, data)
    attributes = None
    if answer.data is not None:
        attributes = Attributes(answer.data, answer.transfer_syntax, judge_of(exchange.association))
    return Result(response=answer.response, attributes=attributes)
