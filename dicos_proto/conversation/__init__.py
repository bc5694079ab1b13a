"""Conversations over one association, written once as generators."""

from .exchange import Exchange, Holder, response_to
from .feed import STARVED, Data, Lack, PushSource
from .flows import Flow, Need
from .invoking import UserOperation, ask, check_free, inquire
from .parking import MessageEvent
from .performing import next_request, request_here, respond
from .reading import Answer, DataSetTooLong, NoRoom, next_piece, read_answer, read_data, skip_data

__all__ = [
    "Answer",
    "Data",
    "DataSetTooLong",
    "Exchange",
    "PushSource",
    "Flow",
    "Holder",
    "MessageEvent",
    "Lack",
    "Need",
    "NoRoom",
    "UserOperation",
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
