"""The network profile: families, transfer syntaxes, identities, application names and contexts, by negotiation."""

from typing import Any

import pytest

from dicos_proto.association import Association
from dicos_proto.dicos import profile
from dicos_proto.dicos.profile import Clients, Compression, Family, accept_policy, contexts_for, identity_policy
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    UserIdentity,
    UserInformation,
)

JPEG, RLE = uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS
PLAIN = (uids.EXPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.IMPLICIT_VR_LE)
PREFIX = "1.2.840.10008.5.1.4.1.1."
FLAGS = {
    1: ["501.1", "501.1.1", "501.1.2", "501.1.3", *(f"501.{kind}.{bits}" for kind in (7, 8) for bits in (1, 2, 3, 4))],
    2: ["501.4", "501.4.1", "501.4.2", "501.4.3"],
    4: ["501.5", "501.5.1", "501.5.2", "501.5.3"],
    8: ["501.2.2", "501.2.2.1", "501.2.2.2", "501.2.2.3"],
    16: ["501.2.1", "501.2.1.1", "501.2.1.2", "501.2.1.3"],
    32: ["501.6"],
    64: ["501.3"],
}
"""The SOP classes that pyDICOS proposes for each of its flags, in order."""


def request(**options: Any) -> AssociateRequest:
    identity = options.pop("identity", None)
    return AssociateRequest(
        **{
            "called_aet": "SERVER", "calling_aet": "SCANNER", "contexts": contexts_for(Family.ALL),
            "application_context": uids.DICOS_APPLICATION_CONTEXT_V03,
            "user_information": UserInformation(user_identity=identity), **options,
        }
    )  # fmt: skip


def rejected(asked: AssociateRequest, policy: Any) -> tuple[int, int, int] | None:
    answer = negotiate(asked, policy)
    return (answer.result, answer.source, answer.reason) if isinstance(answer, AssociateReject) else None


@pytest.mark.parametrize("flag", FLAGS)
def test_a_family_proposes_what_pydicos_proposes_for_its_flag(flag: int) -> None:
    contexts = contexts_for(Family(flag))
    assert [one.abstract_syntax for one in contexts] == [PREFIX + each for each in FLAGS[flag]]
    assert [one.id for one in contexts] == list(range(1, 2 * len(contexts), 2))


def test_echo_and_all() -> None:
    assert [one.abstract_syntax for one in contexts_for(Family.ECHO)] == [uids.VERIFICATION]
    assert len(contexts_for(Family.ALL)) == 31
    assert profile.sop_classes(Family.DX) == tuple(PREFIX + each for each in (*FLAGS[8], *FLAGS[16]))
    more = profile.sop_classes(Family.TDR, also=[uids.DICOS_AIT2D_RAW, uids.DICOS_TDR])
    assert more == (uids.DICOS_TDR, uids.DICOS_AIT2D_RAW)
    with pytest.raises(TypeError):
        profile.sop_classes(Family.TDR, also=uids.DICOS_TDR)


def test_every_dicos_class_of_the_registry_is_in_a_family_or_raw_ait() -> None:
    known = {uid for uid in uids.STORAGE_SOP_CLASSES if uid.startswith(f"{PREFIX}501.")}
    raw = {uid for uid in known if uid.startswith((f"{PREFIX}501.9.", f"{PREFIX}501.10."))}
    assert known - raw == set(profile.sop_classes(Family.ALL)) - {uids.VERIFICATION}


@pytest.mark.parametrize(
    ("compression", "rle", "expected"),
    [
        (Compression.PREFERRED, False, (JPEG, *PLAIN)),
        (Compression.PREFERRED, True, (JPEG, RLE, *PLAIN)),
        (Compression.ALLOWED, False, (*PLAIN, JPEG)),
        (Compression.ALLOWED, True, (*PLAIN, JPEG, RLE)),
        (Compression.FORBIDDEN, True, PLAIN),
    ],
)
def test_compression_is_an_order_of_transfer_syntaxes(
    compression: Compression, rle: bool, expected: tuple[str, ...]
) -> None:
    assert profile.transfer_syntaxes(uids.DICOS_CT, compression, rle=rle) == expected
    assert profile.transfer_syntaxes(uids.DICOS_CT_FLOAT, compression, rle=rle) == PLAIN
    assert profile.transfer_syntaxes(uids.DICOS_TDR, compression, rle=rle) == PLAIN
    large = profile.transfer_syntaxes(uids.DICOS_CT_INT64, compression, rle=rle)
    assert (large[0], set(large)) == (uids.DICOS_EXPLICIT_VR_LE_EXTENDED, set(PLAIN))
    (context,) = contexts_for(Family(0), compression, also=[uids.DICOS_AIT3D_RAW], rle=rle)
    assert context.transfer_syntaxes == expected


def test_contexts_apart_let_the_sender_choose() -> None:
    contexts = contexts_for(Family.TDR | Family.CT, apart=True)
    assert len(contexts) == 13 * 3 + 3
    assert all(len(one.transfer_syntaxes) == 1 for one in contexts)
    assert [one.transfer_syntaxes[0] for one in contexts[:4]] == [JPEG, *PLAIN]
    with pytest.raises(LocalProtocolError, match="at most 128"):
        contexts_for(Family.ALL, also=[uids.DICOS_AIT2D_RAW] + [f"2.25.{one}" for one in range(20)], apart=True)


@pytest.mark.parametrize("compression", Compression)
def test_a_provider_decides_by_its_own_order(compression: Compression) -> None:
    answer = negotiate(request(), accept_policy(compression=compression))
    assert isinstance(answer, AssociateAccept)
    accepted = {one.id: one.transfer_syntax for one in answer.contexts}
    assert accepted[1] == (JPEG if compression is Compression.PREFERRED else uids.EXPLICIT_VR_LE)
    assert all(one.result is ContextResult.ACCEPTANCE for one in answer.contexts)
    assert answer.application_context == uids.DICOS_APPLICATION_CONTEXT_V03
    assert answer.user_information.max_length == 0 or answer.user_information.max_length >= 1000


def test_a_provider_accepts_only_its_families() -> None:
    answer = negotiate(request(), accept_policy(Family.CT | Family.ECHO))
    assert isinstance(answer, AssociateAccept)
    assert sum(one.result is ContextResult.ACCEPTANCE for one in answer.contexts) == 13


@pytest.mark.parametrize("application", uids.APPLICATION_CONTEXTS)
def test_application_contexts_are_accepted_by_policy(application: str) -> None:
    dicos_only = accept_policy(application_contexts=profile.APPLICATION_CONTEXTS)
    assert len(profile.APPLICATION_CONTEXTS) == 3
    refused = (1, 1, 2) if application == uids.DICOM_APPLICATION_CONTEXT else None
    assert rejected(request(application_context=application), dicos_only) == refused
    assert rejected(request(application_context=application), accept_policy()) is None


@pytest.mark.parametrize(
    ("called", "calling", "expected"),
    [("SERVER", "SCANNER", None), ("OTHER", "SCANNER", (1, 1, 7)), ("SERVER", "OTHER", (1, 1, 3))],
)
def test_application_names(called: str, calling: str, expected: tuple[int, int, int] | None) -> None:
    policy = accept_policy(called_aets=["SERVER"], calling_aets=["SCANNER"])
    assert rejected(request(called_aet=called, calling_aet=calling), policy) == expected
    assert rejected(request(called_aet=called, calling_aet=calling), accept_policy()) is None


NOBODY, NAME = None, profile.user_identity("UserA")
PASSCODE, WRONG = profile.user_identity("UserA", "Pass0A"), profile.user_identity("UserA", "nope")
STRANGER, TOKEN = profile.user_identity("UserX"), UserIdentity(type=3, primary=b"ticket")
ANONYMOUS = identity_policy(Clients.ANONYMOUS)
NAMED, ANY_NAME = identity_policy(Clients.NAMED, ["UserA", "UserB"]), identity_policy(Clients.NAMED)
SECRET = identity_policy(Clients.NAMED_WITH_PASSCODE, {"UserA": "Pass0A"})
ANY_SECRET = identity_policy(Clients.NAMED_WITH_PASSCODE)


@pytest.mark.parametrize(
    ("policy", "welcome", "unwelcome"),
    [
        (ANONYMOUS, [NOBODY], [NAME, PASSCODE, STRANGER, TOKEN]),
        (NAMED, [NAME], [NOBODY, PASSCODE, STRANGER, TOKEN]),
        (ANY_NAME, [NAME, STRANGER], [NOBODY, PASSCODE, TOKEN]),
        (SECRET, [PASSCODE], [NOBODY, NAME, WRONG, STRANGER, TOKEN]),
        (ANY_SECRET, [PASSCODE, WRONG], [NOBODY, NAME, STRANGER, TOKEN]),
    ],
    ids=["anonymous", "named", "any name", "passcode", "any passcode"],
)
def test_identities(policy: Any, welcome: list[UserIdentity | None], unwelcome: list[UserIdentity | None]) -> None:
    for identity in welcome:
        assert rejected(request(identity=identity), accept_policy(identity=policy)) is None
    for identity in unwelcome:
        assert rejected(request(identity=identity), accept_policy(identity=policy)) == (1, 2, 1)


def test_a_checked_identity_gets_the_response_that_it_asked_for() -> None:
    for policy, identity, expected in ((NAMED, NAME, True), (ANY_NAME, NAME, False), (SECRET, PASSCODE, True)):
        answer = negotiate(request(identity=identity), accept_policy(identity=policy))
        assert isinstance(answer, AssociateAccept)
        assert (answer.user_information.user_identity_response is not None) is expected
    assert not profile.user_identity("UserA", confirmed=False).response_requested
    assert "Pass0A" not in repr(PASSCODE)
    assert "Pass0A" not in repr(SECRET)


@pytest.mark.parametrize(
    ("clients", "users"),
    [
        (Clients.ANONYMOUS, ["UserA"]),
        (Clients.NAMED, {"UserA": "Pass0A"}),
        (Clients.NAMED, "UserA"),
        (Clients.NAMED_WITH_PASSCODE, ["UserA"]),
    ],
)
def test_users_of_another_kind_are_an_error(clients: Clients, users: Any) -> None:
    with pytest.raises(TypeError):
        identity_policy(clients, users)


@pytest.mark.parametrize("name", ["called_aets", "calling_aets", "application_contexts"])
def test_one_text_in_place_of_several_is_an_error(name: str) -> None:
    with pytest.raises(TypeError):
        accept_policy(**{name: "SERVER"})  # type: ignore[arg-type]


def test_both_ends_of_an_association_agree() -> None:
    requestor, acceptor = Association.requestor(request(identity=PASSCODE)), Association.acceptor()
    acceptor.receive_data(b"".join(requestor.data_to_send()))
    asked = acceptor.next_event()
    assert isinstance(asked, AssociateRequest)
    acceptor.send(negotiate(asked, accept_policy(identity=SECRET)))
    requestor.receive_data(b"".join(acceptor.data_to_send()))
    assert isinstance(requestor.next_event(), AssociateAccept)
    assert len(requestor.contexts) == 31
