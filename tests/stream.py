"""Reads a whole stream with a `PduReader` into a value that does not depend on how the stream was split."""

from collections.abc import Iterable
from dataclasses import dataclass

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import Judge
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.upper_layer.framing import PduBody, PduHeader, PduReader
from dicos_proto.wire import Buffer

Whole = PduHeader | PduBody | tuple[int, bool, bool, bytes]
"""A token. The fragments of one PDV are joined to one token: context, command, last, data."""


@dataclass(frozen=True)
class Read:
    """The result of reading a stream, including the part of an incomplete PDV."""

    tokens: list[Whole]
    fault: Malformed | None
    completed: int
    mid_pdu: bool


def reader(limits: Limits = Limits(), *, max_length: int = 0, stream_data: bool = True) -> PduReader:  # noqa: B008
    made = PduReader(Judge(limits))
    made.max_length = max_length
    made.stream_data = stream_data
    return made


def whole_tokens(source: PduReader) -> list[Whole]:
    """Returns all tokens that `source` has now. Raises `Malformed`."""
    tokens: list[Whole] = []
    collect(source, tokens)
    return tokens


def collect(source: PduReader, tokens: list[Whole]) -> None:
    """Appends the tokens of `source` to `tokens`, and fragments to the PDV that is its last element."""
    while (token := source.next()) is not None:
        if not isinstance(token, Fragment):
            tokens.append(token)
        elif token.start:
            tokens.append((token.context, token.command, token.last, bytes(token.data)))
        else:
            before = tokens.pop()
            assert isinstance(before, tuple), "a fragment of a PDV that did not start"
            assert before[:3] == (token.context, token.command, False), "a fragment of another PDV"
            assert len(token.data) > 0, "an empty fragment"
            tokens.append((token.context, token.command, token.last, before[3] + bytes(token.data)))


def read_all(pieces: Iterable[Buffer], limits: Limits = Limits(), *, max_length: int = 0) -> Read:  # noqa: B008
    """Feeds piece by piece and reads all tokens after each, up to the first fault."""
    source = reader(limits, max_length=max_length)
    tokens: list[Whole] = []
    for piece in pieces:
        source.feed(piece)
        try:
            collect(source, tokens)
        except Malformed as fault:
            return Read(tokens, fault, source.completed, source.mid_pdu)
    return Read(tokens, None, source.completed, source.mid_pdu)
