"""Tapes as files: a few lines of comment, then the tape in hexadecimal; and findings of runs, which become such files.

Knows: the format. Must not know: how a tape was found.

    # target: association-acceptor
    # found: OracleFailure: chunks change event 1
    08020000 ...
"""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass
from pathlib import Path

from ..conversation import DamagedFile
from .target import words

__all__ = ["Crash", "crash_of", "read_tape", "write_tape"]

_MOST = 8 << 20
_WIDTH = 64
_LOOP = Path(__file__).with_name("loop.py")
"""The module whose frames are the same for every finding, or differ for the same one."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A finding: the target, the tape that shows it, the error in one line, the traceback.

    `signature` is the same for findings that are probably one: the kind of the error, where it was raised, and its
    words without numbers.
    """

    target: str
    tape: bytes
    error: str
    trace: str
    signature: str

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.target}-{self.signature}.tape"


def crash_of(target: str, tape: bytes, error: BaseException) -> Crash:
    """Returns the finding that this error makes of a tape."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename) != _LOOP]
    where = [f"{Path(one.filename).name}:{one.name}" for one in frames[-3:]]
    kind = type(error).__name__
    digest = hashlib.sha256("\0".join((target, kind, *where, words(str(error)))).encode()).hexdigest()[:10]
    text = f"{kind}: {str(error)[:500]}" if str(error) else kind
    printable = "".join(one if one.isprintable() else "?" for one in text)
    return Crash(target, tape, printable, "".join(traceback.format_exception(error)), digest)


def write_tape(path: Path, tape: bytes, *comments: str) -> None:
    """Writes a tape with these lines of comment."""
    lines = [f"# {line}" for line in comments]
    hexadecimal = tape.hex()
    lines += [hexadecimal[at : at + _WIDTH] for at in range(0, len(hexadecimal), _WIDTH)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "ascii", "replace")


def read_tape(path: Path) -> tuple[str | None, bytes]:
    """Returns the target that a file names, if any, and its tape; a `.bin` file of a corpus is the tape itself. Raises
    `DamagedFile`, which names the place, and OSError."""
    with path.open("rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise DamagedFile(f"{path}: more than {_MOST} bytes")
    if path.suffix == ".bin":
        return None, content
    target = None
    tape = bytearray()
    for number, line in enumerate(content.splitlines(), 1):
        text = line.decode("ascii", "replace").strip()
        if text.startswith("#"):
            key, _, value = text[1:].partition(":")
            if key.strip() == "target":
                target = value.strip()
            continue
        try:
            tape += bytes.fromhex(text)
        except ValueError:
            raise DamagedFile(f"{path}, line {number}: not hexadecimal") from None
    return target, bytes(tape)
