"""Conversations over one association, written once as generators."""

from .exchange import Exchange, Holder, response_to
from .feed import STARVED, Data, Lack, PushSource
from .flows import Flow, Need, Stream
from .invoking import UserOperation, ask, check_free, inquire
from .parking import MessageEvent
from .performing import next_request, requests, respond
from .reading import Answer, DataSetTooLong, NoRoom, next_piece, pieces, read_answer, read_data, skip_data, together

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
    "Stream",
    "ask",
    "check_free",
    "inquire",
    "next_piece",
    "next_request",
    "pieces",
    "read_answer",
    "read_data",
    "requests",
    "respond",
    "response_to",
    "skip_data",
    "together",
]
