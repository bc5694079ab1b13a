"""Reading a whole stream through a `PduReader`, as a value that can be compared however the stream was cut."""

from collections.abc import Iterable
from dataclasses import dataclass

from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import Judge
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.upper_layer.framing import PduBody, PduHeader, PduReader
from dicos_proto.wire import Buffer

Whole = PduHeader | PduBody | tuple[int, bool, bool, bytes]
"""A token; the fragments of a PDV are one: context, command, last, data."""


@dataclass(frozen=True)
class Read:
    """What came of a stream, the part of a PDV that is not complete included."""

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
    """All tokens that `source` has now. Raises `Malformed`."""
    tokens: list[Whole] = []
    collect(source, tokens)
    return tokens


def collect(source: PduReader, tokens: list[Whole]) -> None:
    """Append them to `tokens`, or to the PDV that is the last of them."""
    while (token := source.next()) is not None:
        if not isinstance(token, Fragment):
            tokens.append(token)
        elif token.start:
            tokens.append((token.context, token.command, token.last, bytes(token.data)))
        else:
            before = tokens.pop()
            assert isinstance(before, tuple), "a PDV goes on that did not start"
            assert before[:3] == (token.context, token.command, False), "a PDV goes on otherwise than it started"
            assert len(token.data) > 0, "a piece that carries nothing"
            tokens.append((token.context, token.command, token.last, before[3] + bytes(token.data)))


def read_all(pieces: Iterable[Buffer], limits: Limits = Limits(), *, max_length: int = 0) -> Read:  # noqa: B008
    """Feed piece by piece, reading all there is after each, up to the first fault."""
    source = reader(limits, max_length=max_length)
    tokens: list[Whole] = []
    for piece in pieces:
        source.feed(piece)
        try:
            collect(source, tokens)
        except Malformed as fault:
            return Read(tokens, fault, source.completed, source.mid_pdu)
    return Read(tokens, None, source.completed, source.mid_pdu)
