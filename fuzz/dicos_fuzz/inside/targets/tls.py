"""A target for the TLS layer against hostile bytes, as client and as server; `pairs` has faults between two layers.

Knows: what the layer documents. Must not know: sockets, rules of certificates.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from dicos_proto.association import Association
from dicos_proto.wire import Wire

from ...faults.memory import Side, converse
from ..cases import CASES, LIMITS
from ..certificates import HOST, available, configurations
from ..provider import Provider
from ..recorder import Recorder
from ..tape import STRUCTURED, Tape, raw
from ..target import Bounds, Target, Watch, check, words
from .engines import chunks

__all__ = ["TARGETS"]

_JUMPS: Final = 40
_STORE: Final = CASES[1]


def _layers() -> tuple[Association, Wire, Association, Wire]:
    from dicos_transports.tls.layer import TLSLayer

    client, server = configurations()
    user, provider = Association.requestor(_STORE.request, limits=LIMITS), Association.acceptor()
    return user, TLSLayer(user, client, server_hostname=HOST), provider, TLSLayer(provider, server)


# -- hostile bytes -----------------------------------------------------------------------------------------------


@cache
def _recorded() -> tuple[bytes, ...]:
    """The bytes that client and server send in a conversation."""
    user, user_layer, acceptor, provider_layer = _layers()
    one, other = Recorder(user_layer), Recorder(provider_layer)
    converse(Side(user, _STORE.run(user), wire=one), Side(acceptor, Provider().serve(acceptor), wire=other))
    return bytes(one.sent), bytes(other.sent)


def _hostile(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    kind = tape.byte()
    stream = tape.rest() if kind < STRUCTURED else _recorded()[kind & 1][: tape.below(8000)] + tape.rest()
    user, user_layer, acceptor, provider_layer = _layers()
    layer, association = (user_layer, user) if first & 1 else (provider_layer, acceptor)
    sent = 0
    now = 0.0

    def turn() -> None:
        nonlocal sent
        event = association.next_event()
        over = event is None or association.wants_close
        check(over, f"{type(event).__name__} from a peer that was not verified")
        while taken := layer.data_to_send():
            sent += sum(map(len, taken))

    for chunk in chunks(stream, how):
        if layer.wants_close or not layer.wants_read:
            break
        layer.receive_data(chunk)
        turn()
    for _ in range(_JUMPS if first & 2 else 0):
        deadline = layer.deadline(now)
        if layer.wants_close or deadline is None:
            break
        now = max(now, deadline.at)
        layer.handle_timeout(now)
        turn()
    layer.receive_eof()
    turn()
    check(layer.wants_close, f"not over after the end of the connection: {association.state.name}")
    error = str(getattr(layer, "error", None))
    watch(_cause(layer))
    check(error.isprintable(), f"a text that cannot be printed: {error!a}")
    check(sent <= 10_000 + 2 * len(stream), f"{sent} bytes sent for {len(stream)}")


def _hostile_tapes() -> list[bytes]:
    client, server = _recorded()
    found = [raw(bytes((side, how)), one) for side in (0, 1, 2, 3) for how in (0, 3) for one in (client, server)]
    others = (
        b"GET / HTTP/1.0\r\n\r\n",
        b"\1\0\0\0\0\x44",
        b"SSH-2.0-x\r\n",
        b"\x15\3\3\0\2\2\x28",
        b"\x16\3\1\xff\xff",
    )
    return [*found, *(raw(bytes((side, 0)), one) for side in (0, 1) for one in others)]


def _cause(layer: Wire) -> str:
    """The fault of a layer, without its numbers."""
    return words(str(getattr(layer, "error", "")).partition(": ")[2])


_BOUNDS: Final = Bounds(memory=4 << 20, memory_a_byte=64, time=1_000_000, time_a_byte=200)

TARGETS: Final = (
    (
        Target(
            name="tls-hostile",
            about="one TLS layer, client or server, against any bytes",
            body=_hostile,
            seeds=_hostile_tapes,
            words=(b"\x16\3\3\0", b"\x17\3\3\0\x20", b"\x15\3\3\0\2", b"\x14\3\3\0\1\1", b"\3\4", b"\xff\xff"),
            bounds=_BOUNDS,
            longest=32 << 10,
        ),
    )
    if available()
    else ()
)
