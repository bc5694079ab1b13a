"""The codecs of the values in a command set, one object for each value representation [PS3.7 E.1].

Knows: US, UI, AE, LO and AT, the values that each may hold, and how to read an invalid value that only informs
(`salvage`; `flag` is the flag of `Tolerance` that accepts it). Must not know: which element has which, messages.

A received UID must obey PS3.5 9.1, or break it in a way that the tolerance accepts. A UID that is sent need only be
text of a legal length: it names an object that another system named, and to send it under another name would be worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..errors import LocalProtocolError, Malformed
from ..limits import Limits
from ..registry import uids
from ..tolerance import CLAUSES, LONGEST_UID, Judge, informing_text
from ..upper_layer.titles import decode_title, fault_of_title, is_title
from .command import encode_bytes, encode_us

Value = int | str | tuple[int, ...]


class _Number:
    """US: one unsigned 16-bit number."""

    vr = "US"
    flag = "informative_number"

    @staticmethod
    def encode(element: int, value: Value) -> bytes:
        if not isinstance(value, int) or not 0 <= value <= 0xFFFF:
            raise LocalProtocolError(f"(0000,{element:04X}) {value!r}; 0 to 65535 [PS3.7 E.1]")
        return encode_us(element, value)

    @staticmethod
    def decode(element: int, raw: bytes, judge: Judge) -> Value:
        if len(raw) != 2:
            raise Malformed(f"(0000,{element:04X}) of {len(raw)} bytes; one US, 2 bytes", "PS3.7 E.1")
        return raw[0] | raw[1] << 8

    @staticmethod
    def salvage(raw: bytes) -> Value | None:
        number = int.from_bytes(raw[:_LONGEST_NUMBER], "little")
        return number if 0 < len(raw) <= _LONGEST_NUMBER and number <= 0xFFFF else None


_LONGEST_NUMBER = 8
"""Length, in bytes, up to which a number that only informs is read, although it should have two bytes."""


class _Text:
    """A string of at most `most` characters, padded to even length with `pad`."""

    def __init__(self, vr: str, most: int, pad: str) -> None:
        self.vr = vr
        self.flag = "informative_text"
        self.most = most
        self.pad = pad

    def encode(self, element: int, value: Value) -> bytes:
        return _encode_text(self, element, value)

    def decode(self, element: int, raw: bytes, judge: Judge) -> Value:
        return _decode_text(self, element, raw) if len(raw) <= _CACHED else self.decoded(element, raw)

    def encoded(self, element: int, value: Value) -> bytes:
        return encode_bytes(element, self.padded(element, value))

    def padded(self, element: int, value: Value) -> bytes:
        """Returns the encoded value, padded, without the header of the element."""
        # A comment may be about a person: these errors do not repeat the text that they refuse.
        if not isinstance(value, str):
            raise LocalProtocolError(f"(0000,{element:04X}) {type(value).__name__}; text, {self.vr} [PS3.7 E.1]")
        if len(value) > self.most or not (value.isascii() and value.isprintable()):
            raise LocalProtocolError(
                f"(0000,{element:04X}) of {len(value)} characters; {self.vr}, at most {self.most} printable ASCII "
                "characters [PS3.5 6.2]"
            )
        if "\\" in value:
            raise LocalProtocolError(
                f"(0000,{element:04X}) of {value.count(chr(92)) + 1} values; one {self.vr} [PS3.5 6.4]"
            )
        if len(value) % 2:
            value += self.pad
        return value.encode("ascii")

    def decoded(self, element: int, raw: bytes) -> Value:
        text = raw.decode("latin-1").strip(" ")
        if len(text) > self.most or not (text.isascii() and text.isprintable()):
            raise Malformed(
                f"(0000,{element:04X}) of {len(raw)} bytes; {self.vr}, at most {self.most} printable ASCII characters",
                "PS3.5 6.2",
            )
        if "\\" in text:
            raise Malformed(f"(0000,{element:04X}) of {text.count(chr(92)) + 1} values; one {self.vr}", "PS3.5 6.4")
        return text

    def salvage(self, raw: bytes) -> Value | None:
        return informing_text(raw, self.most)


@lru_cache(maxsize=256)
def _encode_text(kind: _Text, element: int, value: Value) -> bytes:
    """Returns the encoded text, cached: most texts are the same in each message of an association."""
    return kind.encoded(element, value)


_CACHED = 66
"""The longest text, in bytes, that is cached: longer ones from a peer are refused and must not be kept."""


@lru_cache(maxsize=256)
def _decode_text(kind: _Text, element: int, raw: bytes) -> Value:
    return kind.decoded(element, raw)


class _Uid(_Text):
    """UI: a UID, padded to even length with one NUL."""

    def __init__(self) -> None:
        super().__init__("UI", uids.MAX_LENGTH, "\0")
        self._newest = "", b""  # the last instance UID that was decoded: a response repeats that of its request

    def decode(self, element: int, raw: bytes, judge: Judge) -> Value:
        good = _remembered_uid(raw) if len(raw) <= _CACHED else None
        return self._judged(element, raw, judge) if good is None else good

    def decode_new(self, element: int, raw: bytes, judge: Judge) -> Value:
        """Like `decode`, without the cache: for a UID that is new in each message."""
        good = _is_good(raw)
        if good is not None and good.end(1) <= uids.MAX_LENGTH:
            uid = good[1].decode("ascii")
            self._newest = uid, raw
            return uid
        return self._judged(element, raw, judge)

    def padded(self, element: int, value: Value) -> bytes:
        newest, raw = self._newest
        if value is newest and not len(raw) % 2:
            return raw
        if type(value) is str and len(value) <= uids.MAX_LENGTH:
            raw = value.encode("ascii", "replace")
            if raw and not raw.strip(b"0123456789."):  # digits and dots only
                return raw + b"\0" if len(raw) % 2 else raw
        return super().padded(element, value)  # any other printable text is sent as it is, or refused

    def salvage(self, raw: bytes) -> Value | None:
        return None

    def _judged(self, element: int, raw: bytes, judge: Judge) -> Value:
        uid, broken = _read_uid(raw)
        if broken is None:
            raise Malformed(
                f"(0000,{element:04X}) of {len(raw)} bytes; UI, at most {self.most} digits and dots", "PS3.5 9.1"
            )
        for name in broken:
            detail = f"(0000,{element:04X}) of {len(raw)} bytes {_BROKEN[name]}"
            if not judge.tolerates(name, detail):
                raise Malformed(detail, CLAUSES[name])
        return uid


def _read_uid(raw: bytes) -> tuple[str, tuple[str, ...] | None]:
    """Returns the UID, empty if there is none, and the flags of the rules that it breaks; None if it is not a UID."""
    if len(raw) > LONGEST_UID + 2:
        return "", None
    uid, broken = uids.read(raw.removesuffix(b"\0"))
    if len(uid) > uids.MAX_LENGTH and broken is not None:
        return uid, ("uid_too_long", *broken) if len(uid) <= LONGEST_UID else None
    if not uid:
        return uid, () if len(raw) < 2 else ("uid_padded",)
    return uid, broken


_is_good = uids.GOOD_VALUE.fullmatch


def _good_uid(raw: bytes) -> str | None:
    """Returns the UID if it breaks no rule, else None."""
    good = _is_good(raw)
    return good[1].decode("ascii") if good is not None and good.end(1) <= uids.MAX_LENGTH else None


_remembered_uid = lru_cache(maxsize=256)(_good_uid)
"""Cached, because most UIDs are the same in each message of an association; instance UIDs are not."""

_BROKEN = {**uids.BROKEN, "uid_too_long": f"is longer than {uids.MAX_LENGTH} characters"}


class _Title(_Text):
    """AE that decides: a title by which a peer is found. The flags for titles of an A-ASSOCIATE-RQ apply to it, too."""

    def decode(self, element: int, raw: bytes, judge: Judge) -> Value:
        try:
            return super().decode(element, raw, judge)
        except Malformed:
            title = decode_title(raw, f"(0000,{element:04X})", judge)
            allowed = not title or is_title(title) or fault_of_title(title) in judge.tolerance.names()
            if not allowed or len(title) > self.most:
                raise
            return title


class _Tags:
    """AT: attribute tags, each a number 0xGGGGEEEE."""

    vr = "AT"
    flag = "informative_number"

    @staticmethod
    def encode(element: int, value: Value) -> bytes:
        if not isinstance(value, tuple) or not all(0 <= tag <= 0xFFFFFFFF for tag in value):
            raise LocalProtocolError(f"(0000,{element:04X}) {value!r}; a tuple of tags [PS3.7 E.1]")
        words = (part.to_bytes(2, "little") for tag in value for part in (tag >> 16, tag & 0xFFFF))
        return encode_bytes(element, b"".join(words))

    @staticmethod
    def decode(element: int, raw: bytes, judge: Judge) -> Value:
        if len(raw) % 4:
            raise Malformed(f"(0000,{element:04X}) of {len(raw)} bytes; tags of 4 bytes", "PS3.7 E.1")
        return tuple(
            (raw[at] | raw[at + 1] << 8) << 16 | raw[at + 2] | raw[at + 3] << 8 for at in range(0, len(raw), 4)
        )

    def salvage(self, raw: bytes) -> Value | None:
        return self.decode(0, raw[: len(raw) & ~3], _NOBODY) or None


_NOBODY = Judge(Limits())
_Kind = _Number | _Text | _Tags
US, AT = _Number(), _Tags()
UI, AE, LO = _Uid(), _Text("AE", 16, " "), _Text("LO", 64, " ")
TITLE = _Title("AE", 16, " ")


@dataclass(frozen=True, slots=True)
class Element:
    """The element (0000,`number`) of a field, and its kind. `informs`: nothing depends on the value, so an invalid one
    may be accepted."""

    number: int
    kind: _Kind
    informs: bool = False
