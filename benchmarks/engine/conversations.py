"""The measured conversations: echoes, small objects, large data sets and whole associations, both sides of each."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Final

from dicos_proto.association import Association
from dicos_proto.dimse.events import MessageData, MessageStart
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse, CStoreRequest, CStoreResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import ReleaseRequest, ReleaseResponse

from ..processes import Failed
from .pair import carry, established, wait

PIECE: Final = 512 << 10
"""About the number of bytes that a sender passes in one call."""
OBJECT: Final = bytes(1000)


def echoes(count: int, window: int) -> None:
    user, provider = established(window=window)
    for _ in range(count // window):
        for _ in range(window):
            request = CEchoRequest(
                message_id=user.operations.new_message_id(), affected_sop_class_uid=uids.VERIFICATION
            )
            user.send(MessageStart(context=1, command=request))
        carry(user, provider)
        wait(user)
        for _ in range(window):
            event = provider.next_event()
            if not isinstance(event, MessageStart) or not isinstance(event.command, CEchoRequest):
                raise Failed(f"no C-ECHO-RQ: {event}")
            asked = event.command
            response = CEchoResponse(
                message_id_being_responded_to=asked.message_id,
                status=0,
                affected_sop_class_uid=asked.affected_sop_class_uid,
            )
            provider.send(MessageStart(context=event.context, command=response))
        carry(provider, user)
        wait(provider)
        _take_responses(user, window)


def stores(count: int, window: int) -> None:
    """Objects of 1 kB, each an instance of its own."""
    user, provider = established(window=window)
    number = 0
    for _ in range(count // window):
        for _ in range(window):
            number += 1
            request = CStoreRequest(
                message_id=user.operations.new_message_id(),
                affected_sop_class_uid=uids.CT_IMAGE_STORAGE,
                affected_sop_instance_uid=f"2.25.{number}",
            )
            user.send(MessageStart(context=3, command=request, has_data=True))
            user.send(MessageData(context=3, data=OBJECT, last=True))
        carry(user, provider)
        wait(user)
        for _ in range(window):
            event = provider.next_event()
            if not isinstance(event, MessageStart) or not isinstance(event.command, CStoreRequest):
                raise Failed(f"no C-STORE-RQ: {event}")
            asked = event.command
            data = provider.next_event()
            if not isinstance(data, MessageData) or not data.last:
                raise Failed(f"no data set: {data}")
            response = CStoreResponse(
                message_id_being_responded_to=asked.message_id,
                status=0,
                affected_sop_class_uid=asked.affected_sop_class_uid,
                affected_sop_instance_uid=asked.affected_sop_instance_uid,
            )
            provider.send(MessageStart(context=event.context, command=response))
        carry(provider, user)
        wait(provider)
        _take_responses(user, window)


def _take_responses(user: Association, window: int) -> None:
    for _ in range(window):
        event = user.next_event()
        if not isinstance(event, MessageStart):
            raise Failed(f"no response: {event}")
    if user.operations.outstanding:
        raise Failed(f"{user.operations.outstanding} requests without a response")


def data_set(total: int, max_length: int, chunk: int) -> None:
    """`total` bytes, from one buffer that holds a whole number of PDUs, into events that are counted.

    `chunk` 0: the sent buffers are received as they are. Otherwise they are joined, as the kernel does, and
    received in chunks of that size."""
    user, provider = established(max_length)
    piece = full_piece(max_length)
    request = CStoreRequest(message_id=1, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="1.2")
    user.send(MessageStart(context=3, command=request, has_data=True))
    carry(user, provider)
    provider.next_event()
    count = total // len(piece)
    received = 0
    for number in range(1, count + 1):
        user.send(MessageData(context=3, data=piece, last=number == count))
        buffers = user.data_to_send()
        if chunk:
            joined = memoryview(b"".join(buffers))
            buffers = [joined[at : at + chunk] for at in range(0, len(joined), chunk)]
            for buffer in buffers:
                provider.receive_data(buffer)
                received += _drain(provider)
        else:
            for buffer in buffers:
                provider.receive_data(buffer)
            received += _drain(provider)
    if received != count * len(piece) or provider.operations.owed != 1:
        raise Failed(f"{received} bytes of {count * len(piece)} arrived")


def _drain(provider: Association) -> int:
    received = 0
    while (event := provider.next_event()) is not None:
        if not isinstance(event, MessageData):
            raise Failed(f"no data: {event}")
        received += len(event.data)
    provider.deadline(monotonic())
    return received


def full_piece(max_length: int) -> bytes:
    """A whole number of full PDUs."""
    return bytes((max_length - 6) * max(PIECE // max_length, 1))


def associations(count: int) -> None:
    """A-ASSOCIATE-RQ, -AC, A-RELEASE-RQ, -RP, and the connection closed."""
    for _ in range(count):
        user, provider = established()
        wait(user)
        wait(provider)
        user.send(ReleaseRequest())
        carry(user, provider)
        if not isinstance(provider.next_event(), ReleaseRequest):
            raise Failed("no A-RELEASE-RQ")
        provider.send(ReleaseResponse())
        carry(provider, user)
        user.next_event()
        provider.receive_eof()
        provider.next_event()
        if not (user.wants_close and provider.wants_close):
            raise Failed("not released")


def held_per_pdu() -> float:
    """The objects that stay alive for each PDU of a data set whose event is kept."""
    user, provider = established(16 << 10)
    request = CStoreRequest(message_id=1, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="1.2")
    user.send(MessageStart(context=3, command=request, has_data=True))
    user.send(MessageData(context=3, data=bytes(1000 * ((16 << 10) - 6)), last=False))
    while buffers := user.data_to_send():
        provider.receive_data(b"".join(buffers))
    kept = [provider.next_event()] * 1001
    before = sys.getallocatedblocks()
    for number in range(1000):
        kept[number] = provider.next_event()
    after = sys.getallocatedblocks()
    if not all(isinstance(event, MessageData) for event in kept[:1000]):
        raise Failed("no data")
    return (after - before) / 1000
