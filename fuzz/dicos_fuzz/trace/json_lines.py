"""A trace as JSON lines: one object for each entry, for programs.

Knows: entries. Must not know: how they are found, where lines go.

| event | fields beside `association` and `at` |
|---|---|
| association | client, server, begun, tls |
| pdu | by, type, length, and of an A-ASSOCIATE its titles and contexts, of an answer its text |
| command | by, context, message and its fields, bytes, pdvs, data_set, latency and earlier of a response |
| data_set | by, context, message, message_id, bytes, missing, pdvs, complete, seconds |
| p_data | by, length, pdvs (context, control, bytes), only on request |
| problem | by |
| end | outcome, unanswered, messages, data_bytes, and the marks of the whole association by kind |

Each may have `marks`: kind, text, clause, name. `at` is in seconds since 1970, latency in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    Managed,
    ProposedContext,
)

from .entries import (
    AssociationTrace,
    Began,
    CommandSaid,
    DataPdu,
    DataSetSaid,
    Entry,
    Over,
    PduSaid,
    Piece,
    Problem,
)
from .marks import Mark
from .words import fields_of

__all__ = ["JsonLines"]

Fields = dict[str, object]


class JsonLines:
    """A sink that gives the objects to `show`: the name of the event, and its fields. `pdus`: with each P-DATA-TF."""

    def __init__(self, show: Callable[[str, Fields], object], *, pdus: bool = False) -> None:
        self._show = show
        self._pdus = pdus

    def take(self, trace: AssociationTrace, entry: Entry) -> None:
        """Shows an entry."""
        if isinstance(entry, Piece) or (isinstance(entry, DataPdu) and not self._pdus and not entry.marks):
            return
        name, fields = _fields(trace, entry)
        whole: Fields = {"association": trace.number, "at": entry.at / 1e9}
        if not isinstance(entry, Began | Over):
            whole["by"] = "requestor" if entry.by_requestor else "acceptor"
        whole |= fields
        if not isinstance(entry, Began) and entry.marks:
            whole["marks"] = _marks(entry.marks)
        self._show(name, whole)

    def close(self) -> None:
        """Does nothing: every line has been shown."""


def _fields(trace: AssociationTrace, entry: Entry) -> tuple[str, Fields]:
    match entry:
        case Began():
            connection = trace.connection
            return "association", {
                "client": str(connection.client), "server": str(connection.server), "begun": connection.begun,
                "tls": connection.tls,
            }  # fmt: skip
        case PduSaid():
            said = {} if entry.pdu is None else _said(entry.pdu)
            return "pdu", {"type": entry.label, "length": entry.length, **said}
        case DataPdu():
            pdvs = [{"context": one.context, "control": one.control, "bytes": one.length} for one in entry.pdvs]
            return "p_data", {"length": entry.length, "pdvs": pdvs, **({"more": entry.more} if entry.more else {})}
        case CommandSaid():
            return "command", _command(entry)
        case DataSetSaid():
            return "data_set", {
                "context": entry.context, "message": entry.name, "message_id": entry.message_id, "bytes": entry.size,
                "missing": entry.missing, "pdvs": entry.pdvs, "complete": entry.complete,
                "seconds": (entry.done - entry.at) / 1e9,
            }  # fmt: skip
        case Problem():
            return "problem", {}
        case Over():
            return "end", {
                "outcome": entry.outcome, "unanswered": entry.unanswered, "messages": sum(trace.messages),
                "data_bytes": sum(trace.data_bytes),
                "repeated_bytes": sum(trace.connection.repeated), "missing_bytes": sum(trace.connection.missing),
                **{f"{kind.value}s": count for kind, count in trace.marks.items()},
            }  # fmt: skip
        case Piece():
            return "piece", {}
        case _ as unreachable:
            assert_never(unreachable)


def _command(entry: CommandSaid) -> Fields:
    fields: Fields = {"context": entry.context}
    if entry.command is not None:
        fields |= fields_of(entry.command)
    fields |= {"bytes": entry.size, "pdvs": entry.pdvs, "data_set": entry.has_data, "complete": entry.complete}
    if entry.answered is not None:
        fields |= {"latency": entry.answered.latency / 1e9, "earlier": entry.answered.earlier}
    return fields


def _said(pdu: Managed) -> Fields:
    if isinstance(pdu, AssociateRequest | AssociateAccept):
        return {
            "calling_aet": pdu.calling_aet, "called_aet": pdu.called_aet,
            "max_length": pdu.user_information.max_length,
            "implementation": pdu.user_information.implementation_class_uid,
            "implementation_version": pdu.user_information.implementation_version_name,
            "contexts": [_context(one) for one in pdu.contexts],
        }  # fmt: skip
    if isinstance(pdu, AssociateReject):
        return {"result": pdu.result, "source": pdu.source, "reason": pdu.reason, "text": str(pdu)}
    return {"source": pdu.source, "reason": pdu.reason, "text": str(pdu)} if isinstance(pdu, Abort) else {}


def _context(context: ProposedContext | ContextAnswer) -> Fields:
    if isinstance(context, ProposedContext):
        syntaxes = list(context.transfer_syntaxes)
        return {"id": context.id, "abstract_syntax": context.abstract_syntax, "transfer_syntaxes": syntaxes}
    return {"id": context.id, "result": int(context.result), "transfer_syntax": context.transfer_syntax}


def _marks(marks: Iterable[Mark]) -> list[Fields]:
    return [
        {
            "kind": mark.kind.value,
            "text": mark.text,
            "clause": mark.clause,
            **({"name": mark.name} if mark.name else {}),
        }
        for mark in marks
    ]
