"""A scripted client over a plain socket, for the tests of the broken provider: it sends any PDUs, and reads PDUs."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from dicos_fuzz.broken import DEFECTS, NONE, Hooks, Provider
from dicos_fuzz.grammar import building
from dicos_fuzz.grammar.building import Offer
from dicos_proto import dimse
from dicos_proto.dimse.codec import decode_command
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import decode
from dicos_proto.upper_layer.pdu_types import PData, RoleSelection, UserInformation

ILE = uids.IMPLICIT_VR_LE
CT = uids.CT_IMAGE_STORAGE
ECHO, STORE, FIND, GET, DEFLATED = 1, 3, 5, 7, 9
"""The contexts of the usual offer."""
CONTEXTS = (
    (uids.VERIFICATION, (ILE,)), (CT, (ILE,)), (uids.STUDY_ROOT_FIND, (ILE,)), (uids.STUDY_ROOT_GET, (ILE,)),
    (uids.SECONDARY_CAPTURE_IMAGE_STORAGE, (uids.DEFLATED_EXPLICIT_VR_LE,)),
)  # fmt: skip
ROLES = (RoleSelection(sop_class_uid=CT, scu=True, scp=True),)
REQUEST = building.request(Offer(contexts=CONTEXTS, user_information=UserInformation(roles=ROLES)))
RELEASE_RQ, RELEASE_RP = b"\x05\0\0\0\0\4\0\0\0\0", b"\x06\0\0\0\0\4\0\0\0\0"
ABORT = b"\x07\0\0\0\0\4\0\0\0\0"
RQ, AC, RJ, P_DATA, RP, AB = 1, 2, 3, 4, 6, 7
CLOSED, SILENT = "closed", "silent"
UID = "1.2.826.0.1.3680043.8.1055.1.7"
BRIEF = 0.3
"""Seconds of silence after which no answer is to be expected on loopback."""


@contextmanager
def serving(name: str) -> Iterator[int]:
    """A provider with this defect in threads of this process. Yields its port."""
    hooks = Hooks() if name == NONE else DEFECTS[name].hooks()
    with Provider(hooks) as provider:
        yield provider.port


class Client:
    """One connection. `say` sends; `hear` reads the next PDU, as its bytes, CLOSED or SILENT."""

    def __init__(self, port: int, request: bytes | None = REQUEST, answer: int = AC) -> None:
        """With a request, reads the answer to it, which is a PDU of this type."""
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        if request is not None:
            self.say(request)
            assert self.kind() == answer

    def say(self, *pdus: bytes) -> Self:
        self._sock.sendall(b"".join(pdus))
        return self

    def hear(self, seconds: float = 10) -> bytes | str:
        self._sock.settimeout(seconds)
        try:
            head = self._exactly(6)
            return head + self._exactly(int.from_bytes(head[2:], "big")) if head else CLOSED
        except TimeoutError:
            return SILENT
        except ConnectionResetError:
            return CLOSED

    def kind(self, seconds: float = 10) -> int | str:
        """The type of the next PDU."""
        heard = self.hear(seconds)
        return heard if isinstance(heard, str) else heard[0]

    def response(self, seconds: float = 10) -> tuple[int, dimse.DimseResponse] | int | str:
        """The context and the command set of the next message; the PDU type of anything else."""
        heard = self.hear(seconds)
        if isinstance(heard, str) or heard[0] != P_DATA:
            return heard if isinstance(heard, str) else heard[0]
        found = decode(heard)
        assert isinstance(found, PData)
        command = decode_command(found.pdvs[0].data)[0]
        assert isinstance(command, dimse.DimseResponse)
        return found.pdvs[0].context, command

    def status(self, seconds: float = 10) -> int | str:
        """The status of the next response; the PDU type of anything else, negative."""
        found = self.response(seconds)
        return found[1].status if isinstance(found, tuple) else found if isinstance(found, str) else -found

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            more = self._sock.recv(count - len(found))
            if not more:
                return b""
            found += more
        return found

    def release(self) -> None:
        self.say(RELEASE_RQ)
        assert self.kind() == RP
        self.close()

    def reset(self) -> None:
        """RST in place of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def abort(self) -> None:
        """A-ABORT, and waits until the provider has closed."""
        self.say(ABORT)
        assert self.hear() == CLOSED
        self.close()

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def echo(port: int, seconds: float = 10) -> int | str:
    """The status of a good C-ECHO; CLOSED or SILENT; -3 for a rejection."""
    with Client(port, None) as client:
        client.say(building.request(Offer()))
        kind = client.kind(seconds)
        if kind != AC:
            return kind if isinstance(kind, str) else -kind
        status = client.say(building.echo()).status(seconds)
        client.say(RELEASE_RQ).hear(seconds)
        return status


def element(tag: int, value: bytes) -> bytes:
    """An element in implicit VR."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def image(size: int = 600, uid: str = UID, sop_class: str = CT) -> bytes:
    """A data set in implicit VR, with `size` bytes of pixels."""
    return (
        element(0x00080016, sop_class.encode())
        + element(0x00080018, uid.encode())
        + element(0x0020000D, b"1.2.3")
        + element(0x7FE00010, bytes(index % 251 for index in range(size)))
    )


def store(
    data: bytes, *, context: int = STORE, number: int = 1, uid: str = UID, sop_class: str = CT, max_length: int = 16_384
) -> tuple[bytes, ...]:
    """The P-DATA-TFs of a C-STORE."""
    command = dimse.CStoreRequest(
        message_id=number, affected_sop_class_uid=sop_class, affected_sop_instance_uid=uid
    )  # fmt: skip
    return building.message(context, command, data, max_length=max_length)


def find(number: int = 1, context: int = FIND, key: bytes = b"") -> tuple[bytes, ...]:
    """The P-DATA-TFs of a C-FIND."""
    command = dimse.CFindRequest(message_id=number, affected_sop_class_uid=uids.STUDY_ROOT_FIND)
    return building.message(context, command, element(0x00080018, key) + element(0x00080052, b"IMAGE "))


def cancel(number: int, context: int = FIND) -> bytes:
    """The P-DATA-TF of a C-CANCEL."""
    return building.message(context, dimse.CCancelRequest(message_id_being_responded_to=number))[0]


def pdvs_of(pdu: bytes) -> bytes:
    """The content of a P-DATA-TF, to be put into another one."""
    return pdu[6:]


def together(*pdus: bytes) -> bytes:
    """One P-DATA-TF with the PDVs of several."""
    body = b"".join(map(pdvs_of, pdus))
    return b"\x04\0" + len(body).to_bytes(4, "big") + body
