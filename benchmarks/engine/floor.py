"""The floor: the bytes of the same conversations, packed and unpacked by bare `struct`, nothing checked."""

from __future__ import annotations

from struct import Struct

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import Command

from ..processes import Failed
from .conversations import full_piece

_PDV = Struct(">BxLLBB")
_ELEMENT_US = Struct("<HHLH")


def message_floor(count: int, requests: tuple[bytes, bytes], response: bytes, data: bytes = b"") -> None:
    """The same messages, of which only the message id is read: the floor for a program that knows all the rest.

    `requests`: the command set before and after the value of its message id; `response`: a complete one."""
    before, after = requests
    at = len(before)
    size = at + 2 + len(after)
    for number in range(count):
        sent = [_PDV.pack(4, size + 6, size + 2, 1, 3), before, (number & 0xFFFF).to_bytes(2, "little"), after]
        if data:
            sent += [_PDV.pack(4, len(data) + 6, len(data) + 2, 1, 2), data]
        received = memoryview(b"".join(sent))
        _, _, length, _, _ = _PDV.unpack_from(received)
        command = received[12 : 10 + length]
        int.from_bytes(command[at : at + 2], "little")
        if data:
            _, _, length, _, _ = _PDV.unpack_from(received, 12 + size)
            received[24 + size :]
        answer = b"".join([_PDV.pack(4, len(response) + 6, len(response) + 2, 1, 3), response])
        _, _, length, _, _ = _PDV.unpack_from(answer)
        _ELEMENT_US.unpack_from(answer, len(answer) - _ELEMENT_US.size)


def data_floor(total: int, max_length: int, chunk: int) -> None:
    """The same PDUs: a header packed, a view cut, the header unpacked, the view cut again; `chunk`: copied between."""
    view = memoryview(full_piece(max_length))
    fragment = max_length - 6
    received = 0
    for _ in range(total // len(view)):
        buffers: list[bytes | memoryview] = []
        for at in range(0, len(view), fragment):
            buffers.append(_PDV.pack(4, fragment + 6, fragment + 2, 3, 0))
            buffers.append(view[at : at + fragment])
        if chunk:
            joined = memoryview(b"".join(buffers))
            at = 0
            while at < len(joined):
                _, _, length, _, _ = _PDV.unpack_from(joined, at)
                received += len(joined[at + 12 : at + 10 + length])
                at += 10 + length
        else:
            for head, data in zip(buffers[::2], buffers[1::2], strict=True):
                _, _, length, _, _ = _PDV.unpack(head)
                received += len(data[: length - 2])
    if received != total // len(view) * len(view):
        raise Failed("the floor lost bytes")


def halves(command: Command, *, has_data: bool) -> tuple[bytes, bytes]:
    """A command set before and after the value of its message id (0000,0110)."""
    encoded = encode_command(command, has_data=has_data)
    at = encoded.index(bytes.fromhex("00001001 02000000")) + 8
    return encoded[:at], encoded[at + 2 :]
