"""pynetdicom and ours, both ways: tickets and tokens, roles, extended negotiation, SOP classes known by relation."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from dicos_proto.association import Association
from dicos_proto.conversation import flows
from dicos_proto.conversation.flows import AssociationRejected
from dicos_proto.conversation.planning import contexts_for, get_services
from dicos_proto.registry import uids
from dicos_proto.registry.status import SUCCESS
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.extended import (
    QueryExtension,
    RetrieveExtension,
    StorageExtension,
    StorageLevel,
    propose_extended,
)
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import AssociateReject, AssociateRequest, UserIdentity, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, IdentityPolicy, IdentityVerdict, Roles
from dicos_transports.blocking import Session, connect
from dicos_transports.blocking.driver import Driver
from dicos_transports.blocking.server import serve
from dicos_transports.sessions import session as awaiting
from tests.interop.peers import PATIENCE, needs_pynetdicom, pynetdicom_provider, pynetdicom_user

pytestmark = [pytest.mark.interop, needs_pynetdicom]

CT, MR = uids.CT_IMAGE_STORAGE, uids.MR_IMAGE_STORAGE
FIND, GET = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET
EXPLICIT, IMPLICIT = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE
POLICY = AcceptPolicy(other_contexts=(IMPLICIT, EXPLICIT))


def answer_all(session: Session) -> None:
    for request in session:
        request.respond()


# -- user identity: Kerberos, SAML, JWT --------------------------------------------------------------------------------


@contextmanager
def doorkeeper(accepted: bool) -> Iterator[tuple[int, list[UserIdentity | None]]]:
    """Run a provider for one association that checks the identity first. Yields its port and the identities."""
    seen: list[UserIdentity | None] = []

    def attend(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            association, timeouts = Association.acceptor(), Timeouts()
            session = Session(awaiting.Session(association, Driver(sock, association, timeouts), "a peer"))
            request = session.run(flows.await_request(association))
            identity = request.user_information.user_identity
            seen.append(identity)
            verdict = IdentityVerdict(accepted=accepted, response=b"to " + (identity.primary if identity else b""))
            answer = session.run(flows.answer_request(association, request, POLICY, identity=verdict))
            if not isinstance(answer, AssociateReject):
                answer_all(session)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = Thread(target=attend, args=(listener,))
        thread.start()
        yield listener.getsockname()[1], seen
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("kind", [3, 4, 5])
def test_their_ticket_is_looked_at_and_answered(kind: int, asks: bool) -> None:
    with doorkeeper(accepted=True) as (port, seen):
        told = pynetdicom_user(port, identity=[kind, "ticket", "", asks], echoes=1)
    assert told["echoes"][0]["statuses"] == [SUCCESS]
    assert told["established"][0]["identity"] == ("to ticket" if asks else None)
    assert seen == [UserIdentity(type=kind, primary=b"ticket", response_requested=asks)]


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_whom_we_do_not_let_in_they_are_told(kind: int) -> None:
    with doorkeeper(accepted=False) as (port, _):
        told = pynetdicom_user(port, identity=[kind, "ticket", "secret" if kind == 2 else "", True])
    assert told["refused"][0]["rejected"] == [1, 2, 1]


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("kind", [3, 4, 5])
def test_our_ticket_is_read_and_answered(kind: int, accepted: bool) -> None:
    identity = UserIdentity(type=kind, primary=b"ticket", response_requested=True)
    information = UserInformation(user_identity=identity)
    with pynetdicom_provider(syntaxes=[EXPLICIT], identity=[accepted, "granted"]) as peer:
        if accepted:
            with connect(("127.0.0.1", peer.port), propose([CT]), user_information=information) as session:
                assert session.established
        else:
            with pytest.raises(AssociationRejected) as caught:
                connect(("127.0.0.1", peer.port), propose([CT]), user_information=information)
            assert (caught.value.reject.source, caught.value.reject.reason) == (2, 1)
        assert peer.next("identity") == {"event": "identity", "type": kind, "primary": "ticket"}


def test_a_policy_answers_tickets_that_it_knows() -> None:
    known = IdentityPolicy(required=True, types=(5,), known={b"ticket": b""}, response=b"granted")
    policy = AcceptPolicy(other_contexts=(IMPLICIT,), identity=known)
    with serve(("127.0.0.1", 0), answer_all, policy=policy) as server:
        (agreed,) = pynetdicom_user(server.port, identity=[5, "ticket", "", True])["established"]
        (other,) = pynetdicom_user(server.port, identity=[4, "ticket", "", True])["refused"]
    assert agreed["identity"] == "granted"
    assert other["rejected"] == [1, 2, 1]


# -- roles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("wish", [(True, False), (False, True), (True, True)])
def test_they_and_we_agree_on_roles(wish: tuple[bool, bool], own: tuple[bool, bool]) -> None:
    """pynetdicom refuses a context if no role is left; we accept it without roles."""
    policy = AcceptPolicy(other_contexts=(IMPLICIT,), roles={CT: Roles(scu=own[0], scp=own[1])})
    seen: list[tuple[bool, bool]] = []

    def handle(session: Session) -> None:
        seen.extend((one.scu, one.scp) for one in session.contexts.values() if one.abstract_syntax == CT)
        answer_all(session)

    with serve(("127.0.0.1", 0), handle, policy=policy) as server:
        told = pynetdicom_user(server.port, contexts=[[CT, [IMPLICIT]]], roles=[[CT, *wish]])
    (agreed,) = told["established"]
    scu, scp = wish[0] and own[0], wish[1] and own[1]
    assert agreed["roles"] == {CT: [scu, scp]}
    if scu or scp:
        assert agreed["own_roles"][1] == [scu, scp]
    assert seen == [(scp, scu)]


@pytest.mark.parametrize("own", [(True, False), (False, True), (True, True)])
def test_they_grant_the_roles_that_a_get_takes(own: tuple[bool, bool]) -> None:
    wish = contexts_for(get_services([CT, MR], (EXPLICIT,)))
    options = {"classes": [CT, MR, GET], "roles": {CT: own, MR: (True, True)}}
    information = UserInformation(roles=wish.roles)
    with (
        pynetdicom_provider(syntaxes=[EXPLICIT, IMPLICIT], **options) as peer,
        connect(("127.0.0.1", peer.port), wish.contexts, user_information=information) as session,
    ):
        found = {one.abstract_syntax: (one.scu, one.scp) for one in session.contexts.values()}
        assert found[GET] == (True, False)
        assert found[MR] == (False, True)
        assert found.get(CT, (False, False)) == (False, own[1])


# -- extended negotiation ----------------------------------------------------------------------------------------------


def test_they_answer_our_extended_negotiation() -> None:
    wishes = {
        FIND: QueryExtension(relational_queries=True, fuzzy_names=True),
        GET: RetrieveExtension(relational_retrieval=True),
        CT: StorageExtension(),
    }
    information = UserInformation(extended=propose_extended(wishes))
    answers = {FIND: "010000", CT: "020000000100"}
    with (
        pynetdicom_provider(syntaxes=[EXPLICIT], classes=[FIND, GET, CT], extended=answers) as peer,
        connect(("127.0.0.1", peer.port), propose([FIND, GET, CT]), user_information=information) as session,
    ):
        assert peer.next("extended")["asked"] == {FIND: "010001", GET: "01", CT: "030000000200"}
        agreement = session.association.terms.agreement
        assert agreement is not None
        assert agreement.extension(FIND, QueryExtension) == QueryExtension(relational_queries=True)
        assert agreement.extension(GET, RetrieveExtension) is None
        storage = agreement.extension(CT, StorageExtension)
        assert storage is not None
        assert (storage.level, storage.coercion) == (2, 1)


def test_we_answer_their_extended_negotiation() -> None:
    policy = AcceptPolicy(
        other_contexts=(IMPLICIT,),
        extended={
            FIND: QueryExtension(relational_queries=True, timezone_adjustment=True),
            CT: StorageExtension(level=StorageLevel.LEVEL_2),
        },
    )
    asked = [[FIND, "0101"], [GET, "01"], [CT, "030000000200"], [MR, "030000000200"]]
    with serve(("127.0.0.1", 0), answer_all, policy=policy) as server:
        (agreed,) = pynetdicom_user(server.port, extended=asked)["established"]
    assert agreed["extended"] == {FIND: "0100", CT: "020000000200"}


def test_what_they_say_of_a_sop_class_that_we_do_not_know() -> None:
    new, general = "1.2.840.10008.5.1.4.1.1.88.40", "1.2.840.10008.5.1.4.1.1.88.22"
    policy = AcceptPolicy(contexts={uids.VERIFICATION: (IMPLICIT,)}, general={general: (EXPLICIT,)})
    contexts = [[new, [EXPLICIT]], ["1.2.3", [EXPLICIT]]]
    seen: list[AssociateRequest] = []

    def handle(session: Session) -> None:
        seen.append(session.request)
        answer_all(session)

    with serve(("127.0.0.1", 0), handle, policy=policy) as server:
        common = [[new, uids.STORAGE, [general]]]
        (agreed,) = pynetdicom_user(server.port, contexts=contexts, common=common)["established"]
    assert [new, EXPLICIT] in agreed["accepted"]
    assert agreed["refused"] == [["1.2.3", 3]]
    assert seen[0].user_information.common_extended[0].related_general == (general,)
