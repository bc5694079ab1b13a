"""Probes of the limits of an association: PDUs, messages, queues.

Knows: the public calls that each limit stands behind. Must not know: data sets (`data_limits`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from struct import pack
from typing import Final

from dicos_proto.association import Association
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.invoking import ask
from dicos_proto.conversation.reading import DataSetTooLong, WholeLimit, read_data
from dicos_proto.data.elements import DataSetError
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse, CStoreRequest
from dicos_proto.errors import RemoteProtocolError
from dicos_proto.limits import OBJECT_COST, Limits
from dicos_proto.registry import status, uids
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateRequest,
    OperationsWindow,
    PData,
    ProposedContext,
    RoleSelection,
)

from ....grammar import echo, message, pdus_of
from ....grammar.building import p_data
from ...model import menu
from .probes import Probe

__all__ = ["PROBES", "established"]

CT: Final = uids.CT_IMAGE_STORAGE
PLAIN: Final = menu.REQUESTS[0]
_STORE: Final = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def refusal(engine: Association, data: bytes) -> str | None:
    """Feeds bytes. Returns the name of the limit that ended the association, "another fault", or None."""
    engine.receive_data(data)
    while (event := engine.next_event()) is not None and not isinstance(event, Closed):
        if isinstance(event, ProviderAbort):
            error = event.error
            return (isinstance(error, RemoteProtocolError) and error.limit) or "another fault"
    return None


def established(
    limits: Limits,
    asked: AssociateRequest = PLAIN,
    *,
    role: str = "acceptor",
    variant: int = 0,
    timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen values
) -> Association:
    """Returns an engine in Sta6, its bytes taken."""
    if role == "acceptor":
        engine = Association.acceptor(limits=limits, timeouts=timeouts)
        assert refusal(engine, encode(asked)) is None
        engine.send(menu.answer(asked, variant))
    else:
        engine = Association.requestor(asked, limits=limits, timeouts=timeouts)
        assert refusal(engine, encode(menu.answer(asked, variant))) is None
    while engine.data_to_send():
        pass
    return engine


def _asked(limits: Limits, request: bytes) -> str | None:
    return refusal(Association.acceptor(limits=limits), request)


# -- A-ASSOCIATE -----------------------------------------------------------------------------------------------------


def _with_items(items: bytes) -> bytes:
    """An A-ASSOCIATE-RQ with these items at its end."""
    raw = encode(PLAIN)
    return raw[:2] + (len(raw) - 6 + len(items)).to_bytes(4, "big") + raw[6:] + items


def _associate_pdu(distance: int) -> str | None:
    whole = _with_items(b"\x99\0" + (500).to_bytes(2, "big") + bytes(500))
    return _asked(Limits(associate_pdu=len(whole) - 6 - distance), whole)


def _contexts(distance: int) -> str | None:
    one = PLAIN.contexts[0]
    contexts = tuple(replace(one, id=2 * number + 1) for number in range(5 + distance))
    return _asked(Limits(contexts=5), encode(replace(PLAIN, contexts=contexts)))


def _transfer_syntaxes(distance: int) -> str | None:
    context = ProposedContext(
        id=1, abstract_syntax=CT, transfer_syntaxes=tuple(f"1.2.{number}" for number in range(5 + distance))
    )
    return _asked(Limits(transfer_syntaxes=5), encode(replace(PLAIN, contexts=(context,))))


def _unknown_items(distance: int) -> str | None:
    return _asked(Limits(unknown_items=5), _with_items(bytes.fromhex("99000000") * (5 + distance)))


def _user_items(distance: int) -> str | None:
    own = 3  # Maximum Length, implementation class and version
    roles = tuple(RoleSelection(sop_class_uid=f"1.2.{n}", scu=True, scp=True) for n in range(7 - own + distance))
    return _asked(
        Limits(user_items=7), encode(replace(PLAIN, user_information=replace(PLAIN.user_information, roles=roles)))
    )


def _uid(distance: int) -> str | None:
    uid = "1.2." + "3" * (36 + distance)
    context = ProposedContext(id=1, abstract_syntax=uid, transfer_syntaxes=("1.2",))
    user = replace(PLAIN.user_information, implementation_class_uid="1.2")
    short = replace(PLAIN, contexts=(context,), user_information=user)
    return _asked(Limits(uid=40), encode(short))


def _peer_max_length(distance: int) -> str | None:
    """The smallest Maximum Length of an acceptor: here, less is too little."""
    asks = Association.requestor(PLAIN, limits=Limits(peer_max_length=1000))
    accept = menu.answer(PLAIN, 0)
    assert isinstance(accept, AssociateAccept)
    user = replace(accept.user_information, max_length=1000 - distance)
    return refusal(asks, encode(replace(accept, user_information=user)))


# -- P-DATA-TF and messages ------------------------------------------------------------------------------------------


def _max_length(distance: int) -> str | None:
    """The Maximum Length that was advertised: 100 by the second policy of the menu."""
    engine = established(Limits(), variant=1)
    return refusal(engine, p_data((1, True, False, bytes(100 + distance - 6))))


def _command_set(distance: int) -> str | None:
    return refusal(established(Limits(command_set=200)), p_data((1, True, False, bytes(200 + distance))))


def _command_fragments(distance: int) -> str | None:
    raw = encode_command(CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION), has_data=False)
    count = 5 + distance
    pieces = [raw[at : at + 10] for at in range(0, 10 * (count - 1), 10)] + [raw[10 * (count - 1) :]]
    return refusal(
        established(Limits(command_fragments=5)),
        p_data(*((1, True, number == count, piece) for number, piece in enumerate(pieces, 1))),
    )


def _empty_pdvs(distance: int) -> str | None:
    return refusal(established(Limits(empty_pdvs=5)), p_data(*[(1, True, False, b"")] * (5 + distance)))


def _outstanding(distance: int) -> str | None:
    """The operations of a peer with an unlimited window: the third request of the menu, answered with no limit."""
    asked = menu.REQUESTS[2]
    engine = Association.acceptor(limits=Limits(outstanding=5))
    assert refusal(engine, encode(asked)) is None
    policy = replace(menu.POLICIES[0], window=OperationsWindow(invoked=0, performed=0))
    engine.send(negotiate(asked, policy))
    return refusal(engine, b"".join(echo(1, number) for number in range(1, 6 + distance)))


def _window(distance: int) -> str | None:
    """The window that was agreed: 2 by the second request and the first policy of the menu."""
    engine = established(Limits(), menu.REQUESTS[1])
    return refusal(engine, b"".join(echo(1, number) for number in range(1, 3 + distance)))


# -- whole data sets, parking, queues --------------------------------------------------------------------------------


def _whole(limit: WholeLimit, distance: int) -> str | None:
    """A data set that the caller reads whole."""
    engine = established(Limits(**{limit: 300}))
    exchange = Exchange(engine)
    engine.receive_data(b"".join(message(3, _STORE, bytes(300 + distance), max_length=64)))
    assert isinstance(next(_stepped(exchange)), MessageStart)
    try:
        for _ in read_data(exchange, limit):
            raise AssertionError("all of it is there")
    except DataSetTooLong as too_long:
        return too_long.limit
    return None


def _stepped(exchange: Exchange) -> Iterator[object]:
    while True:
        yield exchange.poll()


def _parked(distance: int) -> str | None:
    """A request of the peer that comes while a response is awaited: held, or refused with status 0213H."""
    engine = established(Limits(parked=1000), menu.REQUESTS[1], role="requestor")
    exchange = Exchange(engine)
    flow = ask(exchange, 1, CEchoRequest(message_id=7, affected_sop_class_uid=uids.VERIFICATION))
    next(flow)
    content = bytes(1000 - 2 * OBJECT_COST + distance)
    response = CEchoResponse(message_id_being_responded_to=7, status=0)
    engine.receive_data(b"".join((*message(3, _STORE, content), *message(1, response))))
    for _ in flow:
        pass
    sent = b"".join(buffer for part in iter(engine.data_to_send, []) for buffer in part)
    refusal = bytes.fromhex("0000000902000000") + status.RESOURCE_LIMITATION.to_bytes(2, "little")  # (0000,0900)
    return "parked" if refusal in sent else None


def _received_ahead(distance: int) -> str | None:
    engine = established(Limits(received_ahead=300))
    engine.receive_data(bytes(300 + distance))
    return None if engine.wants_read else "received_ahead"


def _received_pieces(distance: int) -> str | None:
    engine = established(Limits(received_pieces=5))
    for _ in range(5 + distance):
        engine.receive_data(b"\4")
    return None if engine.wants_read else "received_pieces"


def _queued(distance: int) -> str | None:
    """Bytes that wait to be sent; only the last piece of a data set may have an odd length."""
    engine = established(Limits(queued=300), role="requestor")
    engine.send(MessageStart(context=3, command=_STORE, has_data=True))
    room = 300 - engine.bytes_queued - 12  # both headers of a P-DATA-TF
    engine.send(MessageData(context=3, data=bytes(room + distance), last=True))
    return "queued" if Exchange(engine).over_high_water else None


def _outgoing_pdu(distance: int) -> str | None:
    """To a peer without a Maximum Length, P-DATA-TFs are no longer than this: what is longer is cut."""
    asked = menu.REQUESTS[2]  # it says 0, unlimited
    engine = established(Limits(outgoing_pdu=3006), replace(asked, contexts=PLAIN.contexts))
    assert refusal(engine, echo()) is None
    answer = CEchoResponse(message_id_being_responded_to=1, status=0)
    own = len(encode_command(answer, has_data=False))
    padded = replace(answer, other=((0x5010, bytes(3000 - own - 8 + 2 * distance)),))
    engine.send(MessageStart(context=1, command=padded))
    sent = b"".join(buffer for part in iter(engine.data_to_send, []) for buffer in part)
    pdus = [decode(one) for one in pdus_of(sent)]
    assert all(isinstance(one, PData) for one in pdus)
    return "outgoing_pdu" if len(pdus) > 1 else None


def _pixels(distance: int) -> str | None:
    """Pixel data that is received into memory."""
    from dicos_proto.dicos.content import Decoder

    length = 300 + 2 * distance
    decoder = Decoder(uids.IMPLICIT_VR_LE, Limits(pixels=300))
    try:
        decoder.feed(pack("<HHL", 0x7FE0, 0x0010, length) + bytes(length))
        decoder.finish()
    except DataSetError as fault:
        return "pixels" if "pixels" in str(fault) else str(fault)
    return None


PROBES: Final = (
    Probe("associate_pdu", _associate_pdu),
    Probe("contexts", _contexts),
    Probe("transfer_syntaxes", _transfer_syntaxes),
    Probe("unknown_items", _unknown_items),
    Probe("user_items", _user_items),
    Probe("uid", _uid),
    Probe("peer_max_length", _peer_max_length),
    Probe("max_length", _max_length),
    Probe("command_set", _command_set),
    Probe("command_fragments", _command_fragments),
    Probe("empty_pdvs", _empty_pdvs),
    Probe("outstanding", _outstanding),
    Probe("window", _window),
    Probe("collected", lambda distance: _whole("collected", distance)),
    Probe("pixels", _pixels),
    Probe("attributes", lambda distance: _whole("attributes", distance)),
    Probe("parked", _parked),
    Probe("received_ahead", _received_ahead, holds_at=False),
    Probe("received_pieces", _received_pieces),
    Probe("queued", _queued, holds_at=False),
    Probe("outgoing_pdu", _outgoing_pdu),
)
"""The probes of all limits that an association has."""
