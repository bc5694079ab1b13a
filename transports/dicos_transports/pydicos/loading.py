"""The base of the loaders: objects in files.

A loader holds the objects of `dicos_proto.dicos`, in `objects`: what it does not offer, they do.

Knows: the original's names. Must not know: the network, how objects are made of bytes.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from dicos_proto.data import DataSetError
from dicos_proto.dicos import DicosError, DicosObject
from dicos_proto.registry import uids

from ..dicos import read_file, write_file
from ..files import Part10Error

__all__ = ["Loader"]

Kind = TypeVar("Kind", bound=DicosObject)


class Loader(Generic[Kind]):
    """The base of all loaders. Raises RuntimeError for a file that it cannot read, as the original does."""

    kind: ClassVar[str]
    """The kind of its objects, as in the names of callbacks: CT for OnReceivingCT."""
    type: ClassVar[type[DicosObject]]
    """The view of its objects."""

    def __init__(self, filename: str | Path | None = None) -> None:
        """`filename`: a file to read; without one, the loader is empty."""
        self.objects: list[Kind] = []
        """The objects: one, or several if the sections of a scan have different sizes."""
        self.ooi_id = "unknown"
        """The ID of the object of inspection that `set_data` gives a new object."""
        if filename is not None:
            self.read(filename)

    @classmethod
    def over(cls, *objects: Kind) -> Self:
        """Returns a loader that holds these objects."""
        made = cls()
        made._take(*objects)
        return made

    def _take(self, *objects: Kind) -> None:
        self.objects = list(objects)
        with suppress(DicosError):  # an ID that cannot be used
            self.ooi_id = self.objects[0].ooi_id or self.ooi_id

    @property
    def dicos(self) -> Kind:
        """The first object. Raises RuntimeError if the loader is empty."""
        if not self.objects:
            raise RuntimeError(f"the {self.kind} is empty: read a file or set_data first")
        return self.objects[0]

    def read(self, filename: str | Path) -> None:
        """Reads a file. Raises RuntimeError, with the reason, and leaves the loader as it was."""
        try:
            found = read_file(Path(filename))
        except (DicosError, Part10Error, OSError, ValueError) as error:
            raise RuntimeError(f"Failed to read DICOS file: {error}") from error
        if not isinstance(found, self.type):
            what = uids.name_of(found.sop_class_uid)
            raise RuntimeError(f"Failed to read DICOS file: {filename}: {what} is not a {self.kind}")
        self._take(found)  # type: ignore[arg-type]  # the view of this loader

    def write(self, filename: str | Path) -> None:
        """Writes a file, or one for each object: the second one of `bag.dcs` is `bag_1.dcs`. Raises RuntimeError."""
        path = Path(filename)
        try:
            for number, one in enumerate(self.sendable()):
                write_file(one, path.with_stem(f"{path.stem}_{number}") if number else path)
        except (DicosError, DataSetError, OSError, ValueError) as error:
            raise RuntimeError(f"Failed to write DICOS file: {error}") from error

    def sendable(self) -> list[Kind]:
        """Returns the objects to write or to send. Raises RuntimeError if the loader is empty."""
        return self.objects or [self.dicos]
