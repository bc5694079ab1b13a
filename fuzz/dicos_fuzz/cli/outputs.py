"""The files and folders that a command writes: no two outputs in one file, none over an input, none left behind by a
command that did not begin.

Knows: paths, names of options. Must not know: what is written.

Invariant: two paths are compared as files, not as texts, so that links and other spellings are seen. A device or a pipe
may be named twice: nothing that is written to it is lost.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Folders", "Named", "clash", "given"]

Named = tuple[str, Path]
"""An option, or words for what is read, with its path."""


def given(*named: tuple[str, Path | str | Sequence[Path | str] | None]) -> list[Named]:
    """Returns the files among these options that were given."""
    found: list[Named] = []
    for name, value in named:
        several = () if value is None else (value,) if isinstance(value, str | Path) else value
        found += [(name, Path(one)) for one in several]
    return found


def clash(inputs: Iterable[Named], outputs: Sequence[Named]) -> str:
    """Returns a line about the first output that is an input or another output; empty if there is none."""
    for name, path in outputs:
        for what, read in inputs:
            if _same(path, read):
                other = "" if str(path) == str(read) else f", {str(read)!a}"
                return f"{name} {str(path)!a} is {what} itself{other}"
    for number, (name, path) in enumerate(outputs):
        for other, second in outputs[:number]:
            if _same(path, second):
                return f"{other} {str(second)!a} and {name} {str(path)!a} are the same"
    return ""


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        if one.exists() and other.exists():
            return (one.is_file() or one.is_dir()) and one.samefile(other)
    return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


class Folders:
    """Makes folders, each in a folder that is there. A context manager: if it ends before `keep`, the folders that were
    made are removed again, unless there is something in them."""

    def __init__(self) -> None:
        self._made: list[Path] = []

    def make(self, path: Path) -> None:
        """Makes a folder, if it is not there. Raises OSError; its `filename` is the path, its text names a folder above
        that is not there."""
        if path.is_dir():
            return
        try:
            path.mkdir()
        except FileNotFoundError:
            if path.parent.is_dir():
                raise
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}", str(path)) from None
        self._made.append(path)

    def keep(self) -> None:
        """Leaves the folders that were made."""
        self._made.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in reversed(self._made):
            with suppress(OSError):
                path.rmdir()
