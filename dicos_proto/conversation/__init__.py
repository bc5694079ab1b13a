"""Conversations over one association, written once as generators."""

from .exchange import Exchange, Holder, response_to
from .feed import STARVED, Data, Feed, Lack
from .flows import Flow, Need
from .invoking import Operation, ask, check_free, inquire
from .parking import Incoming
from .performing import next_request, request_here, respond
from .reading import Answer, DataSetTooLong, NoRoom, next_piece, read_answer, read_data, skip_data

__all__ = [
    "Answer",
    "Data",
    "DataSetTooLong",
    "Exchange",
    "Feed",
    "Flow",
    "Holder",
    "Incoming",
    "Lack",
    "Need",
    "NoRoom",
    "Operation",
    "STARVED",
    "ask",
    "check_free",
    "inquire",
    "next_piece",
    "next_request",
    "read_answer",
    "read_data",
    "request_here",
    "respond",
    "response_to",
    "skip_data",
]
