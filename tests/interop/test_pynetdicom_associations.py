"""pynetdicom and ours, both ways: negotiation, PDU sizes, refusals and ends."""

from pathlib import Path

import pytest

from dicos_proto import propose
from dicos_proto.conversation.flows import AssociationRejected, ContextNotAccepted
from dicos_proto.registry import uids
from dicos_proto.registry.status import OUT_OF_RESOURCES, SUCCESS
from dicos_proto.upper_layer.pdu_types import AssociateRequest, OperationsWindow, UserIdentity, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityPolicy, Roles
from dicos_transports.blocking import Session, connect
from dicos_transports.blocking.server import serve
from dicos_transports.files import sending
from tests.interop.peers import (
    digest,
    files_in,
    needs_pynetdicom,
    our_provider,
    ours,
    pynetdicom_provider,
    pynetdicom_user,
)
from tests.interop.shipped import LARGEST, SMALL

pytestmark = [pytest.mark.interop, needs_pynetdicom]

ALL = list(uids.TRANSFER_SYNTAXES)
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


@pytest.mark.parametrize("size", [0, 4096, 16384, 131072])
def test_pdus_of_the_size_that_pynetdicom_receives(size: int) -> None:
    with pynetdicom_provider(syntaxes=ALL, max_pdu=size) as peer:
        result = ours("storescu", "-v", "127.0.0.1", peer.port, LARGEST.path)
        assert result.returncode == 0, result.stderr
        assert f"maximum PDU length {f'{size} bytes' if size else 'unlimited'}" in result.stderr
        assert peer.next("stored")["sha256"] == digest(LARGEST)


@pytest.mark.parametrize("size", [0, 4096])
def test_pdus_of_the_size_that_we_receive(folder: Path, size: int) -> None:
    with our_provider("storescp", 0, "-od", folder, "--max-pdu", size) as provider:
        told = pynetdicom_user(provider.port, paths=[str(LARGEST.path)], max_pdu=size)
    assert told["established"][0]["max_pdu"] == size
    assert told["answered"][0]["status"] == SUCCESS
    assert digest(files_in(folder)[LARGEST.sop_instance_uid]) == digest(LARGEST)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"require_called": True}, "called AE title not recognized (1/1/7)"),
        ({"require_calling": ["SOMEBODY"]}, "calling AE title not recognized (1/1/3)"),
    ],
    ids=["called", "calling"],
)
def test_a_rejection_is_told_with_its_reason(options: dict[str, object], reason: str) -> None:
    with pynetdicom_provider(syntaxes=ALL, **options) as peer:
        result = ours("echoscu", "127.0.0.1", peer.port, "-aec", "NOBODY")
        assert result.returncode == 3
        assert reason in result.stderr.lower().replace("ae title", "AE title"), result.stderr
        with pytest.raises(AssociationRejected) as caught:
            connect(("127.0.0.1", peer.port), propose([uids.VERIFICATION]), called_aet="NOBODY")
        assert caught.value.reject.reason == int(reason[-2])


def test_a_full_provider_is_told_as_passing() -> None:
    with (
        pynetdicom_provider(syntaxes=ALL, limit=1) as peer,
        connect(("127.0.0.1", peer.port), propose([uids.VERIFICATION])) as session,
    ):
        result = ours("echoscu", "127.0.0.1", peer.port)
        assert result.returncode == 3
        assert "local limit exceeded (2/3/2)" in result.stderr
        assert session.echo().status == SUCCESS


def test_contexts_that_are_refused_are_reported() -> None:
    (batch,) = sending.plan([SMALL])
    with pynetdicom_provider(syntaxes=ALL, classes=[uids.MR_IMAGE_STORAGE]) as peer:
        result = ours("storescu", "127.0.0.1", peer.port, SMALL.path)
        assert result.returncode == 1
        assert "proposed with Explicit VR Little Endian: abstract syntax not supported" in result.stderr
        with connect(("127.0.0.1", peer.port), batch.contexts) as session:
            assert session.contexts == {}
            with pytest.raises(ContextNotAccepted):
                sending.send_file(session, SMALL)


def test_contexts_that_we_do_not_have_are_refused_one_by_one() -> None:
    contexts = [[FIND, ALL[:2]], [uids.CT_IMAGE_STORAGE, ["1.2.3.4"]], [uids.CT_IMAGE_STORAGE, ALL[:2]]]
    with our_provider("storescp", 0, "--ignore") as provider:
        (agreed,) = pynetdicom_user(provider.port, contexts=contexts)["established"]
    assert agreed["refused"] == [[FIND, 3], [uids.CT_IMAGE_STORAGE, 4]]
    assert agreed["accepted"][1:] == [[uids.CT_IMAGE_STORAGE, ALL[0]]]


def test_what_is_negotiated_beyond_contexts() -> None:
    policy = AcceptPolicy(
        contexts={uids.VERIFICATION: (uids.IMPLICIT_VR_LE,), uids.CT_IMAGE_STORAGE: uids.TRANSFER_SYNTAXES},
        window=OperationsWindow(invoked=2, performed=1),
        roles={uids.CT_IMAGE_STORAGE: Roles(scu=True, scp=True)},
        extended={uids.CT_IMAGE_STORAGE: b"\2"},
        identity=IdentityPolicy(required=True, known={b"ada": b"secret"}, response=b"hello"),
    )
    seen: list[AssociateRequest] = []

    def handle(session: Session) -> None:
        seen.append(session.request)
        for request in session:
            request.respond()

    common = {
        "contexts": [[uids.CT_IMAGE_STORAGE, ALL[:1]]],
        "window": [5, 4],
        "roles": [[uids.CT_IMAGE_STORAGE, True, True]],
        "extended": [[uids.CT_IMAGE_STORAGE, "0102"]],
    }
    with serve(("127.0.0.1", 0), handle, policy=policy) as server:
        told = pynetdicom_user(server.port, echoes=2, identity=[2, "ada", "secret", True], **common)
        (refused,) = pynetdicom_user(server.port, identity=[2, "ada", "wrong", True], **common)["refused"]
    (agreed,) = told["established"]
    assert told["echoes"][0]["statuses"] == [SUCCESS, SUCCESS]
    assert agreed["window"] == [2, 1]
    assert agreed["roles"] == {uids.CT_IMAGE_STORAGE: [True, True]}
    assert agreed["identity"] == ""  # a response, and an empty one: PS3.7 D.3.3.7.2
    assert agreed["implementation"] == uids.IMPLEMENTATION_CLASS_UID
    assert refused["rejected"] == [1, 2, 1]
    (request,) = seen
    theirs = request.user_information
    assert theirs.window == OperationsWindow(invoked=5, performed=4)
    assert theirs.extended[0].information == b"\1\2"
    assert theirs.user_identity is not None
    assert theirs.user_identity.primary == b"ada"


def test_what_we_ask_for_beyond_contexts_is_answered() -> None:
    """By default pynetdicom answers neither identity nor window: one operation at a time, and no error."""
    information = UserInformation(
        window=OperationsWindow(invoked=8, performed=8),
        user_identity=UserIdentity(type=2, primary=b"ada", secondary=b"secret", response_requested=True),
    )
    with pynetdicom_provider(syntaxes=ALL) as peer:
        with connect(("127.0.0.1", peer.port), propose([uids.VERIFICATION]), user_information=information) as session:
            agreement = session.association.terms.agreement
            assert agreement is not None
            assert (agreement.invoke, agreement.perform) == (1, 1)
            assert session.echo().status == SUCCESS
        peer.next("released")


def test_an_abort_of_theirs_is_told() -> None:
    with our_provider("storescp", 0, "--ignore") as provider:
        told = pynetdicom_user(provider.port, paths=[str(SMALL.path)], abort=True)
        assert told["answered"][0]["status"] == SUCCESS
    (line,) = provider.of("log")
    assert line["text"].endswith("association aborted by the service user")


@pytest.mark.parametrize(("status", "expected"), [(OUT_OF_RESOURCES, 1), (0xC123, 1), (0x0122, 1), (0xB007, 0)])
def test_a_status_decides_the_exit_status(status: int, expected: int) -> None:
    with pynetdicom_provider(syntaxes=ALL, status=status) as peer:
        result = ours("storescu", "127.0.0.1", peer.port, SMALL.path)
    assert result.returncode == expected
    assert f"0x{status:04X}" in result.stderr


def test_small_objects_pass_a_peer_with_nagle() -> None:
    """pynetdicom does not set TCP_NODELAY, so it depends on our acknowledgements."""
    with pynetdicom_provider(syntaxes=ALL) as peer:
        assert ours("storescu", "127.0.0.1", peer.port, SMALL.path, "--repeat", 50).returncode == 0
