"""Conversations as values: the steps of one side, and the transcript of a run.

Knows: steps, transcripts, JSON. Must not know: sockets, what a peer should have done (`campaign`).

A conversation is a script: it runs again, it can be cut into a smaller one, it prints. A message in it is valid bytes
and a list of edits (`tree.Edit`), so that what is wrong on purpose can be named, and taken back. Connections are
numbered from 0; a conversation may hold several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from enum import Enum
from typing import Any, Final, Literal

from .grammar.reading import read_stream
from .json_text import DamagedFile, choice, fields, flag, hexadecimal, items, number, text, whole
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
    """Opens a connection, or (`Side.PROVIDER`) waits for the peer to open one. `bare`: without TLS where the peer has
    it, so that all bytes on this connection are beneath TLS."""

    connection: int = 0
    bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Sends `message`, one or several PDUs or any bytes, with `edits` made in its tree (`read_stream`).

    `piece`: bytes of each write, 0 for all at once. `gap`: seconds between two writes. `beneath`: on a connection with
    TLS the bytes are not encrypted, but written beside its records.
    """

    message: bytes
    edits: tuple[Edit, ...] = ()
    connection: int = 0
    piece: int = 0
    gap: float = 0.0
    beneath: bool = False

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
    """Ends a connection: `half` sends FIN and goes on reading, `close` closes it, `reset` sends RST. `notify` ends TLS
    by a close_notify, and goes on reading; without TLS it does nothing."""

    how: Literal["half", "close", "reset", "notify"] = "close"
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
    BENEATH = "sent beneath TLS"
    HEARD = "received beneath TLS"
    ENDED = "ended"  # the peer closed it (FIN)
    RESET = "reset"  # the peer reset it
    HALF = "half-closed"  # this side sent FIN or a close_notify, and goes on reading
    CLOSED = "closed"  # this side ended it
    QUIET = "quiet"  # a wait passed without what was awaited
    CHECKED = "checked"  # a good echo beside it was answered
    UNANSWERED = "unanswered"  # ... or not


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transcript: its time in seconds from the first step, the connection, bytes or a note. A `Check` is
    on no connection of the conversation, -1."""

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

MOST_STEPS: Final = 10_000
MOST_EDITS: Final = 1_000
"""The most edits of one step. An edit copies the nodes beside it, so that edits are counted as well as bytes."""
MOST_SECONDS: Final = 86_400
MOST_CONNECTIONS: Final = 65_536
_MOST_NUMBER: Final = 0xFFFFFFFF
_MOST_KINDS: Final = 256

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


def _default(cls: type[Any], name: str) -> object:
    default: object = cls.__dataclass_fields__[name].default
    return default


def json_of_conversation(conversation: Conversation) -> dict[str, object]:
    """Returns a conversation as JSON values; bytes in hexadecimal, and of a step only what is not the default."""
    steps = []
    for step in conversation.steps:
        plain: dict[str, object] = {"step": _NAMES[type(step)]}
        for name in type(step).__slots__:
            value = getattr(step, name)
            if value != _default(type(step), name):
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


_FIELDS: Final = ("name", "side", "about", "clause", "expect", "steps")


def conversation_of_json(plain: object, where: str = "conversation") -> Conversation:
    """Returns the conversation of JSON values. Raises `DamagedFile`, which names what is wrong where."""
    found = fields(plain, where, _FIELDS)
    steps = items(found.get("steps"), f"{where}: steps", MOST_STEPS)
    side = Side(choice(found.get("side", "user"), f"{where}: side", [one.value for one in Side]))
    texts = {name: text(found.get(name, default), f"{where}: {name}") for name, default in _TEXTS.items()}
    return Conversation(
        side=side, steps=tuple(_step(one, f"{where}: step {i}") for i, one in enumerate(steps, 1)), **texts
    )


_TEXTS = {"name": "unnamed", "about": "", "clause": "", "expect": "any"}


def _step(plain: object, where: str) -> Step:
    found = dict(fields(plain, where))
    name = choice(found.pop("step", None), f"{where}: step", _STEPS)
    cls = _STEPS[name]
    fields(found, f"{where}: {name}", cls.__slots__)
    values = {
        key: (_READ.get((cls, key)) or _READ[None, key])(value, f"{where}: {key}") for key, value in found.items()
    }
    try:
        step: Step = cls(**values)
    except TypeError:
        missing = [key for key in cls.__slots__ if key not in values and _default(cls, key) is MISSING]
        raise DamagedFile(f"{where}: {name} without {' and '.join(missing)}") from None
    return step


def _seconds(value: object, where: str) -> float:
    return number(value, where, MOST_SECONDS)


def _connection(value: object, where: str) -> int:
    return whole(value, where, MOST_CONNECTIONS - 1)


def _connection_or_none(value: object, where: str) -> int:
    return -1 if value == -1 else _connection(value, where)


def _edits(value: object, where: str) -> tuple[Edit, ...]:
    return tuple(_edit(one, f"{where} {i}") for i, one in enumerate(items(value, where, MOST_EDITS), 1))


_WITH_BYTES: Final = (Action.SET, Action.INSERT)
_WITH_NUMBER: Final = (Action.LENGTH, Action.CUT)


def _edit(value: object, where: str) -> Edit:
    found = dict(fields(value, where, ("path", "action", "bytes", "number")))
    path = text(found.get("path"), f"{where}: path")
    action = Action(choice(found.get("action"), f"{where}: action", [one.value for one in Action]))
    what: bytes | int | None = None
    if action in _WITH_BYTES:
        what = hexadecimal(found.pop("bytes", None), f"{where}: bytes")
    elif action in _WITH_NUMBER:
        what = whole(found.pop("number", None), f"{where}: number", _MOST_NUMBER)
    fields(found, f"{where}: {action.value}", ("path", "action"))
    return Edit(path, action, what)


def _kinds(value: object, where: str) -> tuple[int, ...]:
    return tuple(whole(one, f"{where} {i}", 255) for i, one in enumerate(items(value, where, _MOST_KINDS), 1))


def _how(value: object, where: str) -> str:
    return choice(value, where, ("half", "close", "reset", "notify"))


def _piece(value: object, where: str) -> int:
    return whole(value, where, _MOST_NUMBER)


_READ: dict[tuple[type[Any] | None, str], Callable[[object, str], object]] = {
    (None, "connection"): _connection,
    (None, "edits"): _edits,
    (None, "seconds"): _seconds,
    (Open, "bare"): flag,
    (Send, "message"): hexadecimal,
    (Send, "piece"): _piece,
    (Send, "gap"): _seconds,
    (Send, "beneath"): flag,
    (Await, "kinds"): _kinds,
    (Reading, "on"): flag,
    (End, "how"): _how,
}


def json_of_transcript(transcript: Transcript) -> list[dict[str, object]]:
    """Returns a transcript as JSON values; bytes in hexadecimal, times in microseconds at the finest."""
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


_LINE: Final = ("at", "connection", "what", "data", "note")


def transcript_of_json(plain: object, where: str = "transcript") -> Transcript:
    """Returns the transcript of JSON values. Raises `DamagedFile`, which names what is wrong where."""
    entries = []
    for i, one in enumerate(items(plain, where), 1):
        line = f"{where}: line {i}"
        found = fields(one, line, _LINE)
        entries.append(
            Entry(
                _seconds(found.get("at", 0), f"{line}: at"),
                _connection_or_none(found.get("connection", 0), f"{line}: connection"),
                What(choice(found.get("what"), f"{line}: what", [one.value for one in What])),
                hexadecimal(found.get("data", ""), f"{line}: data"),
                text(found.get("note", ""), f"{line}: note"),
            )
        )
    return Transcript(entries)
