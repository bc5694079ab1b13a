"""The files that paths and folders name.

Knows: the file system. Must not know: what is in a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dicos_proto.arguments import check_kind, one_for_many

from .part10 import Part10Error, reported
from .temporary import PREFIX, SUFFIX

__all__ = ["FolderError", "find_files"]


class FolderError(Part10Error):
    """A folder where a file is expected: its files are found with `recurse`."""


def find_files(
    paths: Iterable[Path], *, recurse: bool, unreadable: Callable[[Part10Error], object] | None = None
) -> Iterator[Path]:
    """Yields the files that `paths` name, in their order; with `recurse` also those in folders, sorted by name.

    Each folder is entered once, however many links lead to it. Temporary files of writers are left out.
    `unreadable` is called with a Part10Error for a path that does not exist, a folder that cannot be read, a folder
    without files, and with a `FolderError` for a folder if `recurse` is False; the search then goes on. Without it the
    error is raised. Raises TypeError for one path in place of several, and for a path that is a str.
    """

    one_for_many(paths, "find_files({}, ...)", "paths", "list", hint="; write [Path({})]")
    check_kind(paths, "find_files({}, ...)", Iterable, hint="; write [path]" if isinstance(paths, os.PathLike) else "")

    def report(error: Part10Error) -> None:
        if unreadable is None:
            raise error
        unreadable(error)

    for path in paths:
        check_kind(path, "find_files([{}])", Path, for_str=f"; write Path({path!a})")
        try:
            with reported(path):
                is_folder = stat.S_ISDIR(os.stat(path).st_mode)
        except Part10Error as error:
            report(error)
            continue
        if not is_folder:
            yield path
            continue
        if not recurse:
            report(FolderError(path, "is a folder; recurse=True searches it"))
            continue
        empty = True
        for found in _walk(path, report):
            if isinstance(found, Path):
                yield found
            empty = False
        if empty:
            report(Part10Error(path, "is a folder without files"))


def _walk(folder: Path, report: Callable[[Part10Error], None]) -> Iterator[Path | None]:
    """Yields every file below `folder`, sorted by name, the files of a folder before its subfolders. Yields None for a
    folder that was reported."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with reported(here):
                status = os.stat(here)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(here) as entries:
                    listed = sorted((entry.name, _is_folder(entry)) for entry in entries)
        except Part10Error as error:
            report(error)
            yield None
            continue
        for name, is_folder in listed:
            if not is_folder and not (name.startswith(PREFIX) and name.endswith(SUFFIX)):
                yield here / name
        waiting.extend(here / name for name, is_folder in reversed(listed) if is_folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for example: `inspect` reports it
        return False
