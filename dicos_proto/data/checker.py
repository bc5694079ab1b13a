"""The check of the data set of a C-STORE while it arrives, for objects that are stored unread.

Knows: what the command of a C-STORE says of its data set. Must not know: values, pydicom. Invariants: the memory of a
check is that of a walk (`walker`); nothing of the data set is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..limits import Limits
from ..registry import status, uids
from ..wire import Buffer
from .deflated import Inflater, check_inflated
from .elements import SOP_CLASS_UID, SOP_INSTANCE_UID, DataSetError, encoding, shown
from .walker import Walker

_INFLATED: Final = 1 << 14
"""Bytes that are inflated at a time, before their elements are counted."""


class Mismatch(DataSetError):
    """A data set that names another SOP class or instance than the command that it came with."""

    store_status = status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS


class Checker:
    """Checks the data set of a C-STORE: that it has the structure of one, to its end, and names the SOP class and
    instance of the command, if it names any. Feed it while the data set arrives; it keeps nothing of it.

    It does not check values, nor data sets in transfer syntaxes that are not known here (`Checker.of`).
    """

    __slots__ = ("_inflater", "_limits", "_walk", "_wanted")

    def __init__(self, transfer_syntax: str, sop_class_uid: str, sop_instance_uid: str, limits: Limits) -> None:
        """Raises ValueError for a transfer syntax that is not known here."""
        known = encoding(transfer_syntax)
        if known is None:
            raise ValueError(f"data sets in {uids.name_of(transfer_syntax)} cannot be checked")
        implicit, little, deflated, extended = known
        self._walk = Walker(implicit=implicit, little=little, limits=limits, extended=extended)
        self._inflater = Inflater(limits, most=None, limit="") if deflated else None
        self._limits = limits
        self._wanted = named_by(sop_class_uid, sop_instance_uid)

    @classmethod
    def of(
        cls, transfer_syntax: str, sop_class_uid: str, sop_instance_uid: str, limits: Limits | None = None
    ) -> Checker | None:
        """Returns a checker for this C-STORE, or None if its transfer syntax is not known here: nothing can be checked
        then."""
        if encoding(transfer_syntax) is None:
            return None
        return cls(transfer_syntax, sop_class_uid, sop_instance_uid, limits or Limits())

    @property
    def missing(self) -> tuple[str, ...]:
        """The tags of the UIDs that the data set does not name. This is sloppy and harmless: the command names them."""
        return tuple(shown(tag) for tag, _, _ in self._wanted if not self._walk.seen.get(tag, b"").strip(b"\0 "))

    def feed(self, data: Buffer) -> None:
        """Checks the next bytes. Raises `DataSetError`; nothing may be fed after it."""
        if self._inflater is None:
            self._walk.feed(data)
            return
        for piece in self._inflater.feed(data, _INFLATED):
            self._walk.feed(piece)
            check_inflated(self._walk.count, self._inflater.used, self._limits)

    def finish(self) -> None:
        """Ends the data set. Raises `DataSetError`; `Mismatch` if it is another object than the command says."""
        if self._inflater is not None:
            self._inflater.finish()
        self._walk.finish()
        if not self._walk.count:
            raise DataSetError("a data set without elements [PS3.5 7]")
        check_named(self._walk.seen, self._wanted)


Named = tuple[tuple[int, str, str], ...]


def named_by(sop_class_uid: str, sop_instance_uid: str) -> Named:
    """Returns what a command says of its data set, for `check_named`."""
    return ((SOP_CLASS_UID, "class", sop_class_uid), (SOP_INSTANCE_UID, "instance", sop_instance_uid))


def check_named(seen: Mapping[int, bytes], wanted: Named) -> None:
    """Raises `Mismatch` if the UIDs that a walk has seen are those of another object than the command says."""
    for tag, what, uid in wanted:
        value = seen.get(tag, b"").strip(b"\0 ")
        named = uid.encode("ascii", "replace")
        if value and value != named and _components(value) != _components(named):
            raise Mismatch(f"SOP {what} UID {shown(tag)} is not the command's [PS3.4 B.2.3]")


def _components(uid: bytes) -> list[bytes]:
    """Returns the components of a UID, without the zeros that some writers put before them."""
    return [part.lstrip(b"0") for part in uid.strip(b"\0 ").split(b".")]
