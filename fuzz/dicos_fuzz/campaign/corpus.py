"""Conversations that are worth keeping: in memory, and as a folder with one JSON file each.

Knows: conversations, files. Must not know: why one is worth keeping.

Invariants: the number and the size of entries are bounded, in memory and of the files that are written here; the oldest
ones leave first. Once the disk is full, nothing more is written, and `give_room` removes the newest files of this
campaign. No file is removed that another campaign, or a person, has put there. A file that cannot be read
raises `DamagedFile`, which names it. Files are read in the order of their names, so that a folder means the same on
every host.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from pathlib import Path
from random import Random
from typing import Final

from dicos_transports.addresses import said

from ..conversation import Conversation, conversation_of_json, json_of_conversation
from ..edit_work import check_work
from ..json_text import DamagedFile, read_file, write_file, written
from .room import FULL

__all__ = ["ENTRIES", "LARGEST", "Corpus", "read_conversation"]

ENTRIES: Final = 2_000
LARGEST: Final = 4 << 20
"""Bytes of one file: a conversation of 2 MB, in hexadecimal."""
ALL: Final = 64 << 20
"""Bytes of all entries in memory, as JSON."""
ROOM: Final = 64 << 10
"""Bytes of files that are removed at a time, at least, to make room."""


class Corpus:
    """The entries, and the folder that they are saved in, None for memory alone. `own`: what is in the folder was
    written by this campaign, before it was taken up again."""

    def __init__(self, folder: Path | None = None, *, own: bool = False) -> None:
        """Reads the folder; makes it if it is not there. Raises `DamagedFile`, `OSError`."""
        self._entries: OrderedDict[str, tuple[Conversation, int]] = OrderedDict()
        self._bytes = 0
        self._folder = folder
        self._ours: set[str] = set()  # names of files that were written here
        self._new: list[str] = []  # ... in this run, the newest last
        self.full = False
        """True once its disk is full: nothing more is written."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("*.json"))[:ENTRIES]:
                conversation, size = read_conversation(path)
                if own:
                    self._ours.add(path.stem)
                self._keep(path.stem, conversation, size)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, conversation: Conversation) -> bool:
        """Adds a conversation, and writes its file. Returns False if it is there already, or is too large. Raises
        `OSError` if its file cannot be written; it is in memory then."""
        plain = json_of_conversation(conversation)
        text = json.dumps(plain, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        if name in self._entries or len(text) > LARGEST:
            return False
        self._keep(name, conversation, len(text))
        if self._folder is not None and not self.full:
            path = self._folder / f"{name}.json"
            if not path.exists():
                self._write(path, written(plain))
                self._ours.add(name)
                self._new.append(name)
        return True

    def _write(self, path: Path, raw: bytes) -> None:
        try:
            write_file(path, raw)
        except OSError as error:
            self.full = error.errno in FULL
            raise

    def give_room(self, folder: Path) -> bool:
        """Removes the newest files of this run, `ROOM` bytes of them, if they are on the disk of `folder`; they stay in
        memory. Returns False if there is none. Nothing more is written afterwards."""
        self.full = True
        freed = 0
        if self._folder is None or self._folder.stat().st_dev != folder.stat().st_dev:
            return False
        while self._new and freed < ROOM:
            name = self._new.pop()
            path = self._folder / f"{name}.json"
            if name in self._ours and path.exists():
                self._ours.remove(name)
                freed += path.stat().st_size
                path.unlink()
        return freed > 0

    def _keep(self, name: str, conversation: Conversation, size: int) -> None:
        self._entries[name] = (conversation, size)
        self._bytes += size
        while len(self._entries) > ENTRIES or (self._bytes > ALL and len(self._entries) > 1):
            old, (_, freed) = self._entries.popitem(last=False)
            self._bytes -= freed
            if self._folder is not None and old in self._ours:
                self._ours.remove(old)
                (self._folder / f"{old}.json").unlink(missing_ok=True)

    def choose(self, random: Random) -> Conversation | None:
        """Returns a random entry, recent ones more often; None if there is none."""
        if not self._entries:
            return None
        names = list(self._entries)
        at = max(random.randrange(len(names)), random.randrange(len(names)))
        return self._entries[names[at]][0]

    def all(self) -> list[Conversation]:
        """Returns all entries, the oldest first."""
        return [conversation for conversation, _ in self._entries.values()]


def read_conversation(path: Path) -> tuple[Conversation, int]:
    """Returns the conversation in a file, and the file's size. Raises `DamagedFile`, which names the file."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DamagedFile("a device or a pipe, not a file")  # to open a pipe may wait forever
        conversation = conversation_of_json(read_file(path, most_bytes=LARGEST))
        check_work([conversation])
        return conversation, path.stat().st_size
    except DamagedFile as fault:
        raise DamagedFile(f"{path}: {fault}") from None
    except OSError as error:
        raise DamagedFile(f"{path}: {said(error)}") from None
