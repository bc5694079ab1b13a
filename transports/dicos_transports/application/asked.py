"""The arguments and return values of an application's functions.

Knows: requests, data sets. Must not know: how a request is answered (`answering`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from dicos_proto import dimse
from dicos_proto.data.datasets import Attributes, Content, decode_object
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import status
from dicos_proto.services.commitment import CommitmentRequest
from dicos_proto.services.serving import Reference

from .. import blocking
from ..files.writer import Part10Writer, file_header
from ..sessions import session as awaiting

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Asked", "CommitAsked", "Registered", "Reply", "SessionRequest", "StoreAsked", "WrongAnswer", "is_content"]

SessionRequest: TypeAlias = blocking.PeerRequest | awaiting.PeerRequest
"""A request as a session gives it, a blocking one or an awaited one."""


class WrongAnswer(ProtocolError):
    """A function gave a value that is not an answer. The text names the type of that value, and what it may give."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A request, as a function receives it. `request`: that of the session; `attributes`: its data set, not decoded.

    `attributes` is the identifier of a C-FIND, C-GET or C-MOVE, or the data set of a DIMSE-N request; None if there is
    none.
    """

    request: SessionRequest = field(repr=False)
    attributes: Attributes | None = field(default=None, repr=False)
    created: str | None = None
    """The new UID for the instance of an N-CREATE that leaves the choice to the provider [PS3.7 10.1.5.1.2]."""

    @property
    def session(self) -> blocking.Session | awaiting.Session:
        """The association it came on."""
        return self.request.session

    @property
    def command(self) -> dimse.AnyRequest:
        """The command set of the request."""
        return self.request.command

    @property
    def calling_aet(self) -> str:
        """The AE title that the requestor of the association gives itself."""
        return self.request.session.calling_aet

    @property
    def called_aet(self) -> str:
        """The AE title that the requestor called."""
        return self.request.session.called_aet

    @property
    def sop_class_uid(self) -> str:
        """The SOP class of the request."""
        return self.request.sop_class_uid

    @property
    def sop_instance_uid(self) -> str | None:
        """The SOP instance of the request, as the peer sent it: do not use it in a path. None if it names none."""
        return self.created or self.request.sop_instance_uid

    @property
    def transfer_syntax(self) -> str:
        """The transfer syntax of its data set, if it has one."""
        return self.request.transfer_syntax

    @property
    def cancelled(self) -> bool:
        """True if a C-CANCEL for the request has been received so far."""
        return self.request.cancelled

    @property
    def dataset(self) -> Dataset:
        """The data set of the request, decoded now; empty if it has none. Raises `DataSetError`."""
        from pydicom.dataset import Dataset

        return Dataset() if self.attributes is None else self.attributes.dataset

    @property
    def destination(self) -> str:
        """The destination AE title of a C-MOVE. Raises TypeError for any other request."""
        command = self.command
        if isinstance(command, dimse.CMoveRequest):
            return command.move_destination
        raise TypeError(f"{command.NAME} has no destination")

    @property
    def type_id(self) -> int:
        """The action type or event type ID. Raises TypeError for a request without one."""
        command = self.command
        if isinstance(command, dimse.NActionRequest):
            return command.action_type_id
        if isinstance(command, dimse.NEventReportRequest):
            return command.event_type_id
        raise TypeError(f"{command.NAME} has no type")

    @property
    def tags(self) -> tuple[int, ...] | None:
        """The tags that an N-GET asks for, None for all. Raises TypeError for any other request."""
        command = self.command
        if isinstance(command, dimse.NGetRequest):
            return command.attribute_identifier_list
        raise TypeError(f"{command.NAME} has no tags")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoreAsked(Asked):
    """A C-STORE with its whole data set, in `transfer_syntax`."""

    data: bytes | bytearray = field(repr=False)

    @property
    def file(self) -> bytes:
        """The object as the bytes of a file [PS3.10 7.1]."""
        return self._header + self.data

    @property
    def _header(self) -> bytes:
        return file_header(self.sop_class_uid, self.sop_instance_uid or "", self.transfer_syntax, self.calling_aet)

    @property
    def dataset(self) -> Dataset:
        """The object as pydicom reads one from a file, within the limits of the association (`decode_object`).

        Raises `DataSetError`."""
        from io import BytesIO

        from pydicom import dcmread

        from dicos_proto.data.conversion import QuietFile

        made = decode_object(self.data, self.transfer_syntax, self.session.association.terms.limits)
        header = BytesIO(self._header)
        found = QuietFile(header, made, bytes(128), dcmread(header).file_meta)
        implicit, little = made.original_encoding
        found.set_original_encoding(implicit, little, made.original_character_set)
        return found

    def save(self, folder: Path, *, overwrite: bool = False, fsync: bool = False) -> Path:
        """Makes a file in `folder`, named by the UID, complete under that name or not at all. Raises OSError.

        `fsync` waits until the disk has the file: use it for every object that is the only copy, because the peer may
        delete its own after success. Call `files.remove_stale_parts(folder)` before you serve: it removes the
        unfinished files of processes that were killed.
        """
        with Part10Writer.create(
            folder,
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid or "",
            transfer_syntax=self.transfer_syntax,
            source_aet=self.calling_aet,
        ) as writer:
            writer.write(self.data)
            return writer.commit(overwrite=overwrite, fsync=fsync)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommitAsked(Asked):
    """A storage commitment request. `commitment`: its value, whose `report` makes the answer [PS3.4 J.3.2]."""

    commitment: CommitmentRequest

    @property
    def references(self) -> tuple[Reference, ...]:
        """The objects to commit, each once."""
        return self.commitment.references


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A status with a comment of at most 64 characters, or with a data set if the response may have one."""

    status: int = status.SUCCESS
    comment: str | None = None
    given: Content | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A function and its options.

    `stream`: it reads the data set of a C-STORE itself; `check`: that data set is checked. `commits`: it answers
    storage commitment; `apart`: its reports are sent on separate associations.
    """

    function: Callable[..., object]
    stream: bool = False
    check: bool = True
    commits: bool = False
    apart: bool = False

    @property
    def name(self) -> str:
        return getattr(self.function, "__qualname__", None) or type(self.function).__name__


def is_content(found: object) -> TypeGuard[Content]:
    """Returns True for anything that can be sent as a data set."""
    from pydicom.dataset import Dataset

    return isinstance(found, bytes | bytearray | memoryview | Attributes | Dataset)
