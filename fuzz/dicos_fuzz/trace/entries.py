"""The entries of a trace: what is known of an association, in the order in which it became known.

Knows: their shapes. Must not know: how they are found, or shown.

An entry says when, and which side. Times are nanoseconds since 1970. A trace begins with `Began` and ends with `Over`;
no entry holds bytes of a data set, except `Piece`, which is made only to save objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from dicos_proto.dimse.types import Command
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateRequest, Managed

from ..captures.events import Connection
from .marks import Kind, Mark

__all__ = [
    "Answered",
    "AssociationTrace",
    "Began",
    "CommandSaid",
    "DataPdu",
    "DataSetSaid",
    "Entry",
    "Over",
    "PduSaid",
    "Pdv",
    "Piece",
    "Problem",
    "Sink",
]


@dataclass(slots=True, eq=False)
class AssociationTrace:
    """One association: the facts that rise while it is followed. Index 1 of a list is the requestor."""

    number: int
    connection: Connection
    requestor_is_client: bool = True
    request: AssociateRequest | None = None
    accept: AssociateAccept | None = None
    syntaxes: dict[int, str] = field(default_factory=dict)  # context -> transfer syntax, of those accepted
    pdus: list[int] = field(default_factory=lambda: [0, 0])
    messages: list[int] = field(default_factory=lambda: [0, 0])
    data_bytes: list[int] = field(default_factory=lambda: [0, 0])  # of data sets
    marks: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    last: int = 0  # the time of the last entry

    def names(self) -> tuple[str, str]:
        """Returns the addresses of requestor and acceptor."""
        ends = (self.connection.client, self.connection.server)
        first, second = ends if self.requestor_is_client else ends[::-1]
        return str(first), str(second)

    def titles(self) -> tuple[str, str] | None:
        """Returns the calling and the called AE title; None if the recording does not have them."""
        known = self.request or self.accept
        return None if known is None else (known.calling_aet, known.called_aet)


@dataclass(frozen=True, slots=True)
class Began:
    """The first PDU of an association comes next, if there is one."""

    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PduSaid:
    """A PDU that is not a P-DATA-TF. `raw`: all its bytes, empty if they were not read. `pdu`: None if not valid."""

    at: int
    by_requestor: bool
    label: str
    length: int
    raw: bytes = b""
    pdu: Managed | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Pdv:
    """One PDV of a P-DATA-TF: its context, its control header, and the bytes of data in it."""

    context: int
    control: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPdu:
    """A P-DATA-TF. `pdvs`: the first of them; `more`: the number of others. Its marks are about this PDU alone."""

    at: int
    by_requestor: bool
    length: int
    pdvs: tuple[Pdv, ...]
    more: int = 0
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """The request that a response belongs to. `latency`: nanoseconds from the last byte of the request, with its data
    set, to the first byte of the response. `earlier`: pending responses before this one."""

    name: str
    message_id: int
    at: int
    latency: int
    earlier: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSaid:
    """A command set. `at`: its first byte. `done`: its last. `raw`: its bytes, empty if they are too many.

    `command`: None if it is not valid. `size`: bytes. `pdvs`: PDVs that hold it. `answered`: of a response. `complete`:
    its last fragment was seen.
    """

    at: int
    done: int
    by_requestor: bool
    context: int
    raw: bytes
    size: int
    pdvs: int
    complete: bool = True
    command: Command | None = None
    has_data: bool = False
    answered: Answered | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSetSaid:
    """A data set. `name`: of its message. `message_id`: of it, or the one that it answers. `missing`: bytes that the
    recording does not have. `complete`: its last fragment was seen."""

    at: int
    done: int
    by_requestor: bool
    context: int
    name: str
    message_id: int
    size: int
    missing: int
    pdvs: int
    complete: bool
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of a data set of a C-STORE-RQ, made only to be saved. `data` is valid until the next entry."""

    at: int
    by_requestor: bool
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Marks that belong to no other entry."""

    at: int
    by_requestor: bool
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The association is over. `outcome`: in a few words. `unanswered`: requests without a final response."""

    at: int
    outcome: str
    unanswered: int
    marks: tuple[Mark, ...] = ()


Entry = Began | PduSaid | DataPdu | CommandSaid | DataSetSaid | Piece | Problem | Over


class Sink(Protocol):
    """Takes the entries, to make lines, a page or files of them."""

    def take(self, trace: AssociationTrace, entry: Entry) -> None:
        """Takes one entry of an association."""

    def close(self) -> None:
        """Takes note that there are no more."""
