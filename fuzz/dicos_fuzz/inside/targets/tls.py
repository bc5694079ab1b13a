"""Targets for the TLS layer: hostile bytes to one side, and damage to the records between two.

Knows: what the layer documents, and that nothing may arrive that was not sent. Must not know: sockets, certificates'
rules.

OpenSSL draws random numbers, so the records of two runs differ: a tape shows the same damage at the same byte numbers.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Final

from dicos_proto.association import Association
from dicos_proto.conversation.flows import AssociationError
from dicos_proto.limits import Limits
from dicos_proto.wire import Wire

from ..cases import CASES
from ..certificates import HOST, available, configurations
from ..damage import Damage
from ..pairing import Party, run_pair
from ..provider import Provider
from ..tape import STRUCTURED, Tape, raw
from ..target import Bounds, Target, Watch, check, words
from .engines import chunks

__all__ = ["TARGETS"]

_JUMPS: Final = 40
_ECHO, _STORE = CASES[0], CASES[1]
_LIMITS: Final = Limits(peer_max_length=8)


def _layers() -> tuple[Association, Wire, Association, Wire]:
    from dicos_transports.tls.layer import TLSLayer

    client, server = configurations()
    user, provider = Association.requestor(_STORE.request, limits=_LIMITS), Association.acceptor()
    return user, TLSLayer(user, client, server_hostname=HOST), provider, TLSLayer(provider, server)


# -- between two -------------------------------------------------------------------------------------------------


def _faults(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    user, user_layer, acceptor, provider_layer = _layers()
    to_provider, to_user = Damage(tape, 6000), Damage(tape, 6000)
    provider = Provider()
    parties = (
        Party(user, _STORE.run(user), user_layer),
        Party(acceptor, provider.serve(acceptor), provider_layer),
    )
    run_pair(*parties, within=(AssociationError,), to_provider=to_provider.alter, to_user=to_user.alter)
    for party in parties:
        watch((party.association.terms.role, party.error is None))
        if party.error is not None:
            watch.fault(party.error)
            check(str(party.error).isprintable(), f"a text that cannot be printed: {party.error!a}")
    whole = all(party.error is None for party in parties)
    harmed = to_provider.struck or to_user.struck
    check(harmed or whole, f"chunks alone ended it: {[str(party.error) for party in parties]}")
    sent = _sent()
    for _, _, stored in provider.stored:
        check(stored == sent, f"{len(stored)} bytes stored, which were not sent")
    for layer in (user_layer, provider_layer):
        watch(_cause(layer))


def _cause(layer: Wire) -> str:
    """The fault of a layer, without its numbers."""
    return words(str(getattr(layer, "error", "")).partition(": ")[2])


@cache
def _sent() -> bytes:
    """The data set that `_STORE` sends."""
    user, acceptor = Association.requestor(_STORE.request, limits=_LIMITS), Association.acceptor()
    provider = Provider()
    run_pair(Party(user, _STORE.run(user)), Party(acceptor, provider.serve(acceptor)), within=())
    return provider.stored[0][2]


# -- hostile bytes -----------------------------------------------------------------------------------------------


@cache
def _recorded() -> tuple[bytes, ...]:
    """The bytes that client and server send in a conversation."""
    user, user_layer, acceptor, provider_layer = _layers()
    flows = Party(user, _STORE.run(user), user_layer), Party(acceptor, Provider().serve(acceptor), provider_layer)
    return run_pair(*flows, within=())


def _hostile(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    first, how = tape.byte(), tape.byte()
    kind = tape.byte()
    stream = tape.rest() if kind < STRUCTURED else _recorded()[kind & 1][: tape.below(8000)] + tape.rest()
    user, user_layer, acceptor, provider_layer = _layers()
    layer, association = (user_layer, user) if first & 1 else (provider_layer, acceptor)
    events = sent = 0
    now = 0.0

    def turn() -> None:
        nonlocal events, sent
        while association.next_event() is not None and not association.wants_close:
            events += 1
            check(events < 100, "events without end")
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
    check(events <= 3, f"{events} events without a peer that was verified")
    check(sent <= 10_000 + 2 * len(stream), f"{sent} bytes sent for {len(stream)}")


def _fault_tapes() -> list[bytes]:
    found = [b"", b"\1\1\x05\x00\0", b"\0\1\2\3\0\7"]
    for kind in range(1, 8):
        for at in (0, 5, 300, 700, 1500, 2600, 3500):
            found.append(bytes((1, kind)) + at.to_bytes(2, "big") + b"\x03")
            found.append(bytes((0, 1, kind)) + at.to_bytes(2, "big") + b"\x20")
    return found


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


def _made(random: Random) -> bytes:
    count = 1 + random.randrange(3)
    one = b"".join(
        bytes((random.randrange(8),)) + random.randrange(6000).to_bytes(2, "big") + random.randbytes(1)
        for _ in range(count)
    )
    return bytes((count,)) + one + bytes((0,)) if random.random() < 0.5 else bytes((0, count)) + one


_BOUNDS: Final = Bounds(memory=4 << 20, memory_a_byte=64, time=1_000_000, time_a_byte=200)

TARGETS: Final = (
    (
        Target(
            name="tls-faults",
            about="two TLS layers with damage to the records between them",
            body=_faults,
            seeds=_fault_tapes,
            made=_made,
            bounds=_BOUNDS,
            longest=64,
        ),
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
