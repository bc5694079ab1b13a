"""Other protocols on the port of the peer: HTTP, TLS, SSH and noise [fault kind F12, as far as it needs no TLS].

Knows: how other protocols begin. Must not know: DICOM beyond an association.

Their first byte is not a PDU type, which a peer can see at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from ...conversation import Await, Check, Conversation, Open, Send, Step
from ..knowledge import Learned
from .family import Family
from .scripts import CLOSE, FIN, Talk, script

__all__ = ["FAMILIES", "GREETINGS"]

GREETINGS: Final = {
    "HTTP GET": b"GET / HTTP/1.1\r\nHost: archive\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n",
    "HTTP POST": b"POST /wado HTTP/1.1\r\nHost: archive\r\nContent-Length: 4294967295\r\n\r\n" + b"A" * 300,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "TLS ClientHello": bytes.fromhex(
        "1603010066010000620303000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f000004130113020100"
        "0035000a00040002001d000d000400020804002b0003020304003300260024001d0020"
    )
    + bytes(32),
    "TLS alert": bytes.fromhex("15030300020228"),
    "SSL 2 hello": bytes.fromhex("802e0100020015000000100100800700c0030080060040020080040080000000"),
    "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "SMTP": b"EHLO archive\r\n",
    "HL7 over MLLP": b"\x0bMSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.5\r\x1c\r",
    "proxy protocol": b"PROXY TCP4 127.0.0.1 127.0.0.1 50000 104\r\n",
    "proxy protocol 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
    "RDP": bytes.fromhex("0300002b26e00000000000436f6f6b69653a206d737473686173683d61646d696e0d0a01000800030000 00"),
    "SMB": bytes.fromhex("00000054ff534d4272000000001801c8") + bytes(68),
    "line feeds": b"\r\n\r\n\r\n\r\n",
    "zeros": bytes(64),
    "FF": b"\xff" * 64,
    "a DICOM file": bytes(128) + b"DICM" + bytes.fromhex("020000005 54c0400be000000".replace(" ", "")),
    "help": b"help\r\n",
}
"""The first bytes of other protocols by name."""


def _case(name: str, about: str, expect: str, *steps: Step | tuple[Step, ...]) -> Conversation:
    return script(f"foreign/{name}", about, "PS3.8 table 9-10, Evt19", expect, *steps)


def _systematic(learned: Learned) -> Iterator[Conversation]:
    talk = Talk.of(learned)
    refusal = Await(kinds=(3, 7))
    for name, data in GREETINGS.items():
        if not 1 <= data[0] <= 7:
            yield _case(name, f"{name} on a new connection", "refused", Open(), Send(message=data), refusal, CLOSE)
        else:
            yield _case(
                name,
                f"{name} on a new connection",
                "closes",
                Open(),
                Send(message=data),
                FIN,
                Await(kinds=(99,)),
                Await(kinds=(99,)),
            )
    for name, data in GREETINGS.items():
        if not 1 <= data[0] <= 7:
            about = f"{name} on an association"
            yield _case(f"{name}, established", about, "refused", talk.begin(), Send(message=data), refusal, CLOSE)
    for name in ("HTTP GET", "TLS ClientHello", "zeros"):
        many = tuple(
            step
            for number in range(8)
            for step in (Open(connection=number), Send(message=GREETINGS[name], connection=number))
        )
        yield _case(f"{name} eight times", f"{name} on eight connections; others are served", "any", many, Check())
    again = GREETINGS["HTTP GET"] * 20
    yield _case(
        "HTTP GET again and again",
        "HTTP GET twenty times in one write",
        "refused",
        Open(),
        Send(message=again),
        refusal,
        Await(kinds=(99,)),
        CLOSE,
    )


def _random(learned: Learned, random: Random) -> Conversation:
    data = random.randbytes(random.choice((1, 6, 20, 200, 2000)))
    return _case(
        "noise",
        "random bytes on a new connection, and the end",
        "closes",
        Open(),
        Send(message=data),
        FIN,
        Await(kinds=(99,)),
        Await(kinds=(99,)),
    )


FAMILIES: Final = (
    Family(
        name="foreign",
        about="HTTP, TLS, SSH and other protocols, and noise",
        systematic=_systematic,
        random=_random,
    ),
)
