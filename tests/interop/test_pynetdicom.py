"""pynetdicom and ours, both ways: C-ECHO, C-STORE of every available file, refusals, aborts, and other proposals."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicos_proto import propose
from dicos_proto.conversation import flows
from dicos_proto.registry import uids
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import EchoRequest, Session, StoreRequest, connect
from dicos_transports.blocking.server import serve
from dicos_transports.files import part10, sending
from dicos_transports.files.part10 import Part10File
from tests.interop.peers import contents, digest, files_in, our_provider, ours, settle, shipped_files

pynetdicom = pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # of values in files that are none too well
]

FILES = shipped_files()
CT, VERIFICATION, EXPLICIT = uids.CT_IMAGE_STORAGE, uids.VERIFICATION, uids.EXPLICIT_VR_LE


@contextmanager
def their_provider(
    handle_store: Any = None, *, syntaxes: tuple[str, ...] = uids.TRANSFER_SYNTAXES, **options: Any
) -> Iterator[int]:
    """Run pynetdicom's SCP for all storage SOP classes. Yields the port. `handle_store` gets each event."""
    entity = pynetdicom.AE(ae_title="THEIRS")
    for name, value in options.items():
        setattr(entity, name, value)
    for uid in sorted({file.sop_class_uid for file in FILES} | {VERIFICATION, uids.DICOS_CT}):
        entity.add_supported_context(uid, list(syntaxes))
    handlers = [] if handle_store is None else [(pynetdicom.evt.EVT_C_STORE, handle_store)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def their_association(port: int, contexts: list[tuple[str, list[str]]], **options: Any) -> Any:
    entity = pynetdicom.AE(ae_title="THEM")
    for uid, syntaxes in contexts:
        entity.add_requested_context(uid, syntaxes)
    return entity.associate("127.0.0.1", port, **options)


# -- ours as the user ------------------------------------------------------------------------------------------------


def test_our_echo() -> None:
    with their_provider() as port:
        result = ours("echoscu", "127.0.0.1", port, "-aec", "THEIRS", "--repeat", 3)
        assert result.returncode == 0, result.stderr
        with connect(("127.0.0.1", port), propose([VERIFICATION])) as session:
            assert session.echo().status == 0


def test_every_file_arrives_as_it_was() -> None:
    received: dict[str, bytes] = {}

    def keep(event: Any) -> int:
        received[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return 0

    with their_provider(keep) as port:
        result = ours("storescu", "127.0.0.1", port, *[file.path for file in FILES])
    assert result.returncode == 0, result.stderr
    for file in FILES:
        sent = b"".join(part10.read_chunks(file))
        assert received[file.sop_instance_uid] == sent + b"\0" * (len(sent) % 2), file.path


def test_a_failure_status_is_a_failure() -> None:
    with their_provider(lambda event: 0xA700) as port:
        result = ours("storescu", "127.0.0.1", port, FILES[0].path)
    assert result.returncode == 1
    assert "failed: 0xA700 Refused: out of resources (failure)" in result.stderr


def test_a_warning_status_is_a_success_that_is_told() -> None:
    with their_provider(lambda event: 0xB000) as port:
        result = ours("storescu", "127.0.0.1", port, FILES[0].path)
    assert result.returncode == 0
    assert "0xB000 Coercion of data elements (warning)" in result.stderr
    assert "1 with a warning" in result.stderr


def test_a_called_title_that_is_not_theirs_is_rejected() -> None:
    with their_provider(require_called_aet=True) as port:
        result = ours("echoscu", "127.0.0.1", port, "-aec", "NOBODY")
        assert result.returncode == 3
        assert "called AE title not recognized (1/1/7)" in result.stderr
        with pytest.raises(flows.AssociationRejected, match="called AE title not recognized"):
            connect(("127.0.0.1", port), propose([VERIFICATION]), called_aet="NOBODY")


def test_contexts_that_are_refused_are_reported() -> None:
    with their_provider(syntaxes=(uids.IMPLICIT_VR_LE,)) as port:
        jpeg = next(file for file in FILES if file.transfer_syntax == uids.JPEG_BASELINE)
        result = ours("storescu", "127.0.0.1", port, jpeg.path)
    assert result.returncode == 1
    assert "none of the transfer syntaxes supported" in result.stderr


def test_an_abort_of_theirs_is_told() -> None:
    def abort(event: Any) -> int:
        event.assoc.abort()
        return 0

    with their_provider(abort) as port:
        result = ours("storescu", "127.0.0.1", port, FILES[0].path)
    assert result.returncode == 1
    assert "association aborted by the service user" in result.stderr


# -- ours as the provider ----------------------------------------------------------------------------------------------


def test_their_echo() -> None:
    with our_provider("echoscp", 0) as provider:
        association = their_association(provider.port, [(VERIFICATION, [uids.IMPLICIT_VR_LE])])
        assert association.is_established
        assert settle(association).send_c_echo().Status == 0
        association.release()
        assert association.is_released
    assert len(provider.of("echo")) == 1


def test_files_of_theirs_are_stored(tmp_path: Path) -> None:
    """One file for each transfer syntax, sent as pynetdicom reads and encodes it."""
    chosen: dict[str, Part10File] = {}
    for file in FILES:
        if "SOPInstanceUID" in dcmread(file.path, specific_tags=["SOPInstanceUID"]):  # or it cannot be sent
            chosen.setdefault(file.transfer_syntax, file)
    with our_provider("storescp", 0, "-od", tmp_path) as provider:
        for file in chosen.values():
            association = their_association(provider.port, [(file.sop_class_uid, [file.transfer_syntax])])
            assert association.is_established
            assert settle(association).send_c_store(file.path).Status == 0
            association.release()
    stored = files_in(tmp_path)
    assert len(chosen) >= 10
    for file in chosen.values():
        assert contents(stored[file.sop_instance_uid].path) == contents(file.path), file.path


@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072])
def test_pdus_of_any_size(tmp_path: Path, max_pdu: int) -> None:
    file = max((one for one in FILES if one.transfer_syntax == EXPLICIT), key=lambda one: one.data_length)
    with our_provider("storescp", 0, "-od", tmp_path, "--max-pdu", max_pdu) as provider:
        association = their_association(provider.port, [(file.sop_class_uid, [EXPLICIT])])
        assert settle(association).send_c_store(file.path).Status == 0
        association.release()
    assert digest(files_in(tmp_path)[file.sop_instance_uid]) == digest(file)


def test_a_title_that_is_not_ours_is_rejected() -> None:
    with our_provider("echoscp", 0, "-aet", "OURS", "--require-called-aet") as provider:
        association = their_association(provider.port, [(VERIFICATION, [uids.IMPLICIT_VR_LE])], ae_title="OTHER")
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)


def test_everything_else_they_can_propose_is_answered() -> None:
    """Identity, window, roles and extended negotiation are understood, and granted or omitted by the policy."""
    from pynetdicom.pdu_primitives import (
        AsynchronousOperationsWindowNegotiation,
        SOPClassExtendedNegotiation,
        UserIdentityNegotiation,
    )

    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"ada", b"secret"
    identity.positive_response_requested = True
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 8, 8
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = CT, b"\x02\x00\x03\x00\x01\x00"
    role = pynetdicom.build_role(CT, scu_role=True, scp_role=True)
    with our_provider("storescp", 0, "--ignore") as provider:
        association = their_association(
            provider.port, [(CT, [EXPLICIT]), (VERIFICATION, [EXPLICIT])], ext_neg=[identity, window, extended, role]
        )
        assert association.is_established
        assert association.acceptor.user_identity is None  # the identity was not verified
        assert association.acceptor.asynchronous_operations == (8, 1)  # of the operations that storescp performs
        assert association.acceptor.role_selection[CT].scp_role is False
        assert settle(association).send_c_echo().Status == 0
        association.release()


def test_they_abort_and_ours_goes_on() -> None:
    seen: list[str] = []

    def handle(session: Session) -> None:
        for request in session:
            seen.append(type(request).__name__)
            if isinstance(request, EchoRequest | StoreRequest):
                request.respond()

    with serve(("127.0.0.1", 0), handle, policy=AcceptPolicy(other_contexts=(EXPLICIT,))) as server:
        first = their_association(server.port, [(VERIFICATION, [EXPLICIT])])
        second = their_association(server.port, [(VERIFICATION, [EXPLICIT])])
        assert settle(first).send_c_echo().Status == 0
        first.abort()
        assert settle(second).send_c_echo().Status == 0
        second.release()
    assert seen == ["EchoRequest", "EchoRequest"]


def test_a_service_we_do_not_speak_is_refused_by_status() -> None:
    from pydicom.dataset import Dataset

    with serve(("127.0.0.1", 0), lambda session: [None for _ in session] and None, policy=ANYTHING) as server:
        find = "1.2.840.10008.5.1.4.1.2.2.1"
        association = their_association(server.port, [(find, [EXPLICIT])])
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        (status, identifier), *more = list(settle(association).send_c_find(query, find))
        association.release()
    assert (status.Status, identifier, more) == (0x0211, None, [])


ANYTHING = AcceptPolicy(other_contexts=(EXPLICIT,))


def test_the_api_sends_files_over_one_association() -> None:
    received: list[str] = []

    def keep(event: Any) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        return 0

    (batch,) = sending.plan(FILES[:30])
    with their_provider(keep) as port, connect(("127.0.0.1", port), batch.contexts) as session:
        assert {sending.send_file(session, file).status for file in batch.files} == {0}
    assert received == [file.sop_instance_uid for file in FILES[:30]]
