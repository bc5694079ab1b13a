"""The bodies of PDUs -> values or a verdict: a small decoder of PS3.8 9.3, annex D and PS3.7 D.3.3.

Knows: layouts, and which values are legal. Must not know: the engine, states. Slow and simple on purpose: it reads one
complete body, field by field, and gives up with `Refused` at the first fault. It accepts no deviation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from dicos_proto.limits import Limits

from .values import (
    UNRECOGNIZED,
    AbortPdu,
    Accept,
    Invalid,
    Offer,
    Reject,
    Release,
    Request,
    Terms,
)

__all__ = ["FIXED", "NAMES", "Refused", "Value", "check_header", "read_body", "uid_of"]

Value = Request | Accept | Reject | Release | AbortPdu
NAMES: Final = {
    1: "A-ASSOCIATE-RQ", 2: "A-ASSOCIATE-AC", 3: "A-ASSOCIATE-RJ", 4: "P-DATA-TF", 5: "A-RELEASE-RQ", 6: "A-RELEASE-RP",
    7: "A-ABORT",
}  # fmt: skip
FIXED: Final = 68
"""Bytes of an A-ASSOCIATE before its items: version 2, reserved 2, titles 16 each, reserved 32."""
T = TypeVar("T")


class Refused(Exception):
    """A verdict on the way up."""

    def __init__(self, why: str, *reasons: int) -> None:
        super().__init__(why)
        self.verdict = Invalid(why, frozenset(reasons)) if reasons else Invalid(why)


def check_header(kind: int, length: int, limits: Limits, max_length: int) -> Invalid | None:
    """Judges the six bytes of a header. `max_length`: what this side asked for, 0 unlimited [PS3.8 9.3.1, D.1]."""
    if kind not in NAMES:
        return Invalid(f"PDU type {kind:02X}H", frozenset((UNRECOGNIZED,)))
    if kind in (1, 2):
        wrong = length < FIXED or length > limits.associate_pdu
    elif kind == 4:
        wrong = length < 6 or 0 < max_length < length
    else:
        wrong = length != 4
    return Invalid(f"{NAMES[kind]} of {length} bytes") if wrong else None


def read_body(kind: int, body: bytes, limits: Limits) -> Value | Invalid:
    """Reads the complete body of any PDU that is not a P-DATA-TF and whose header was accepted."""
    if kind == 3:
        return Reject(body[1], body[2], body[3])
    if kind in (5, 6):
        return Release(kind == 6)
    if kind == 7:
        return AbortPdu(body[2], body[3])
    try:
        return _request(body, limits) if kind == 1 else _accept(body, limits)
    except Refused as refused:
        return refused.verdict


# -- single values -----------------------------------------------------------------------------------------------


def uid_of(raw: bytes, limits: Limits) -> str:
    """Reads a UID without padding [PS3.5 9.1]. Raises `Refused`."""
    text = raw.decode("latin-1")
    parts = text.split(".")
    if len(text) > min(64, limits.uid):
        raise Refused(f"UID of {len(text)} characters")
    if not all(part and set(part) <= set("0123456789") for part in parts):
        raise Refused("not a UID")
    if any(len(part) > 1 and part.startswith("0") for part in parts):
        raise Refused("UID with a leading zero")
    second = parts[1] if len(parts) > 1 else "0"
    if not (parts[0] == "2" or (parts[0] in "01" and len(second) <= 2 and int(second) < 40)):
        raise Refused("UID with an invalid root")
    return text


class _Bytes:
    """The rest of a value, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise Refused(f"{count} bytes wanted, {len(self.data)} left")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        return self.take(self.number(2))

    def end(self) -> None:
        if self.data:
            raise Refused(f"{len(self.data)} bytes too many")

    def items(self) -> Iterator[tuple[int, bytes]]:
        while self.data:
            kind, _, length = self.number(1), self.take(1), self.number(2)
            yield kind, self.take(length)


def _one(found: list[T], what: str) -> T:
    if len(found) != 1:
        raise Refused(f"{len(found)} of {what}; one")
    return found[0]


def _at_most(found: list[T], what: str) -> T | None:
    if len(found) > 1:
        raise Refused(f"{len(found)} of {what}; at most one")
    return found[0] if found else None


def _flag(number: int) -> bool:
    if number > 1:
        raise Refused(f"flag {number}; 0 or 1")
    return number == 1


# -- A-ASSOCIATE -------------------------------------------------------------------------------------------------


class _Unknown:
    """Counts the items of unknown types of one PDU."""

    def __init__(self, limits: Limits) -> None:
        self.left = limits.unknown_items

    def skip(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Refused("too many items of unknown types")


class _Items:
    """The items after the fixed fields, each kept raw until its number is known."""

    def __init__(self, body: bytes, context: int, limits: Limits) -> None:
        self.unknown = _Unknown(limits)
        self.applications: list[str] = []
        self.contexts: list[bytes] = []
        self.terms: list[Terms] = []
        for kind, value in _Bytes(body[FIXED:]).items():
            if kind == 0x10:
                self.applications.append(uid_of(value, limits))
            elif kind == context:
                self.contexts.append(value)
            elif kind == 0x50:
                self.terms.append(_terms(value, limits))
            else:
                self.unknown.skip()
        if len(self.contexts) > limits.contexts:
            raise Refused("too many presentation contexts")


def _titles(body: bytes) -> tuple[str, str]:
    return body[4:20].decode("latin-1").strip(" "), body[20:36].decode("latin-1").strip(" ")


def _ids(numbers: list[int]) -> None:
    if any(number % 2 == 0 for number in numbers) or len(set(numbers)) != len(numbers):
        raise Refused("presentation context ids that are even or used twice")


def _request(body: bytes, limits: Limits) -> Request:
    items = _Items(body, 0x20, limits)
    contexts = [_offer(value, items.unknown, limits) for value in items.contexts]
    _ids([one.id for one in contexts])
    called, calling = _titles(body)
    return Request(
        int.from_bytes(body[:2], "big"), called, calling, _one(items.applications, "application context"),
        tuple(contexts), _one(items.terms, "user information"),
    )  # fmt: skip


def _offer(value: bytes, unknown: _Unknown, limits: Limits) -> Offer:
    rest = _Bytes(value)
    number = rest.take(4)[0]
    abstract: list[str] = []
    transfer: list[str] = []
    for kind, item in rest.items():
        if kind == 0x30:
            abstract.append(uid_of(item, limits))
        elif kind == 0x40:
            transfer.append(uid_of(item, limits))
        else:
            unknown.skip()
    if not 0 < len(transfer) <= limits.transfer_syntaxes:
        raise Refused(f"{len(transfer)} transfer syntaxes")
    return Offer(number, _one(abstract, "abstract syntax"), tuple(transfer))


def _accept(body: bytes, limits: Limits) -> Accept:
    items = _Items(body, 0x21, limits)
    contexts = [_answer(value, items.unknown, limits) for value in items.contexts]
    _ids([number for number, _, _ in contexts])
    called, calling = _titles(body)
    return Accept(
        int.from_bytes(body[:2], "big"), called, calling, _one(items.applications, "application context"),
        tuple(contexts), _one(items.terms, "user information"),
    )  # fmt: skip


def _answer(value: bytes, unknown: _Unknown, limits: Limits) -> tuple[int, int, str | None]:
    rest = _Bytes(value)
    number, _, result, _ = rest.take(4)
    if result > 4:
        raise Refused(f"result {result}")
    if result:  # the rest is not significant  # PS3.8 9.3.3.2
        return number, result, None
    transfer: list[str] = []
    for kind, item in rest.items():
        if kind == 0x40:
            transfer.append(uid_of(item, limits))
        else:
            unknown.skip()
    return number, 0, _one(transfer, "transfer syntax")


def _terms(value: bytes, limits: Limits) -> Terms:
    found: dict[int, list[bytes]] = {kind: [] for kind in range(0x51, 0x5A)}
    for count, (kind, item) in enumerate(_Bytes(value).items(), 1):
        if count > limits.user_items:
            raise Refused("too many sub-items")
        if kind in found:
            found[kind].append(item)
    window = _at_most([_window(item) for item in found[0x53]], "operations window")
    return Terms(
        max_length=_one([_max_length(item) for item in found[0x51]], "Maximum Length"),
        class_uid=_one([uid_of(item, limits) for item in found[0x52]], "implementation class"),
        version=_at_most([_version(item) for item in found[0x55]], "implementation version"),
        window=window,
        roles=tuple(_role(item, limits) for item in found[0x54]),
        extended=tuple(_extended(item, limits) for item in found[0x56]),
        common=tuple(_common(item, limits) for item in found[0x57]),
        identity=_at_most([_identity(item) for item in found[0x58]], "user identity"),
        response=_at_most([_response(item) for item in found[0x59]], "identity response"),
    )


def _max_length(item: bytes) -> int:
    rest = _Bytes(item)
    number = rest.number(4)
    rest.end()
    return number


def _window(item: bytes) -> tuple[int, int]:
    rest = _Bytes(item)
    window = rest.number(2), rest.number(2)
    rest.end()
    return window


def _version(item: bytes) -> str:
    if not 1 <= len(item) <= 16 or not all(0x20 <= code < 0x7F for code in item):
        raise Refused("implementation version name")
    return item.decode("ascii")


def _role(item: bytes, limits: Limits) -> tuple[str, bool, bool]:
    rest = _Bytes(item)
    role = uid_of(rest.sized(), limits), _flag(rest.number(1)), _flag(rest.number(1))
    rest.end()
    return role


def _extended(item: bytes, limits: Limits) -> tuple[str, bytes]:
    rest = _Bytes(item)
    return uid_of(rest.sized(), limits), rest.data


def _common(item: bytes, limits: Limits) -> tuple[str, str, tuple[str, ...]]:
    rest = _Bytes(item)
    uid, service = uid_of(rest.sized(), limits), uid_of(rest.sized(), limits)
    inner = _Bytes(rest.sized())
    related: list[str] = []
    while inner.data:
        related.append(uid_of(inner.sized(), limits))
    if len(related) > limits.user_items:
        raise Refused("too many related classes")
    return uid, service, tuple(related)  # later versions may add fields  # PS3.7 D.3.3.6


def _identity(item: bytes) -> tuple[int, bytes, bytes, bool]:
    rest = _Bytes(item)
    kind, wanted = rest.number(1), _flag(rest.number(1))
    primary, secondary = rest.sized(), rest.sized()
    rest.end()
    return kind, primary, secondary, wanted


def _response(item: bytes) -> bytes:
    rest = _Bytes(item)
    response = rest.sized()
    rest.end()
    return response
