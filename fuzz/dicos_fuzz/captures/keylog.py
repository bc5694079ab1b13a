"""Key logs: the secrets of TLS connections, as browsers, OpenSSL and this package's adapters can write them.

A line is `LABEL client_random secret`, the last two in hexadecimal (draft-ietf-tls-keylogfile, SSLKEYLOGFILE). TLS 1.2
has one line for each connection, `CLIENT_RANDOM` with the master secret; TLS 1.3 has one for each secret.

Knows: the lines. Must not know: what a secret is good for.

Invariant: at most `MOST_KEYS` secrets are kept, the latest; other lines are counted and ignored.
"""

from __future__ import annotations

import re
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Final

__all__ = ["LABELS", "MOST_KEYS", "KeyLog"]

MOST_KEYS: Final = 100_000
"""Secrets that are kept. Stops: a block of secrets of gigabytes in a capture file."""
LABELS: Final = (
    "CLIENT_RANDOM",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
)
"""The labels that are used; others, such as EXPORTER_SECRET, are ignored."""
_LONGEST: Final = 4096
_LINE: Final = re.compile(rb"([A-Z0-9_]+) ([0-9A-Fa-f]{64}) ((?:[0-9A-Fa-f]{2}){16,64})\s*")
_KNOWN: Final = frozenset(label.encode() for label in LABELS)


class KeyLog:
    """Secrets by label and client random. `path`: a file that is read, and read on when it has grown.

    `grows`: other programs write the file meanwhile; it may not be there yet, and its last line counts once it has a
    line end. Raises OSError if the file cannot be read.
    """

    def __init__(self, path: Path | None = None, *, grows: bool = False) -> None:
        self._path = path
        self._grows = grows
        self._read = 0
        self._rest = b""
        self._secrets: dict[tuple[str, bytes], bytes] = {}
        self.ignored = 0
        """Lines that are neither a secret nor a comment."""
        if path is not None:
            with suppress(FileNotFoundError) if grows else nullcontext():
                self._refresh(path)

    def __len__(self) -> int:
        return len(self._secrets)

    @property
    def may_have(self) -> bool:
        """True if a secret may be found, now or later."""
        return bool(self._secrets) or self._path is not None

    def add(self, lines: bytes) -> None:
        """Takes the lines of a key log."""
        for line in lines.splitlines():
            found = _LINE.fullmatch(line)
            if found is None:
                self.ignored += bool(line.strip()) and not line.lstrip().startswith(b"#")
            elif found[1] in _KNOWN:
                key = found[1].decode(), bytes.fromhex(found[2].decode())
                self._secrets.pop(key, None)
                self._secrets[key] = bytes.fromhex(found[3].decode())
                if len(self._secrets) > MOST_KEYS:
                    del self._secrets[next(iter(self._secrets))]

    def secret(self, label: str, client_random: bytes) -> bytes | None:
        """Returns a secret; None if it is not known. A key log that is still being written is read on."""
        found = self._secrets.get((label, client_random))
        if found is None and self._path is not None:
            try:
                self._refresh(self._path)
            except OSError:
                return None
            found = self._secrets.get((label, client_random))
        return found

    def _refresh(self, path: Path) -> None:
        """Reads what has been added to the file; a line that is not complete waits. A file that has become shorter is
        another one."""
        size = path.stat().st_size
        if size < self._read:
            self._read, self._rest = 0, b""
        elif self._read and size == self._read:
            return
        with path.open("rb") as file:
            file.seek(self._read)
            while chunk := file.read(1 << 20):
                self._read += len(chunk)
                lines, newline, rest = (self._rest + chunk).rpartition(b"\n")
                self.add(lines + newline)
                self._rest = rest[:_LONGEST]
        if self._rest and not self._grows:
            self.add(self._rest)  # a file whose last line has no line end
