"""Conversations as values: the steps of one side, and the transcript of a run.

Knows: steps, transcripts, JSON. Must not know: sockets, what a peer should have done (`campaign`).

A conversation is a script: it runs again, it can be cut into a smaller one, it prints. A message in it is valid bytes
and a list of edits (`tree.Edit`), so that what is wrong on purpose can be named, and taken back. Connections are
numbered from 0; a conversation may hold several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from .grammar.reading import read_stream
from .tree import Action, Edit, apply, encode

__all__ = [
    "Answer",
    "Await",
    "Check",
    "Conversation",
    "DamagedFile",
    "End",
    "Entry",
    "Open",
    "Pause",
    "Reading",
    "Send",
    "Side",
    "Step",
    "Transcript",
    "What",
    "conversation_of_json",
    "json_of_conversation",
    "transcript_of_json",
    "json_of_transcript",
]


class Side(Enum):
    """The side that this program takes: USER opens the connections, PROVIDER waits for the peer to open them."""

    USER = "user"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Opens a connection, or (`Side.PROVIDER`) waits for the peer to open one."""

    connection: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Sends `message`, one or several PDUs or any bytes, with `edits` made in its tree (`read_stream`).

    `piece`: bytes of each write, 0 for all at once. `gap`: seconds between two writes.
    """

    message: bytes
    edits: tuple[Edit, ...] = ()
    connection: int = 0
    piece: int = 0
    gap: float = 0.0

    def wire(self) -> bytes:
        """Returns the bytes that go out."""
        return encode(apply(read_stream(self.message), self.edits)) if self.edits else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Sends the right answer to what the peer said last, with `edits` made in its tree: an A-ASSOCIATE-AC, an
    A-RELEASE-RP, the response to a request. Sends nothing if there is nothing to answer."""

    edits: tuple[Edit, ...] = ()
    connection: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Reads until a whole PDU of one of `kinds` has arrived (PDU types; empty: any), the connection has ended, or
    `seconds` have passed; None: as long as this peer takes at most."""

    kinds: tuple[int, ...] = ()
    connection: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Waits, and reads meanwhile where reading is on."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Stops reading a connection, or begins again: a peer that never reads."""

    on: bool
    connection: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Ends a connection: `half` sends FIN and goes on reading, `close` closes it, `reset` sends RST."""

    how: Literal["half", "close", "reset"] = "close"
    connection: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A good association with a C-ECHO beside the open connections: the peer must serve it now."""


Step = Open | Send | Answer | Await | Pause | Reading | End | Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A script. `name`: the scenario that made it, `family/what`. `about`: what is wrong in it, in one line. `clause`:
    the clause or limit that it breaks. `expect`: what a peer may do (`campaign.expecting`), by name."""

    name: str
    steps: tuple[Step, ...]
    side: Side = Side.USER
    about: str = ""
    clause: str = ""
    expect: str = "any"


class What(Enum):
    """The kinds of lines in a transcript."""

    OPENED = "opened"
    REFUSED = "refused"  # the connection could not be opened
    SENT = "sent"
    RECEIVED = "received"
    ENDED = "ended"  # the peer closed it (FIN)
    RESET = "reset"  # the peer reset it
    HALF = "half-closed"  # this side sent FIN, and goes on reading
    CLOSED = "closed"  # this side ended it
    QUIET = "quiet"  # a wait passed without what was awaited
    CHECKED = "checked"  # a good echo beside it was answered
    UNANSWERED = "unanswered"  # ... or not


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transcript: its time in seconds from the first step, the connection, bytes or a note."""

    at: float
    connection: int
    what: What
    data: bytes = b""
    note: str = ""


@dataclass(slots=True)
class Transcript:
    """A run of one conversation: its lines in order."""

    entries: list[Entry] = field(default_factory=list)

    def received(self, connection: int = 0) -> bytes:
        """Returns all bytes that the peer sent on a connection."""
        return b"".join(e.data for e in self.entries if e.what is What.RECEIVED and e.connection == connection)

    def sent(self, connection: int = 0) -> bytes:
        """Returns all bytes that were sent on a connection."""
        return b"".join(e.data for e in self.entries if e.what is What.SENT and e.connection == connection)

    def how(self, connection: int = 0) -> What | None:
        """Returns how the connection ended: ENDED, RESET, CLOSED or REFUSED; None if it is open."""
        ends = (What.ENDED, What.RESET, What.CLOSED, What.REFUSED)
        return next((e.what for e in self.entries if e.connection == connection and e.what in ends), None)


# -- JSON --------------------------------------------------------------------------------------------------------


class DamagedFile(ValueError):
    """A reproducer, a corpus entry or a saved campaign that cannot be read; the text names the place."""


_STEPS: dict[str, type[Any]] = {
    "open": Open, "send": Send, "answer": Answer, "await": Await, "pause": Pause, "reading": Reading, "end": End,
    "check": Check,
}  # fmt: skip
_NAMES = {cls: name for name, cls in _STEPS.items()}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Edit):
        plain: dict[str, object] = {"path": value.path, "action": value.action.value}
        if isinstance(value.value, bytes):
            plain["bytes"] = value.value.hex()
        elif value.value is not None:
            plain["number"] = value.value
        return plain
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def json_of_conversation(conversation: Conversation) -> dict[str, object]:
    """Returns a conversation as JSON values; bytes in hexadecimal."""
    steps = []
    for step in conversation.steps:
        plain: dict[str, object] = {"step": _NAMES[type(step)]}
        for name in type(step).__slots__:
            value = getattr(step, name)
            default = type(step).__dataclass_fields__[name].default
            if value != default:
                plain[name] = _plain(value)
        steps.append(plain)
    return {
        "name": conversation.name,
        "side": conversation.side.value,
        "about": conversation.about,
        "clause": conversation.clause,
        "expect": conversation.expect,
        "steps": steps,
    }


def conversation_of_json(plain: object) -> Conversation:
    """Returns the conversation of JSON values. Raises `DamagedFile`, which names what is wrong where."""
    found = _mapping(plain, "conversation")
    steps = found.get("steps")
    if not isinstance(steps, list):
        raise DamagedFile("conversation: no list of steps")
    try:
        side = Side(found.get("side", "user"))
    except ValueError:
        raise DamagedFile(f"conversation: side {found.get('side')!a}; user or provider") from None
    texts = {name: found.get(name, default) for name, default in _TEXTS.items()}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise DamagedFile(f"conversation: {name} is not a text")
    return Conversation(side=side, steps=tuple(_step(one, f"step {i}") for i, one in enumerate(steps, 1)), **texts)


_TEXTS = {"name": "unnamed", "about": "", "clause": "", "expect": "any"}


def _mapping(plain: object, where: str) -> Mapping[str, Any]:
    if not isinstance(plain, dict):
        raise DamagedFile(f"{where}: {type(plain).__name__}; an object")
    return plain


def _step(plain: object, where: str) -> Step:
    found = dict(_mapping(plain, where))
    name = found.pop("step", None)
    cls = _STEPS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise DamagedFile(f"{where}: step {name!a}; one of {', '.join(_STEPS)}")
    values = {}
    for key, value in found.items():
        read = _READ.get((cls, key)) or _READ.get((None, key))
        if key not in cls.__slots__ or read is None:
            raise DamagedFile(f"{where}: {name} has no {key!a}")
        try:
            values[key] = read(value)
        except DamagedFile as fault:
            raise DamagedFile(f"{where}: {key}: {fault}") from None
    try:
        step: Step = cls(**values)
    except TypeError:
        raise DamagedFile(f"{where}: {name} without what it needs") from None
    return step


def _bytes(value: object) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else _bytes("?")
    except ValueError:
        raise DamagedFile("not hexadecimal") from None


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise DamagedFile(f"not a number from 0 to {most:g}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise DamagedFile("not a whole number")
    return int(_number(value, 1 << 32))


def _edits(value: object) -> tuple[Edit, ...]:
    if not isinstance(value, list):
        raise DamagedFile("not a list")
    return tuple(_edit(one) for one in value)


def _edit(value: object) -> Edit:
    found = _mapping(value, "edit")
    path, action = found.get("path"), found.get("action")
    if not isinstance(path, str):
        raise DamagedFile("an edit without path")
    try:
        kind = Action(action)
    except ValueError:
        raise DamagedFile(f"action {action!a}; one of {', '.join(one.value for one in Action)}") from None
    what: bytes | int | None = None
    if "bytes" in found:
        what = _bytes(found["bytes"])
    elif "number" in found:
        what = _whole(found["number"])
    return Edit(path, kind, what)


def _seconds(value: object) -> float:
    return float(_number(value, 86_400))


def _kinds(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise DamagedFile("not a list")
    return tuple(_whole(one) for one in value)


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise DamagedFile("neither true nor false")
    return value


def _how(value: object) -> str:
    if value not in ("half", "close", "reset"):
        raise DamagedFile(f"{value!a}; half, close or reset")
    return str(value)


_READ: dict[tuple[type[Any] | None, str], Any] = {
    (None, "connection"): _whole,
    (None, "edits"): _edits,
    (None, "seconds"): _seconds,
    (Send, "message"): _bytes,
    (Send, "piece"): _whole,
    (Send, "gap"): _seconds,
    (Await, "kinds"): _kinds,
    (Reading, "on"): _bool,
    (End, "how"): _how,
}


def json_of_transcript(transcript: Transcript) -> list[dict[str, object]]:
    """Returns a transcript as JSON values; bytes in hexadecimal."""
    lines: list[dict[str, object]] = []
    for entry in transcript.entries:
        line: dict[str, object] = {
            "at": round(entry.at, 6), "connection": entry.connection, "what": entry.what.value
        }  # fmt: skip
        if entry.data:
            line["data"] = entry.data.hex()
        if entry.note:
            line["note"] = entry.note
        lines.append(line)
    return lines


def transcript_of_json(plain: object) -> Transcript:
    """Returns the transcript of JSON values. Raises `DamagedFile`."""
    if not isinstance(plain, list):
        raise DamagedFile("transcript: not a list")
    entries = []
    for number, one in enumerate(plain, 1):
        found = _mapping(one, f"line {number} of the transcript")
        try:
            what = What(found.get("what"))
        except ValueError:
            raise DamagedFile(f"line {number} of the transcript: {found.get('what')!a}") from None
        note = found.get("note", "")
        entries.append(
            Entry(
                _seconds(found.get("at", 0)),
                _whole(found.get("connection", 0)),
                what,
                _bytes(found.get("data", "")),
                note if isinstance(note, str) else "",
            )
        )
    return Transcript(entries)
