"""DCMTK and ours: the roles for a C-GET, unanswered extended negotiation, tickets and tokens."""

import shutil
from pathlib import Path

import pytest

from dicos_proto import propose_roles
from dicos_proto.conversation.planning import ProposedService, contexts_for, get_services
from dicos_proto.registry import uids
from dicos_proto.registry.status import SUCCESS
from dicos_proto.upper_layer.extended import QueryExtension, RetrieveExtension, StorageExtension, propose_extended
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, propose
from dicos_proto.upper_layer.pdu_types import OperationsWindow, UserIdentity, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityPolicy, Roles
from dicos_transports.blocking import Session, connect
from dicos_transports.blocking.server import serve
from tests.interop.peers import dcmtk, dcmtk_dcmqrscp, dcmtk_storescp, needs_dcmtk
from tests.interop.shipped import SMALL

pytestmark = [pytest.mark.interop, needs_dcmtk]
needs_qr = pytest.mark.skipif(shutil.which("dcmqrscp") is None, reason="DCMTK's dcmqrscp is not installed")

CT, MR, FIND, GET = uids.CT_IMAGE_STORAGE, uids.MR_IMAGE_STORAGE, uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET


def answer_all(session: Session) -> None:
    for request in session:
        request.respond()


@needs_qr
def test_its_archive_grants_the_roles_of_a_get_and_no_options(tmp_path: Path) -> None:
    wish = contexts_for([ProposedService(sop_classes=(FIND,)), *get_services([CT, MR])])
    options = {FIND: QueryExtension(relational_queries=True), GET: RetrieveExtension(relational_retrieval=True)}
    information = UserInformation(roles=wish.roles, extended=propose_extended(options))
    with (
        dcmtk_dcmqrscp(tmp_path) as port,
        connect(("127.0.0.1", port), wish.contexts, called_aet="QR", user_information=information) as session,
    ):
        found = {one.abstract_syntax: (one.scu, one.scp) for one in session.contexts.values()}
        assert found == {FIND: (True, False), GET: (True, False), CT: (False, True), MR: (False, True)}
        agreement = session.association.terms.agreement
        assert agreement is not None
        assert agreement.extended == {}
        assert agreement.extension(FIND, QueryExtension) is None


def test_its_storescp_answers_neither_roles_nor_options_nor_a_window(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    information = UserInformation(
        roles=propose_roles([CT], scu=True),
        extended=propose_extended({CT: StorageExtension()}),
        window=OperationsWindow(invoked=0, performed=0),
    )
    with (
        dcmtk_storescp(folder) as port,
        connect(("127.0.0.1", port), propose([CT]), user_information=information) as session,
    ):
        agreement = session.association.terms.agreement
        assert agreement is not None
        assert (agreement.invoke, agreement.perform, agreement.extended) == (1, 1, {})
        assert [(one.scu, one.scp) for one in session.contexts.values()] == [(True, False)]


def test_its_getscu_has_the_roles_that_it_asks_for() -> None:
    seen: dict[str, tuple[bool, bool]] = {}

    def handle(session: Session) -> None:
        seen.update({one.abstract_syntax: (one.scu, one.scp) for one in session.contexts.values()})
        answer_all(session)

    granted = {uid: Roles(scu=True, scp=True) for uid in (CT, MR)}
    policy = AcceptPolicy(other_contexts=UNCOMPRESSED, roles=granted)
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")
    with serve(("127.0.0.1", 0), handle, policy=policy) as server:
        result = dcmtk("getscu", "-S", *keys, "127.0.0.1", server.port)
    assert result.returncode == 0, result.stderr
    assert len(seen) > 100
    for uid, roles in seen.items():
        assert roles == ((False, True) if uid == GET else (uid in granted, False)), uid


@pytest.mark.parametrize(("kind", "option"), [(3, "--kerberos"), (4, "--saml"), (5, "--jwt")])
def test_its_ticket_is_answered(tmp_path: Path, kind: int, option: str) -> None:
    if option not in dcmtk("storescu", "--help").stdout:
        pytest.skip(f"this storescu has no {option}")
    ticket = tmp_path / "ticket"
    ticket.write_bytes(b"the ticket")
    known = IdentityPolicy(required=True, types=(kind,), known={b"the ticket": b""}, response=b"granted")
    policy = AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES, identity=known)
    seen: list[UserIdentity | None] = []

    def handle(session: Session) -> None:
        seen.append(session.request.user_information.user_identity)
        answer_all(session)

    with serve(("127.0.0.1", 0), handle, policy=policy) as server:
        result = dcmtk("storescu", "-d", option, ticket, "-rsp", "127.0.0.1", server.port, SMALL.path)
        assert result.returncode == SUCCESS, result.stderr
        ticket.write_bytes(b"another ticket")
        assert dcmtk("storescu", option, ticket, "127.0.0.1", server.port, SMALL.path).returncode != 0
    assert seen == [UserIdentity(type=kind, primary=b"the ticket", response_requested=True)]


@pytest.mark.parametrize(("words", "passcode"), [((), b""), (("-pwd", "secret"), b"secret")])
def test_its_user_is_answered_with_an_empty_response(words: tuple[str, ...], passcode: bytes) -> None:
    known = IdentityPolicy(required=True, known={b"ada": passcode}, response=b"for others")
    policy = AcceptPolicy(other_contexts=uids.TRANSFER_SYNTAXES, identity=known)
    with serve(("127.0.0.1", 0), answer_all, policy=policy) as server:
        asking = ("storescu", "-usr", "ada", *words, "-rsp")
        result = dcmtk(*asking, "127.0.0.1", server.port, SMALL.path)
        assert result.returncode == 0, result.stderr
        wrong = dcmtk("storescu", "-usr", "ada", "-pwd", "wrong", "127.0.0.1", server.port, SMALL.path)
        assert wrong.returncode != 0
