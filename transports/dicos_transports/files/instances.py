"""Files and data sets that an application sends, as `Instance`s, converted only if the peer accepts nothing else.

A file becomes an instance as it does for `send_file` (`sending`).

Knows: files, pydicom data sets, in which transfer syntaxes they can be sent. Must not know: associations. Invariant: a
data set whose transfer syntax is accepted is sent unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dicos_proto.data import transcode
from dicos_proto.data.datasets import encode
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.agreement import PresentationContext

from . import part10
from .part10 import Part10File
from .sending import FALLBACKS, file_instance, sendable_as, warn_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["FALLBACKS", "NotAnInstance", "SendableObject", "instance", "offer", "taken"]

Taken = Mapping[str, tuple[str, ...]]
"""SOP class -> the transfer syntaxes in which the peer accepts it."""
NOTHING: Taken = {}


class NotAnInstance(TypeError):
    """A value that cannot be sent. The text names its type and what can be sent, and never a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendableObject:
    """An object that can be sent, and the transfer syntax of its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    source: Instance | Part10File | Dataset

    def instance(self, accepted: Taken = NOTHING, *, begin: bool = False) -> Instance:
        """The instance to send: unchanged if that is accepted, otherwise converted to an accepted transfer syntax.

        If it cannot be converted to one, it stays in its own. `begin`: read the first piece of a file now, because it
        is sent next: most faults show before anything is sent. Raises `DataSetError`, `Part10Error`.
        """
        if isinstance(self.source, Instance):
            return self.source
        own, wanted = self.transfer_syntax, accepted.get(self.sop_class_uid, ())
        ways = [way for way in sendable_as(own) if way in wanted] or [own]
        if isinstance(self.source, Part10File):
            syntax = ways[0]
            made = file_instance(self.source, syntax, begin=begin)
            warn_of(made)
            return made
        syntax = next((way for way in ways if transcode.can_convert(own, way)), own)
        return Instance(
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            transfer_syntax=syntax,
            data=encode(self.source, syntax),
        )


def offer(given: object) -> SendableObject:
    """Makes a `SendableObject` of an `Instance`, a file, its path, or a pydicom data set.

    The transfer syntax of a data set is that of its file meta information; without it, explicit VR little endian.
    Raises `NotAnInstance`, a TypeError, for anything else; `Part10Error`.
    """
    from pydicom.dataset import Dataset

    match given:
        case Path():
            return offer(part10.inspect(given))
        case Instance() | Part10File():
            return SendableObject(
                sop_class_uid=given.sop_class_uid,
                sop_instance_uid=given.sop_instance_uid,
                transfer_syntax=given.transfer_syntax,
                source=given,
            )
        case Dataset():
            named = str(given.get("SOPClassUID", "")), str(given.get("SOPInstanceUID", ""))
            if not all(map(uids.is_safe, named)):
                raise NotAnInstance("a data set without SOP Class UID or SOP Instance UID is not an instance")
            meta = getattr(given, "file_meta", None)
            return SendableObject(
                sop_class_uid=named[0],
                sop_instance_uid=named[1],
                transfer_syntax=str(getattr(meta, "TransferSyntaxUID", uids.EXPLICIT_VR_LE)),
                source=given,
            )
    kind = "None" if given is None else type(given).__name__
    hint = "; write Path(...) for a path" if isinstance(given, str) else ""
    raise NotAnInstance(f"expected an Instance, a Path or a pydicom data set, not {kind}{hint}")


def instance(given: object, accepted: Taken = NOTHING) -> Instance:
    """An instance that is ready to be sent, of anything that `offer` takes.

    A file is read when it is sent, a data set is encoded now. `accepted`: SOP class -> transfer syntaxes (`taken`); an
    object in another one is converted if possible, among implicit, explicit, extended and deflated little endian.
    Raises as `offer` does, and `DataSetError`.
    """
    return offer(given).instance(accepted)


def taken(contexts: Iterable[PresentationContext]) -> Taken:
    """Returns what the peer accepts from this side as an SCU."""
    found: dict[str, tuple[str, ...]] = {}
    for context in contexts:
        if context.scu:
            found[context.abstract_syntax] = (*found.get(context.abstract_syntax, ()), context.transfer_syntax)
    return found
