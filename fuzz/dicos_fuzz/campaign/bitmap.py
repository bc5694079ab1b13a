"""Reactions of a peer as hashed observations, and the small bitmap of those that were seen.

Knows: transcripts. Must not know: what is right or wrong (`judging`).

An observation is: the state of this side, the type of PDU sent last, and the reaction: the type of the answer with its
result vector, the source and reason of an abort or a rejection, the DIMSE command and its class of status, the way a
connection ended, with coarse buckets for the time it took and its size. Two runs with the same reactions have the same
observations; addresses, UIDs, ids and exact times are left out. A conversation that sets a new bit is worth keeping.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

from dicos_proto.dimse.types import DimseResponse
from dicos_proto.registry.status import category
from dicos_proto.upper_layer.pdu_types import AssociateAccept

from ..conversation import Entry, Transcript, What
from ..grammar.reading import PDU_NAMES, pdus_of
from .heard import messages
from .pdus import Pdus
from .responding import decoded

__all__ = ["Bitmap", "observations", "reaction"]

BITS: Final = 1 << 16
MOST: Final = 200
"""Observations of one conversation. Stops: a peer that answers a million PDUs."""
_SLOW: Final = (0.1, 1.0)


class Bitmap:
    """The observations that were seen, as bits."""

    def __init__(self, data: bytes | None = None) -> None:
        self._bits = bytearray(BITS // 8) if data is None else bytearray(data)
        self.count = sum(byte.bit_count() for byte in self._bits)

    def add(self, found: frozenset[str]) -> int:
        """Adds observations. Returns the number of bits that were not set before."""
        new = 0
        for one in sorted(found):
            number = zlib.crc32(one.encode()) % BITS
            at, bit = number >> 3, 1 << (number & 7)
            if not self._bits[at] & bit:
                self._bits[at] |= bit
                new += 1
        self.count += new
        return new

    def dump(self) -> bytes:
        """Returns the bits, to be saved."""
        return bytes(self._bits)


def observations(transcript: Transcript) -> frozenset[str]:
    """Returns the observations of a run."""
    found: set[str] = set()
    for seen in _seen(transcript):
        found.add(seen)
        if len(found) >= MOST:
            break
    return frozenset(found)


def reaction(transcript: Transcript, most: int = 12) -> str:
    """Returns what the peer did, in a few stable words: the kinds of its PDUs and the way the connections ended."""
    words: list[str] = []
    sides: dict[int, _Side] = {}
    for entry in transcript.entries:
        if entry.what is What.RECEIVED:
            words += [_answer(pdu) for pdu in sides.setdefault(entry.connection, _Side()).receive(entry.data)]
        elif entry.what in (What.ENDED, What.RESET, What.REFUSED, What.QUIET, What.CHECKED, What.UNANSWERED):
            words.append(entry.what.value)
    short = [one for at, one in enumerate(words) if at == 0 or words[at - 1] != one]
    return ", ".join(short[:most]) + (", ..." if len(short) > most else "")


class _Side:
    """The state of one connection, as far as a transcript shows it."""

    def __init__(self) -> None:
        self.state = "open"
        self.sent = "nothing"
        self.at = 0.0
        self._pdus = Pdus()

    def send(self, entry: Entry) -> None:
        self.at = entry.at
        for pdu in pdus_of(entry.data):
            self.sent = PDU_NAMES.get(pdu[0], "junk") if len(pdu) >= 6 else "a piece"
            match pdu[0]:
                case 1 if self.state == "open":
                    self.state = "associating"
                case 2 if self.state == "asked":
                    self.state = "associated"
                case 5 if self.state == "associated":
                    self.state = "releasing"
                case 3 | 7:
                    self.state = "over"

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Yields the PDUs that these bytes complete."""
        self._pdus.feed(data)
        while (pdu := self._pdus.next()) is not None:
            yield pdu

    def take(self, pdu: bytes) -> None:
        match pdu[0]:
            case 1 if self.state == "open":
                self.state = "asked"
            case 2 if self.state == "associating":
                self.state = "associated"
            case 5 if self.state == "associated":
                self.state = "asked for release"
            case 3 | 6 | 7:
                self.state = "over"


def _seen(transcript: Transcript) -> Iterator[str]:
    sides: dict[int, _Side] = {}
    for entry in transcript.entries:
        side = sides.setdefault(entry.connection, _Side())
        if entry.what is What.SENT:
            side.send(entry)
        elif entry.what is What.BENEATH:
            side.at, side.sent = entry.at, "beneath TLS"
        elif entry.what is What.HEARD:
            took = sum(entry.at - side.at > one for one in _SLOW)
            yield f"{side.state}/{side.sent}/{_record(entry.data)}/{took}"
        elif entry.what is What.RECEIVED:
            took = sum(entry.at - side.at > one for one in _SLOW)
            for pdu in side.receive(entry.data):
                yield f"{side.state}/{side.sent}/{_answer(pdu)}/{took}/{len(pdu).bit_length() // 3}"
                side.take(pdu)
        elif entry.what not in (What.OPENED, What.CLOSED, What.HALF):
            took = sum(entry.at - side.at > one for one in _SLOW)
            yield f"{side.state}/{side.sent}/{entry.what.value}/{took}"


def _record(data: bytes) -> str:
    """The type of a TLS record; of an alert, its level and its description too."""
    return f"alert {data[5:7].hex()}" if data[:1] == b"\x15" else f"record {data[:1].hex()}"


def _answer(pdu: bytes) -> str:
    """The kind of an answer, with what tells reactions apart."""
    name = PDU_NAMES.get(pdu[0], "not a PDU")
    match pdu[0]:
        case 2:
            found = decoded(pdu)
            if not isinstance(found, AssociateAccept):
                return f"{name} malformed"
            results = [int(one.result) for one in found.contexts]
            if len(results) <= 4:
                return f"{name} {results}"
            counts = sorted(Counter(results).items())
            return (
                f"{name} [{', '.join(f'{result}: {1 << count.bit_length() - 1} or more' for result, count in counts)}]"
            )
        case 3 if len(pdu) == 10:
            return f"{name} {pdu[7]}/{pdu[8]}/{pdu[9]}"
        case 7 if len(pdu) == 10:
            return f"{name} {pdu[8]}/{pdu[9]}"
        case 4:
            said = [_message(heard.command) for heard in messages(pdu)]
            return f"{name} {' '.join(said)}".rstrip()
        case _:
            return name


def _message(command: object) -> str:
    if command is None:
        return "unknown message"
    name: str = getattr(command, "NAME", "message")
    return f"{name} {category(command.status).value}" if isinstance(command, DimseResponse) else name
