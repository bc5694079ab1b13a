"""The objects of a trace, saved as files: the data set of each C-STORE request that the recording has completely.

Knows: entries, the writer of Part 10 files. Must not know: what is in a data set.

Invariants: files are named by validated UIDs, or by a hash (`dicos_transports.files`); an object that is not complete
leaves nothing; at most `MOST_OPEN` files are written at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from dicos_proto.dimse.types import CStoreRequest
from dicos_transports.files import Part10Writer

from .entries import AssociationTrace, CommandSaid, DataSetSaid, Entry, Over, Piece

__all__ = ["MOST_OPEN", "Saver"]

MOST_OPEN: Final = 64
"""Objects that are written at once. Stops: thousands of associations that each begin an object."""

Key = tuple[int, bool]


class Saver:
    """A sink that writes into `folder`, which must exist. `tell` is called with a line for each object that is saved,
    or not. `saved`, `failed`: their numbers."""

    def __init__(self, folder: Path, tell: Callable[[str], object]) -> None:
        self._folder = folder
        self._tell = tell
        self._open: dict[Key, tuple[Part10Writer, str]] = {}
        self.saved = 0
        self.failed = 0

    def take(self, trace: AssociationTrace, entry: Entry) -> None:
        """Takes an entry."""
        if isinstance(entry, Over):
            for by_requestor in (True, False):
                self._discard((trace.number, by_requestor), "the association is over")
        elif isinstance(entry, Piece):
            self._write((trace.number, entry.by_requestor), entry.data)
        elif isinstance(entry, CommandSaid):
            self._discard((trace.number, entry.by_requestor), "another message begins")
            if isinstance(entry.command, CStoreRequest) and entry.has_data:
                self._begin(trace, entry, entry.command)
        elif isinstance(entry, DataSetSaid):
            self._end((trace.number, entry.by_requestor), entry)

    def close(self) -> None:
        """Discards the objects that are not complete."""
        for key in list(self._open):
            self._discard(key, "the recording ends")

    def _begin(self, trace: AssociationTrace, entry: CommandSaid, command: CStoreRequest) -> None:
        uid = command.affected_sop_instance_uid
        syntax = trace.syntaxes.get(entry.context)
        if syntax is None:
            self._fail(uid, "its transfer syntax is not known: the recording lacks the negotiation of its context")
            return
        if len(self._open) >= MOST_OPEN:
            self._fail(uid, f"more than {MOST_OPEN} objects at once")
            return
        titles = trace.titles()
        title = None if titles is None else titles[0 if entry.by_requestor else 1]
        try:
            writer = Part10Writer.create(
                self._folder, sop_class_uid=command.affected_sop_class_uid, sop_instance_uid=uid,
                transfer_syntax=syntax, source_aet=title,
            )  # fmt: skip
        except OSError as error:
            self._fail(uid, error.strerror or str(error))
            return
        self._open[trace.number, entry.by_requestor] = writer, uid

    def _write(self, key: Key, data: memoryview) -> None:
        found = self._open.get(key)
        if found is not None:
            try:
                found[0].write(data)
            except OSError as error:
                self._discard(key, error.strerror or str(error))

    def _end(self, key: Key, entry: DataSetSaid) -> None:
        found = self._open.get(key)
        if found is None:
            return
        if not entry.complete or entry.missing:
            why = f"{entry.missing:,} bytes are missing in the recording" if entry.missing else "it is not complete"
            self._discard(key, why)
            return
        del self._open[key]
        try:
            path = found[0].commit()
        except OSError as error:
            self._fail(found[1], error.strerror or str(error))
            return
        self.saved += 1
        self._tell(f"saved {path}")

    def _discard(self, key: Key, why: str) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            found[0].discard()
            self._fail(found[1], why)

    def _fail(self, uid: str, why: str) -> None:
        self.failed += 1
        self._tell(f"not saved {uid}: {why}")
