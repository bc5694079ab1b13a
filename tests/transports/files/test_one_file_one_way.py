"""One file is the same instance, by `send_file`, `dicos storescu`, and an `Application` asked by C-GET or C-MOVE.

The tests compare the bytes that a peer receives by each of them, also with the values that pydicom reads from the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicos_proto.conversation.flows import ContextNotAccepted
from dicos_proto.conversation.planning import ProposedService, contexts_for
from dicos_proto.data.datasets import decode_object, encode
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu_types import UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports import files
from dicos_transports.application import Application
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.cli import main
from dicos_transports.files.writer import file_header
from tests.transports.application.applications import GET, MOVE, dataset, image
from tests.transports.connections import CT, EXPLICIT, server

IMPLICIT, DEFLATED, JPEG, BIG = (
    uids.IMPLICIT_VR_LE,
    uids.DEFLATED_EXPLICIT_VR_LE,
    uids.JPEG_BASELINE,
    uids.EXPLICIT_VR_BE,
)
EXTENDED = uids.DICOS_EXPLICIT_VR_LE_EXTENDED
CONVERTED = {EXPLICIT, IMPLICIT, DEFLATED, EXTENDED}
ODD = {EXPLICIT: b"\x10\0\x10\0PN\3\0Doe", IMPLICIT: b"\x10\0\x10\0\3\0\0\0Doe"}
"""An element whose value has an odd length, before those that `image` has."""
Got = tuple[str, bytes]


def odd(syntax: str) -> bytes:
    """The data set of `image(1)` with an odd value."""
    whole = encode(image(1), syntax)
    at = whole.index(b"\x10\0\x20\0")
    return whole[:at] + ODD[syntax] + whole[at:]


def deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def odd_deflated() -> bytes:
    """A deflated data set of odd length, which its writer should have padded [PS3.5 A.5]."""
    names = ("x" * length for length in range(100))
    return next(one for name in names if len(one := deflated(encode(image(1, PatientName=name), EXPLICIT))) % 2)


CONTENTS = {
    "explicit": (EXPLICIT, encode(image(1), EXPLICIT)),
    "implicit": (IMPLICIT, encode(image(1), IMPLICIT)),
    "deflated": (DEFLATED, odd_deflated()),
    "JPEG": (JPEG, encode(image(1), EXPLICIT)),
    "big endian": (BIG, encode(image(1), BIG)),
    "odd explicit": (EXPLICIT, odd(EXPLICIT)),
    "odd implicit": (IMPLICIT, odd(IMPLICIT)),
    "extended": (EXTENDED, encode(image(1, PixelData=bytes(4), BitsAllocated=16), EXTENDED)),
    "large explicit": (EXPLICIT, encode(image(1, PixelData=bytes(300_000), BitsAllocated=16), EXPLICIT)),
}  # fmt: skip


@contextmanager
def taking(*accepted: str) -> Iterator[tuple[int, list[Got]]]:
    """A server that accepts these transfer syntaxes: its port, and what it has received."""
    got: list[Got] = []

    def keep(session: Session) -> None:
        for request in session:
            if isinstance(request, StoreRequest):
                got.append((request.transfer_syntax, b"".join(bytes(piece) for piece in request.data())))
            request.respond()

    with server(keep, policy=AcceptPolicy(other_contexts=accepted)) as running:
        yield running.port, got


def sent_over(session: Session, file: files.Part10File) -> None:
    with suppress(ContextNotAccepted):
        assert files.send_file(session, file).status == 0


def by_send_file(path: Path, accepted: str) -> list[Got]:
    proposal = contexts_for([ProposedService(sop_classes=(CT,), transfer_syntaxes=(accepted,))])
    with taking(accepted) as (port, got), connect(("127.0.0.1", port), proposal.contexts) as session:
        sent_over(session, files.inspect(path))
    return got


def by_storescu(path: Path, accepted: str) -> list[Got]:
    with taking(accepted) as (port, got):
        main(["storescu", "-q", "-x", accepted, "127.0.0.1", str(port), str(path)])
    return got


def by_get(path: Path, accepted: str) -> list[Got]:
    app, got = Application("ARCHIVE"), list[Got]()
    app.on_get(GET, sends=(CT,), transfer_syntaxes=(accepted,))(lambda asked: [path])
    proposal = contexts_for([
        ProposedService(sop_classes=(GET,), transfer_syntaxes=(EXPLICIT,)),
        ProposedService(sop_classes=(CT,), transfer_syntaxes=(accepted,), scu=False, scp=True),
    ])  # fmt: skip
    information = UserInformation(roles=proposal.roles)
    with (
        app.serve(("127.0.0.1", 0)) as running,
        connect(("127.0.0.1", running.port), proposal.contexts, user_information=information) as session,
    ):
        for request in session.get(GET, dataset(PatientID="1")):
            got.append((request.transfer_syntax, bytes(request.read())))
            request.respond()
    return got


def by_planned_send_file(path: Path, accepted: str) -> list[Got]:
    (batch,) = files.plan([files.inspect(path)])
    with taking(accepted) as (port, got), connect(("127.0.0.1", port), batch.contexts) as session:
        sent_over(session, *batch.files)
    return got


def by_planned_storescu(path: Path, accepted: str) -> list[Got]:
    with taking(accepted) as (port, got):
        main(["storescu", "-q", "127.0.0.1", str(port), str(path)])
    return got


def by_move(path: Path, accepted: str) -> list[Got]:
    app = Application("ARCHIVE")
    app.on_move(MOVE)(lambda asked: [path])
    proposal = contexts_for([ProposedService(sop_classes=(MOVE,), transfer_syntaxes=(EXPLICIT,))])
    with taking(accepted) as (port, got):
        app.destinations["THIRD"] = ("127.0.0.1", port)
        with (
            app.serve(("127.0.0.1", 0)) as running,
            connect(("127.0.0.1", running.port), proposal.contexts) as session,
        ):
            assert len(list(session.move(MOVE, "THIRD", dataset(PatientID="1")))) <= 1
    return got


def same(ways: list[Callable[[Path, str], list[Got]]], path: Path, accepted: str) -> list[Got]:
    """Returns the instances that arrive, the same in each of these ways."""
    first, *others = [way(path, accepted) for way in ways]
    for way, other in zip(ways[1:], others, strict=True):
        assert other == first, way.__name__
    return first


def decoded(syntax: str, data: bytes) -> Dataset:
    if syntax == EXTENDED:  # pydicom does not know it
        return decode_object(data, syntax)
    found: Any = dcmread(BytesIO(file_header(CT, "1.2.1", syntax) + data))
    return Dataset(found)


@pytest.mark.parametrize("accepted", [EXPLICIT, IMPLICIT, DEFLATED, JPEG, BIG, EXTENDED], ids=uids.name_of)
@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_is_the_same_instance_whoever_sends_it(tmp_path: Path, content: str, accepted: str) -> None:
    own, data = CONTENTS[content]
    path = tmp_path / "a.dcm"
    path.write_bytes(file_header(CT, "1.2.1", own) + data)

    arrived = same([by_send_file, by_storescu, by_get], path, accepted)
    possible = own == accepted or {own, accepted} <= CONVERTED
    assert [syntax for syntax, _ in arrived] == [accepted] * possible
    for syntax, received in arrived:
        assert len(received) % 2 == 0
        assert decoded(syntax, received) == decoded(own, data)
        if syntax == own and not content.startswith("odd"):
            assert received == data + b"\0" * (len(data) % 2)

    planned = same([by_planned_send_file, by_planned_storescu, by_move], path, accepted)
    rare = accepted in (DEFLATED, EXTENDED)
    assert planned == ([] if rare and accepted != own else arrived), "they are proposed for what is in them"


def test_a_file_that_cannot_be_converted_is_noticed_before_it_is_sent(tmp_path: Path) -> None:
    """By each sender: its association goes on."""
    path = tmp_path / "a.dcm"
    path.write_bytes(file_header(CT, "1.2.1", IMPLICIT) + b"\x08\0\x18\0\xff\xff\0\0" + bytes(20))
    proposal = contexts_for([ProposedService(sop_classes=(CT,), transfer_syntaxes=(EXPLICIT,))])
    with taking(EXPLICIT) as (port, got), connect(("127.0.0.1", port), proposal.contexts) as session:
        with pytest.raises(files.Part10Error):
            files.send_file(session, files.inspect(path))
        assert session.established
    assert by_storescu(path, EXPLICIT) == got == []

    app = Application("ARCHIVE")
    app.on_get(GET, sends=(CT,), transfer_syntaxes=(EXPLICIT,))(lambda asked: [path])
    proposal = contexts_for([
        ProposedService(sop_classes=(GET, uids.VERIFICATION), transfer_syntaxes=(EXPLICIT,)),
        ProposedService(sop_classes=(CT,), transfer_syntaxes=(EXPLICIT,), scu=False, scp=True),
    ])  # fmt: skip
    information = UserInformation(roles=proposal.roles)
    with (
        app.serve(("127.0.0.1", 0)) as running,
        connect(("127.0.0.1", running.port), proposal.contexts, user_information=information) as session,
    ):
        answers = session.get(GET, dataset(PatientID="1"))
        assert list(answers) == []
        assert answers.operation.result is not None
        assert answers.response.status == 0x0110
        assert session.echo().status == 0
