"""What an application sends, as `Instance`s: files and data sets, in another transfer syntax where only that is taken.

Knows: which transfer syntaxes can be had of what. Must not know: associations. Invariant: what is taken as it lies is
sent as it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicos_proto.data.datasets import encode
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.agreement import PresentationContext
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.wire import Buffer

from ..sessions.talking import WrongAnswer, kind_of
from . import part10
from .part10 import Part10File
from .storing import LOG

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["FALLBACKS", "Offer", "instance", "offer", "taken"]

Taken = Mapping[str, tuple[str, ...]]
"""SOP class -> the transfer syntaxes in which it is taken."""
_NOTHING: Taken = {}

FALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    syntax: tuple(other for other in UNCOMPRESSED if other != syntax)
    for syntax in (*UNCOMPRESSED, uids.DEFLATED_EXPLICIT_VR_LE)
}
"""Transfer syntax -> what can be had of it, for `planning.plan`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What can be sent, and what its data set lies in."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    source: Instance | Part10File | Dataset

    def instance(self, accepted: Taken = _NOTHING) -> Instance:
        """It as it lies, or as it is taken, where it can be had so. Raises `DataSetError`, `Part10Error`."""
        if isinstance(self.source, Instance):
            return self.source
        own, wanted = self.transfer_syntax, accepted.get(self.sop_class_uid, ())
        ways = (own, *FALLBACKS.get(own, ()))
        syntax = next((way for way in ways if way in wanted), own)
        return Instance(
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            transfer_syntax=syntax,
            data=_Chunks(self.source, syntax) if isinstance(self.source, Part10File) else encode(self.source, syntax),
        )


def offer(given: object) -> Offer:
    """An `Instance`, a file, its path, or a pydicom data set. Of a data set its file meta information says what it is
    in; without, it is explicit VR little endian. Raises `WrongAnswer` for anything else, `Part10Error`.
    """
    from pydicom.dataset import Dataset

    match given:
        case Path():
            return offer(part10.inspect(given))
        case Instance() | Part10File():
            return Offer(
                sop_class_uid=given.sop_class_uid,
                sop_instance_uid=given.sop_instance_uid,
                transfer_syntax=given.transfer_syntax,
                source=given,
            )
        case Dataset():
            named = str(given.get("SOPClassUID", "")), str(given.get("SOPInstanceUID", ""))
            if not all(map(uids.is_safe, named)):
                raise WrongAnswer("a data set without SOP Class UID or SOP Instance UID is no instance")
            meta = getattr(given, "file_meta", None)
            return Offer(
                sop_class_uid=named[0],
                sop_instance_uid=named[1],
                transfer_syntax=str(getattr(meta, "TransferSyntaxUID", uids.EXPLICIT_VR_LE)),
                source=given,
            )
    raise WrongAnswer(f"{kind_of(given)} where an instance is to be: an Instance, a path, a pydicom data set")


def instance(given: object, accepted: Taken = _NOTHING) -> Instance:
    """What `offer` takes, ready to be sent. A file is read when it is sent, a data set is encoded now.

    `accepted`: SOP class -> transfer syntaxes (`taken`); what is in another one is converted where that can be done:
    between implicit, explicit and deflated little endian. Raises as `offer`, and `DataSetError`.
    """
    return offer(given).instance(accepted)


def taken(contexts: Iterable[PresentationContext]) -> Taken:
    """What the peer takes of this side, the role of an SCU."""
    found: dict[str, tuple[str, ...]] = {}
    for context in contexts:
        if context.scu:
            found[context.abstract_syntax] = (*found.get(context.abstract_syntax, ()), context.transfer_syntax)
    return found


class _Chunks:
    """The data set of a file in this transfer syntax, read whenever it is iterated."""

    def __init__(self, file: Part10File, transfer_syntax: str) -> None:
        self._file = part10.prepare(file)
        if self._file.told:
            LOG.warning("%a: %s", str(file.path), self._file.told)
        if self._file.whole is not None:  # read again when it is sent: many may wait
            self._file = replace(self._file, whole=None)
        self._transfer_syntax = transfer_syntax

    def __iter__(self) -> Iterator[Buffer]:
        return self._file.chunks(self._transfer_syntax)
