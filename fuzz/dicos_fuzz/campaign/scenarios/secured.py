"""TLS itself: wrong handshakes, forged records, ends without close_notify [fault kind F12].

Knows: records, alerts and the ClientHello [RFC 8446, RFC 5246]. Must not know: keys; nothing here is encrypted.

A server reads a ClientHello before it knows anybody, and a record before it knows if it is genuine. Nothing here may
end in an association, except where it is only unusual.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from random import Random
from typing import Final

from ...conversation import Answer, Await, Check, Conversation, End, Open, Send, Side, Step
from ..knowledge import Learned
from .family import Family, drawn
from .scripts import (
    ACCEPTANCE,
    ANSWER,
    CLOSE,
    ENDED,
    FIN,
    RELEASED,
    Talk,
    pdu,
    script,
)

__all__ = ["FAMILIES", "HELLO", "handshakes", "hello", "record"]

CCS, ALERT, HANDSHAKE, DATA, HEARTBEAT = 0x14, 0x15, 0x16, 0x17, 0x18
"""Types of records."""
_BARE: Final = Open(bare=True)
_RANDOM: Final = sha256(b"dicos fuzz").digest()
_CIPHERS: Final = bytes.fromhex("130213011303c030c02fc02cc02b009d009c")
_MOST: Final = 1 << 14
"""Bytes of the plaintext of a record, RFC 8446 5.1."""
_FORGED: Final = sha256(b"forged").digest() * 2


def record(kind: int, body: bytes, *, length: int | None = None, version: int = 0x0303) -> bytes:
    """Returns a record that is not encrypted. `length`: a wrong one."""
    size = len(body) if length is None else length
    return bytes((kind,)) + version.to_bytes(2, "big") + size.to_bytes(2, "big") + body


def _records(body: bytes) -> bytes:
    """Returns a handshake message in as many records as it needs."""
    return b"".join(record(HANDSHAKE, body[at : at + _MOST]) for at in range(0, len(body), _MOST))


def _message(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    """Returns a handshake message. `length`: a wrong one."""
    return bytes((kind,)) + (len(body) if length is None else length).to_bytes(3, "big") + body


def _sized(data: bytes, width: int = 2) -> bytes:
    return len(data).to_bytes(width, "big") + data


def _extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + _sized(data)


def _name(name: bytes) -> bytes:
    """Returns the extension server_name, RFC 6066 3."""
    return _extension(0, _sized(b"\0" + _sized(name)))


_GROUPS: Final = _extension(10, _sized(bytes.fromhex("001d00170018")))
_SIGNATURES: Final = _extension(13, _sized(bytes.fromhex("040308040401050308050501080606010201")))
_VERSIONS: Final = _extension(43, _sized(bytes.fromhex("03040303"), 1))
_SHARE: Final = _extension(51, _sized(bytes.fromhex("001d") + _sized(_RANDOM)))
_GOOD: Final = (_name(b"archive"), _GROUPS, _SIGNATURES, _VERSIONS, _SHARE)


def hello(
    *extensions: bytes,
    version: int = 0x0303,
    session: bytes = _RANDOM,
    ciphers: bytes = _CIPHERS,
    compression: bytes = b"\0",
    length: int | None = None,
) -> bytes:
    """Returns a ClientHello, RFC 8446 4.1.2; without extensions given, with those of a good one. `length`: a wrong
    one."""
    parts = (
        version.to_bytes(2, "big"), _RANDOM, _sized(session, 1), _sized(ciphers), _sized(compression, 1),
        _sized(b"".join(extensions or _GOOD)),
    )  # fmt: skip
    return _message(1, b"".join(parts), length=length)


def _with(*extensions: bytes, without: bytes = b"") -> bytes:
    """Returns a good ClientHello with some extensions more, and without one."""
    return record(HANDSHAKE, hello(*(one for one in _GOOD if one != without), *extensions))


HELLO: Final = record(HANDSHAKE, hello(), version=0x0301)
_OLD: Final = record(HANDSHAKE, hello(_GROUPS, _SIGNATURES))  # TLS 1.2


def handshakes() -> Iterator[tuple[str, str, bytes]]:
    """Yields what is sent in place of a handshake: name, what is wrong, bytes beneath TLS."""
    body = hello()
    yield "cut", "a ClientHello that is cut", HELLO[:-20]
    yield "no message", "a record of a handshake without a byte", record(HANDSHAKE, b"")
    for length in (0, 1, 3, len(body) + 1, _MOST + 1, 0xFFFF):
        about = f"a record that says it has {length} bytes, of {len(body)}"
        yield f"record length: {length}", about, record(HANDSHAKE, body, length=length)
    for length in (0, 1, len(body), 0xFFFF, 0x20000, 0xFFFFFF):
        about = f"a ClientHello that says it has {length} bytes, of {len(body) - 4}"
        yield f"message length: {length}", about, record(HANDSHAKE, hello(length=length))
    for kind in (0, CCS, ALERT, DATA, HEARTBEAT, 0xFF):
        yield f"record type: {kind}", f"a ClientHello in a record of type {kind}", record(kind, body)
    for kind in (0, 2, 4, 11, 16, 20, 24, 255):
        yield (
            f"message type: {kind}",
            f"a handshake message of type {kind}",
            record(HANDSHAKE, _message(kind, body[4:])),
        )
    for version in (0x0000, 0x0002, 0x0300, 0x0304, 0x7F1C, 0xFFFF):
        yield (
            f"record version: {version:04x}",
            f"record version {version:04x}",
            record(HANDSHAKE, body, version=version),
        )
        old = record(HANDSHAKE, hello(_GROUPS, _SIGNATURES, version=version))
        yield f"version: {version:04x}", f"a ClientHello of version {version:04x}", old
    yield "session id too long", "a session id of 255 bytes; at most 32", record(HANDSHAKE, hello(session=bytes(255)))
    for name, ciphers in (("none", b""), ("half a", b"\x13"), ("unknown", b"\xaa\xaa"), ("many", b"\xaa\xaa" * 30_000)):
        yield f"cipher suites: {name}", f"{name} cipher suites", _records(hello(ciphers=ciphers))
    yield "compression: none", "no compression method", record(HANDSHAKE, hello(compression=b""))
    yield "compression: deflate", "compression by deflate", record(HANDSHAKE, hello(compression=b"\1"))
    yield from _extended()
    yield "twice", "two ClientHellos", HELLO * 2
    yield (
        "in pieces",
        "a ClientHello in records of one byte",
        b"".join(record(HANDSHAKE, body[at : at + 1]) for at in range(len(body))),
    )
    yield "empty records", "1,000 empty records of a handshake", record(HANDSHAKE, b"") * 1000
    yield "warnings", "1,000 alerts that are warnings", record(ALERT, b"\1\x5a") * 1000
    yield "alert", "a fatal alert in place of a ClientHello", record(ALERT, b"\2\x28")
    yield "alert behind", "a fatal alert behind a ClientHello", HELLO + record(ALERT, b"\2\x28")
    yield "half an alert", "an alert of one byte", record(ALERT, b"\2")
    yield "change cipher spec", "a change_cipher_spec in place of a ClientHello", record(CCS, b"\1")
    yield "change cipher specs", "500 change_cipher_specs behind a ClientHello", HELLO + record(CCS, b"\1") * 500
    yield "data", "application data in place of a ClientHello", record(DATA, _FORGED)
    yield "data behind", "application data behind a ClientHello", HELLO + record(DATA, _FORGED)
    yield "heartbeat", "a heartbeat that asks for 65,535 bytes", HELLO + record(HEARTBEAT, b"\1\xff\xff")
    chain = _message(11, _sized(_sized(b"0" * 0x10000, 3), 3))
    yield "certificate", "a certificate of 64 kB behind a ClientHello", _OLD + _records(chain)
    giant = record(HANDSHAKE, _message(11, _FORGED, length=0xFFFFFF))
    yield "giant certificate", "a certificate message that says it has 16 MB", _OLD + giant


def _extended() -> Iterator[tuple[str, str, bytes]]:
    """ClientHellos with odd extensions."""
    for words, name in (
        ("empty", b""), ("long", b"a" * 0xFF00),
        ("with a NUL", b"archive\0.evil"), ("path-like", b"../../../etc/passwd"),
        ("of raw bytes", b"\xff\xfe\x00"), ("that is an address", b"127.0.0.1"), ("for a shell", b"$(id)"),
    ):  # fmt: skip
        yield (
            f"server name: {words}",
            f"a server name {words}",
            _records(hello(_name(name), *(one for one in _GOOD[1:]))),
        )
    two = _extension(0, _sized((b"\0" + _sized(b"one")) + (b"\0" + _sized(b"two"))))
    yield "two server names", "two server names", _with(two, without=_GOOD[0])
    yield "extension twice", "the server name twice", _with(_GOOD[0])
    for words, data in (
        ("empty list", b"\0\0"), ("empty name", b"\0\1\0"), ("unknown", _sized(_sized(b"h2", 1))),
        ("too long", b"\xff\xff\2h2"), ("many", _sized(_sized(b"x" * 250, 1) * 100)),
    ):  # fmt: skip
        yield f"ALPN: {words}", f"ALPN, {words}", _records(hello(*_GOOD, _extension(16, data)))
    for words, share in (
        ("empty", b"\0\0"), ("of no bytes", _sized(b"\0\x1d\0\0")), ("of zeros", _sized(b"\0\x1d" + _sized(bytes(32)))),
        ("of an invalid point", _sized(b"\0\x17" + _sized(b"\4" + b"\xff" * 64))),
        ("of an unknown group", _sized(b"\xaa\xaa" + _sized(b"\0"))),
        ("twice", _sized((b"\0\x1d" + _sized(_RANDOM)) * 2)),
    ):  # fmt: skip
        yield f"key share: {words}", f"a key share {words}", _with(_extension(51, share), without=_SHARE)
    keys = _extension(41, _sized(_sized(b"ticket" * 20) + bytes(4)) + _sized(_sized(_RANDOM, 1)))
    modes = _extension(45, b"\1\1")
    early = _extension(42, b"")
    yield "ticket", "a ticket that the peer never gave", _with(modes, keys)
    yield (
        "early data",
        "early data with a ticket that the peer never gave",
        _with(early, modes, keys) + record(DATA, _FORGED),
    )
    yield "early data without a ticket", "early data without a ticket", _with(early) + record(DATA, _FORGED)
    yield "padding", "60 kB of padding", _records(hello(*_GOOD, _extension(21, bytes(60_000))))
    many = b"".join(_extension(0x4000 + number, b"") for number in range(10_000))
    yield "unknown extensions", "10,000 unknown extensions", _records(hello(*_GOOD, many))
    yield "groups: none", "no group that both know", _with(_extension(10, _sized(b"\xaa\xaa")), without=_GROUPS)
    yield "signatures: none", "no signature algorithm", _with(_extension(13, b"\0\0"), without=_SIGNATURES)
    over = hello()[:-1]
    yield (
        "extension too long",
        "an extension that is longer than the ClientHello",
        record(HANDSHAKE, b"\1" + (len(over) - 4).to_bytes(3, "big") + over[4:]),
    )


def _beneath() -> Iterator[tuple[str, str, bytes]]:
    """Yields what is written beside the encrypted records of an association: name, what is wrong, bytes."""
    yield "forged record", "a record that is not genuine", record(DATA, _FORGED)
    yield "forged alert", "an encrypted alert that is not genuine", record(ALERT, _FORGED[:26])
    yield "alert in the clear", "a fatal alert that is not encrypted", record(ALERT, b"\2\x50")
    yield "close_notify in the clear", "a close_notify that is not encrypted", record(ALERT, b"\1\0")
    yield "empty record", "an encrypted record without a byte", record(DATA, b"")
    yield "record too long", "a record of 20,000 bytes; at most 16,640", record(DATA, bytes(20_000))
    yield "another ClientHello", "a ClientHello behind the handshake", HELLO
    yield "hello request", "a HelloRequest that is not encrypted", record(HANDSHAKE, _message(0, b""))
    yield "change cipher specs", "100 change_cipher_specs behind the handshake", record(CCS, b"\1") * 100
    yield "unknown record", "a record of type 255", record(0xFF, bytes(20))
    yield "zeros", "zeros in place of a record", bytes(64)
    yield "HTTP", "HTTP in place of a record", b"GET / HTTP/1.1\r\n\r\n"


_CLAUSE: Final = "RFC 8446 5, 6.2"


def _case(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...], side: Side = Side.USER) -> Conversation:
    family = "tls" if side is Side.USER else "tls-calls"
    return script(f"{family}/{name}", about, _CLAUSE, expect, *steps, side=side)


def _cut_records(talk: Talk) -> Iterator[Conversation]:
    begin, ask = talk.begin(), talk.ask()
    half = record(DATA, _FORGED, length=200)
    for name, about, before in (
        ("between PDUs", "a record that is cut, between PDUs", ()),
        ("in a PDU", "a record that is cut, in the middle of a PDU", (Send(message=ask[:20]),)),
    ):
        sent = Send(message=half, beneath=True)
        yield _case(f"cut record {name}", f"{about}, and FIN", "broken-off", begin, before, sent, FIN, ENDED, ENDED)


def _ends(talk: Talk) -> Iterator[Conversation]:
    """The end of TLS and that of the connection, in any order."""
    begin, half = talk.begin(), (Send(message=talk.ask()[:20]),)
    notify = End(how="notify")
    for name, before in (("", ()), (" in a PDU", half)):
        yield _case(
            f"FIN without close_notify{name}", f"FIN without close_notify{name}", "broken-off", begin, before, FIN,
            ENDED, ENDED,
        )  # fmt: skip
        yield _case(
            f"close_notify{name}", f"a close_notify{name}; the peer closes too", "broken-off", begin, before, notify,
            ENDED, ENDED,
        )  # fmt: skip
        behind = Send(message=record(DATA, _FORGED), beneath=True)
        about = f"data behind a close_notify{name}"
        yield _case(f"data behind close_notify{name}", about, "broken-off", begin, before, notify, behind, ENDED, ENDED)
    left = (*begin, *half, CLOSE, Check())
    yield _case("left without close_notify", "closed in a PDU without close_notify; others are served", "any", left)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    tail = (FIN, ENDED, ENDED)
    plain = (_BARE, Send(message=talk.rq), *tail)
    yield _case("no TLS", "an A-ASSOCIATE-RQ without TLS on a port with TLS", "broken-off", plain)
    behind = (_BARE, Send(message=HELLO), Await(kinds=(99,), seconds=0.1), Send(message=talk.rq), *tail)
    yield _case("no TLS behind a ClientHello", "a ClientHello, then DICOM without TLS", "broken-off", behind)
    for name, about, wire in (*_beneath(), ("plain DICOM", "a request that is not encrypted", talk.ask())):
        sent = Send(message=wire, beneath=True)
        yield _case(f"beneath: {name}", f"{about}, on an association", "broken-off", talk.begin(), sent, ENDED, ENDED)
        inside: tuple[Step, ...] = (*talk.begin(), Send(message=talk.ask()[:20]), sent)
        yield _case(f"in a PDU: {name}", f"{about}, in the middle of a PDU", "broken-off", inside, ENDED, ENDED)
    yield from _cut_records(talk)
    yield from _ends(talk)
    for name, about, wire in handshakes():
        yield _case(f"handshake: {name}", about, "broken-off", _BARE, Send(message=wire), *tail)
    if not learned.alone:
        many = tuple(
            step for number in range(8) for step in (Open(connection=number, bare=True),
                                                     Send(message=HELLO, connection=number))
        )  # fmt: skip
        about = "eight handshakes that stop behind the ClientHello; others are served"
        yield _case("handshakes that stop", about, "any", many, Check())
    small = (
        Open(), Send(message=talk.rq, piece=1), ACCEPTANCE, Send(message=talk.ask(), piece=1), ANSWER, *RELEASED,
    )  # fmt: skip
    yield _case("records of one byte", "records of one byte each, which are to be served", "served", small)


def _random(learned: Learned, random: Random) -> Conversation:
    """A ClientHello, or a record on an association, with a byte changed or cut off."""
    talk = Talk.of(learned)
    if random.random() < 0.7:
        wire = bytearray(random.choice([one for _, _, one in handshakes()]))
        wire[random.randrange(len(wire))] = random.randrange(256)
        sent = bytes(wire[: random.choice((len(wire), random.randrange(1, len(wire) + 1)))])
        return _case("any handshake", "a handshake with any byte changed", "broken-off", _BARE, Send(message=sent),
                     FIN, ENDED, ENDED)  # fmt: skip
    body = random.randbytes(random.choice((1, 16, 40, 2000)))
    sent = record(random.choice((CCS, ALERT, HANDSHAKE, DATA)), body)
    about = "a record of random bytes on an association"
    return _case("any record", about, "any", talk.begin(), Send(message=sent, beneath=True), ENDED, CLOSE)


def _calls(learned: Learned) -> Iterator[Conversation]:
    """For a peer that calls: in place of the server's handshake, and beside the records of an association."""
    provider = Side.PROVIDER
    server = _message(2, b"\3\3" + _RANDOM + _sized(_RANDOM, 1) + b"\x13\1\0" + _sized(b""))
    for name, about, wire in (
        ("plain DICOM", "an A-ASSOCIATE-AC without TLS", pdu(2, b"\0\1" + bytes(66))),
        ("HTTP", "HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("alert", "a fatal alert", record(ALERT, b"\2\x28")),
        ("warnings", "1,000 alerts that are warnings", record(ALERT, b"\1\x5a") * 1000),
        ("ServerHello", "a ServerHello without extensions", record(HANDSHAKE, server)),
        ("cut ServerHello", "a ServerHello that is cut", record(HANDSHAKE, server)[:-10]),
        ("giant message", "a handshake message of 16 MB", record(HANDSHAKE, _message(11, _FORGED, length=0xFFFFFF))),
        ("record too long", "a record of 65,535 bytes", record(HANDSHAKE, bytes(100), length=0xFFFF)),
        ("ClientHello", "a ClientHello of this side", HELLO),
        ("change cipher specs", "500 change_cipher_specs", record(CCS, b"\1") * 500),
        ("data", "application data", record(DATA, _FORGED)),
        ("zeros", "zeros", bytes(64)),
    ):
        sent = (Send(message=wire), FIN, ENDED, ENDED)
        about = f"{about} in place of the server's handshake"
        yield _case(f"handshake: {name}", about, "broken-off", _BARE, sent, side=provider)
    called = (Open(), Await(kinds=(1,)))
    plain = pdu(2, b"\0\1" + bytes(66))
    for name, about, wire in (*_beneath(), ("plain DICOM", "an A-ASSOCIATE-AC that is not encrypted", plain)):
        forged = (Send(message=wire, beneath=True), ENDED, ENDED)
        yield _case(f"beneath: {name}", f"{about}, in place of an answer", "broken-off", called, forged, side=provider)
        answered = (*called, Answer(), *forged)
        yield _case(f"associated: {name}", f"{about}, on an association", "broken-off", answered, side=provider)
    for how, end in (("FIN without close_notify", FIN), ("close_notify", End(how="notify"))):
        yield _case(how, f"{how} in place of an answer", "broken-off", called, end, ENDED, ENDED, side=provider)


def _any_call(learned: Learned, random: Random) -> Conversation:
    return drawn(random, _calls(learned))


FAMILIES: Final = (
    Family(
        name="tls",
        about="wrong handshakes, forged records, ends without close_notify; for a peer with TLS",
        systematic=_systematic,
        random=_random,
        tls=True,
    ),
    Family(
        name="tls-calls",
        about="the same for a peer that calls: wrong answers to its handshake, forged records",
        systematic=_calls,
        random=_any_call,
        side=Side.PROVIDER,
        tls=True,
    ),
)
