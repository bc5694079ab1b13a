"""The answer of an acceptor to a request, and the agreement that both sides then have."""

import hmac
from dataclasses import replace

import pytest

from dicos_proto.errors import AbortReason, LocalProtocolError, Malformed
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import Judge, Tolerance
from dicos_proto.upper_layer.agreement import (
    PresentationContext,
    RefusedContext,
    agree,
)
from dicos_proto.upper_layer.extended import (
    Coercion,
    QueryExtension,
    RetrieveExtension,
    StorageExtension,
    StorageLevel,
    propose_extended,
)
from dicos_proto.upper_layer.negotiation import (
    negotiate,
    number_contexts,
    propose,
    propose_roles,
)
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    CommonExtendedNegotiation,
    ContextAnswer,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from dicos_proto.upper_layer.policy import (
    AcceptPolicy,
    IdentityPolicy,
    IdentityVerdict,
    Preference,
    Roles,
)

CT, MR, VERIFICATION = uids.CT_IMAGE_STORAGE, uids.MR_IMAGE_STORAGE, uids.VERIFICATION
IMPLICIT, EXPLICIT, JPEG = uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE, uids.JPEG_BASELINE
EVERYTHING = AcceptPolicy(other_contexts=(IMPLICIT, EXPLICIT))


def asked(*contexts: tuple[str, tuple[str, ...]], **user: object) -> AssociateRequest:
    return AssociateRequest(
        called_aet="STORE",
        calling_aet="SCANNER",
        contexts=number_contexts(contexts or [(CT, (IMPLICIT,))]),
        user_information=UserInformation(**user),  # type: ignore[arg-type]
    )


def accepted(request: AssociateRequest, policy: AcceptPolicy = EVERYTHING) -> AssociateAccept:
    answer = negotiate(request, policy)
    assert isinstance(answer, AssociateAccept)
    return answer


def rejected(request: AssociateRequest, policy: AcceptPolicy = EVERYTHING) -> tuple[int, int, int]:
    answer = negotiate(request, policy)
    assert isinstance(answer, AssociateReject)
    return answer.result, answer.source, answer.reason


# -- proposing ---------------------------------------------------------------------------------------------------


def test_one_uid_in_place_of_several_is_refused() -> None:
    with pytest.raises(TypeError, match=r"propose\('1.2.3'\): str in place of a list of UIDs; write \['1.2.3'\]"):
        propose("1.2.3")
    with pytest.raises(TypeError, match="propose_roles"):
        propose_roles("1.2.3")


def test_contexts_have_odd_ids_and_each_abstract_syntax_one() -> None:
    contexts = propose([CT, MR, CT])
    assert [(one.id, one.abstract_syntax) for one in contexts] == [(1, CT), (3, MR)]
    assert contexts[0].transfer_syntaxes == (EXPLICIT, IMPLICIT)


def test_as_many_as_there_are_odd_ids() -> None:
    assert propose(f"1.2.{number}" for number in range(128))[-1].id == 255
    with pytest.raises(LocalProtocolError, match="129 presentation contexts; at most 128"):
        propose(f"1.2.{number}" for number in range(129))


# -- a result for each context -------------------------------------------------------------------------------------


def test_each_result() -> None:
    request = asked((CT, (JPEG, IMPLICIT)), (MR, (IMPLICIT,)), ("1.2.3", (IMPLICIT,)), (CT, (JPEG,)), (CT, (IMPLICIT,)))
    policy = AcceptPolicy(contexts={CT: (EXPLICIT, IMPLICIT), MR: (IMPLICIT,)}, refused=frozenset({MR}), max_contexts=4)
    assert [(one.id, one.result.value, one.transfer_syntax) for one in accepted(request, policy).contexts] == [
        (1, 0, IMPLICIT),
        (3, 1, None),
        (5, 3, None),
        (7, 4, None),
        (9, 2, None),
    ]


@pytest.mark.parametrize(("preference", "chosen"), [(Preference.OWN, EXPLICIT), (Preference.REQUESTOR, IMPLICIT)])
def test_whose_order_decides(preference: Preference, chosen: str) -> None:
    policy = AcceptPolicy(contexts={CT: (EXPLICIT, IMPLICIT)}, preference=preference)
    assert accepted(asked((CT, (JPEG, IMPLICIT, EXPLICIT))), policy).contexts[0].transfer_syntax == chosen


def test_the_order_of_the_requestor_decides_where_nothing_is_said() -> None:
    policy = AcceptPolicy(contexts={CT: (EXPLICIT, IMPLICIT)})
    assert accepted(asked((CT, (IMPLICIT, EXPLICIT))), policy).contexts[0].transfer_syntax == IMPLICIT


def test_other_abstract_syntaxes_are_refused_unless_there_are_syntaxes_for_them() -> None:
    request = asked(("1.2.3", (EXPLICIT,)))
    for others, result in ((None, 3), ((IMPLICIT,), 4), ((EXPLICIT,), 0)):
        assert accepted(request, AcceptPolicy(other_contexts=others)).contexts[0].result == result


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_contexts_beyond_the_policy_are_refused_without_a_reason(room: int) -> None:
    request = asked(*[(CT, (IMPLICIT,))] * 2)
    answer = accepted(request, replace(EVERYTHING, max_contexts=room))
    assert [one.result.value for one in answer.contexts] == [0 if index < room else 2 for index in range(2)]


def test_the_answer_says_who_the_acceptor_is_and_repeats_whom_it_answers() -> None:
    policy = replace(EVERYTHING, implementation_class_uid="1.2.3", implementation_version_name="V1", max_length=4096)
    answer = accepted(asked(), policy)
    information = answer.user_information
    assert (answer.called_aet, answer.calling_aet) == ("STORE", "SCANNER")
    assert (information.implementation_class_uid, information.implementation_version_name) == ("1.2.3", "V1")
    assert information.max_length == 4096


def test_each_side_keeps_to_the_maximum_length_of_the_other() -> None:
    request = asked(max_length=1000)
    answer = accepted(request, replace(EVERYTHING, max_length=2000))
    assert agree(request, answer, requestor=True).peer_max_length == 2000
    assert agree(request, answer, requestor=False).peer_max_length == 1000


# -- rejecting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", uids.APPLICATION_CONTEXTS)
def test_the_application_contexts_of_dicom_and_dicos_are_let_in(name: str) -> None:
    assert accepted(replace(asked(), application_context=name)).application_context == name


def test_another_application_context_is_rejected() -> None:
    assert rejected(replace(asked(), application_context="1.2.3")) == (1, 1, 2)
    dicom_only = replace(EVERYTHING, application_contexts=(uids.DICOM_APPLICATION_CONTEXT,))
    dicos = replace(asked(), application_context=uids.DICOS_APPLICATION_CONTEXT_V03)
    assert rejected(dicos, dicom_only) == (1, 1, 2)


def test_titles_are_let_in_by_name() -> None:
    policy = replace(EVERYTHING, called_aets=frozenset({"STORE"}), calling_aets=frozenset({"SCANNER"}))
    assert accepted(asked(), policy)
    assert rejected(replace(asked(), calling_aet="OTHER"), policy) == (1, 1, 3)
    assert rejected(replace(asked(), called_aet="OTHER"), policy) == (1, 1, 7)


@pytest.mark.parametrize("title", ["", "a\\b", "a\nb", "\xe4", "x" * 17])
def test_what_is_no_title_is_not_recognized(title: str) -> None:
    assert rejected(replace(asked(), calling_aet=title)) == (1, 1, 3)
    assert rejected(replace(asked(), called_aet=title)) == (1, 1, 7)


def test_a_request_without_contexts_is_rejected() -> None:
    assert rejected(replace(asked(), contexts=())) == (1, 2, 1)


@pytest.mark.parametrize("least", [8, 100, 512, 4096])
@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 99, 100, 511, 512, 4095, 4096, 16384])
def test_a_maximum_length_below_that_of_the_policy_is_rejected(length: int, least: int) -> None:
    policy = replace(EVERYTHING, peer_max_length=least)
    if 0 < length < least:
        assert rejected(asked(max_length=length), policy) == (1, 2, 1)
    else:
        assert accepted(asked(max_length=length), policy)


def test_by_default_a_policy_accepts_what_the_limits_do() -> None:
    assert AcceptPolicy().peer_max_length == Limits().peer_max_length == 512


def test_no_policy_accepts_a_maximum_length_no_message_fits_in() -> None:
    with pytest.raises(LocalProtocolError, match="a policy that accepts a Maximum Length of 7; at least 8"):
        negotiate(asked(), replace(EVERYTHING, peer_max_length=7))


# -- user identity  PS3.7 D.3.3.7 ------------------------------------------------------------------------------------

ADA = UserIdentity(type=1, primary=b"ada", response_requested=True)
ADA_2 = UserIdentity(type=2, primary=b"ada", secondary=b"secret")
KNOWN = IdentityPolicy(known={b"ada": b"secret", b"bob": b""})


@pytest.mark.parametrize("known", [{"ada": b"secret"}, {b"ada": "secret"}, {b"ada": None}])
def test_names_and_passcodes_that_are_no_bytes_are_an_error(known: dict[bytes, bytes]) -> None:
    with pytest.raises(TypeError, match=r"known=...\) has a (str|NoneType); names and passcodes are bytes") as error:
        IdentityPolicy(known=known)
    assert "secret" not in str(error.value)


REFUSED = (1, 2, 1)


@pytest.mark.parametrize(
    ("identity", "policy", "welcome"),
    [
        (None, IdentityPolicy(), True),
        (None, IdentityPolicy(required=True), False),
        (ADA, IdentityPolicy(), True),
        (ADA, IdentityPolicy(required=True), True),
        (UserIdentity(type=3, primary=b"ticket"), IdentityPolicy(), True),
        (UserIdentity(type=3, primary=b"ticket"), IdentityPolicy(required=True), False),
        (ADA_2, KNOWN, True),
        (replace(ADA_2, secondary=b"wrong"), KNOWN, False),
        (ADA, KNOWN, False),  # a name alone is not the name and its passcode
        (UserIdentity(type=1, primary=b"bob"), KNOWN, True),
        (UserIdentity(type=1, primary=b"eve"), KNOWN, False),
        (replace(ADA_2, type=3), KNOWN, False),
    ],
)
def test_who_is_let_in(identity: UserIdentity | None, policy: IdentityPolicy, welcome: bool) -> None:
    request, rule = asked(user_identity=identity), replace(EVERYTHING, identity=policy)
    if welcome:
        assert accepted(request, rule)
    else:
        assert rejected(request, rule) == REFUSED


def claim(kind: int, *, asks: bool = True) -> UserIdentity:
    return UserIdentity(type=kind, primary=b"the ticket", response_requested=asks)


@pytest.mark.parametrize(
    ("identity", "response"),
    [
        (None, None),
        (replace(ADA_2, primary=b"eve"), None),
        (ADA, UserIdentityResponse()),  # empty for types 1 and 2  # PS3.7 D.3.3.7.2
        (replace(ADA_2, primary=b"eve", response_requested=True), UserIdentityResponse()),
        (claim(5), UserIdentityResponse(response=b"hello")),
        (claim(5, asks=False), None),
    ],
)
def test_a_response_is_given_where_it_was_asked_for(
    identity: UserIdentity | None, response: UserIdentityResponse | None
) -> None:
    known = {b"ada": b"", b"eve": b"secret", b"the ticket": b""}
    policy = replace(EVERYTHING, identity=IdentityPolicy(known=known, types=(1, 2, 5), response=b"hello"))
    assert accepted(asked(user_identity=identity), policy).user_information.user_identity_response == response


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_an_identity_that_nobody_has_checked_is_accepted_and_not_confirmed(kind: int, required: bool) -> None:
    """An acceptor that does not support an identity gives no response, and goes on [PS3.7 D.3.3.7.1]."""
    secondary = b"a passcode" if kind == 2 else b""
    identity = UserIdentity(type=kind, primary=b"anybody", secondary=secondary, response_requested=True)
    policy = IdentityPolicy(required=required, types=(1, 2, 3, 4, 5), response=b"hello")
    for rule in (EVERYTHING, replace(EVERYTHING, identity=policy)):
        assert accepted(asked(user_identity=identity), rule).user_information.user_identity_response is None


class Unequal(bytes):
    """Bytes that are not to be compared one after the other, up to the first that differs."""

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared in a time that depends on what is in it")


def test_passcodes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def compare(expected: bytes, given: bytes) -> bool:
        compared.append(len(given))
        return compare_digest(expected, given)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    policy = replace(EVERYTHING, identity=IdentityPolicy(known={b"ada": Unequal(b"secret")}))
    accepted(asked(user_identity=ADA_2), policy)
    for wrong in (
        replace(ADA_2, secondary=b"secreT"),
        replace(ADA_2, secondary=b"s"),
        replace(ADA_2, primary=b"nobody"),
        replace(ADA_2, primary=b"nobody", secondary=b"\0"),
    ):
        assert rejected(asked(user_identity=wrong), policy) == REFUSED
    assert compared == [6, 6, 1, 6, 1]  # a user that nobody knows takes as long


def test_who_is_not_known_does_not_pass_for_a_user_without_passcode() -> None:
    nobody = UserIdentity(type=1, primary=b"nobody")
    assert rejected(asked(user_identity=nobody), replace(EVERYTHING, identity=KNOWN)) == REFUSED


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6])
def test_the_caller_decides_in_place_of_the_policy(kind: int, asks: bool) -> None:
    request = asked(user_identity=claim(kind, asks=asks))
    policy = replace(EVERYTHING, identity=IdentityPolicy(required=True, known={}, types=(), response=b"of the policy"))
    assert rejected(request, policy) == REFUSED
    answer = negotiate(request, policy, identity=IdentityVerdict(accepted=True, response=b"granted"))
    assert isinstance(answer, AssociateAccept)
    response = UserIdentityResponse(response=b"" if kind in (1, 2) else b"granted")
    assert answer.user_information.user_identity_response == (response if asks else None)
    refusal = negotiate(request, EVERYTHING, identity=IdentityVerdict(accepted=False, response=b"why not"))
    assert isinstance(refusal, AssociateReject)
    assert (refusal.result, refusal.source, refusal.reason) == REFUSED


def test_a_positive_response_is_empty_where_nothing_is_said() -> None:
    request = asked(user_identity=claim(5))
    by_policy = negotiate(request, replace(EVERYTHING, identity=IdentityPolicy(known={b"the ticket": b""}, types=(5,))))
    by_verdict = negotiate(request, EVERYTHING, identity=IdentityVerdict(accepted=True))
    for answer in (by_policy, by_verdict):
        assert isinstance(answer, AssociateAccept)
        assert answer.user_information.user_identity_response == UserIdentityResponse(response=b"")


@pytest.mark.parametrize("verdict", [False, True])
def test_a_verdict_on_a_request_without_identity(verdict: bool) -> None:
    answer = negotiate(asked(), EVERYTHING, identity=IdentityVerdict(accepted=verdict, response=b"granted"))
    if isinstance(answer, AssociateAccept):
        assert answer.user_information.user_identity_response is None
    assert isinstance(answer, AssociateAccept) == verdict


def test_a_verdict_does_not_undo_other_refusals() -> None:
    policy = replace(EVERYTHING, calling_aets=frozenset())
    answer = negotiate(asked(), policy, identity=IdentityVerdict(accepted=True))
    assert answer == AssociateReject(source=1, reason=3)


def test_passcodes_are_not_shown() -> None:
    verdict = IdentityVerdict(accepted=True, response=b"secret")
    assert "secret" not in repr(ADA_2) + repr(KNOWN) + repr(verdict) + repr(UserIdentityResponse(response=b"secret"))
    for fault in (replace(ADA_2, type=3), replace(ADA_2, primary=b"secret" * 11_000)):
        with pytest.raises(LocalProtocolError) as caught:
            encode(asked(user_identity=fault))
        assert "secret" not in str(caught.value)


# -- window, roles, extended negotiation -----------------------------------------------------------------------------

W = OperationsWindow


@pytest.mark.parametrize(
    ("wish", "offer", "grant"),
    [
        (None, W(invoked=5, performed=5), None),
        (W(invoked=5, performed=5), None, None),
        (W(invoked=5, performed=2), W(invoked=3, performed=4), W(invoked=3, performed=2)),
        (W(invoked=0, performed=0), W(invoked=3, performed=0), W(invoked=3, performed=0)),
        (W(invoked=4, performed=1), W(invoked=0, performed=0), W(invoked=4, performed=1)),
        (W(invoked=0, performed=7), W(invoked=0, performed=0), W(invoked=0, performed=7)),
        (W(invoked=0, performed=0), W(invoked=0, performed=0), W(invoked=0, performed=0)),
        (W(), W(invoked=0, performed=9), W()),
        (None, None, None),
        (W(invoked=65535, performed=65535), W(invoked=65535, performed=0), W(invoked=65535, performed=65535)),
    ],
)
def test_the_smaller_window_is_granted(wish: W | None, offer: W | None, grant: W | None) -> None:
    request = asked(window=wish)
    answer = accepted(request, replace(EVERYTHING, window=offer))
    assert answer.user_information.window == grant
    user, provider = agree(request, answer, requestor=True), agree(request, answer, requestor=False)
    invoked, performed = (grant.invoked, grant.performed) if grant else (1, 1)
    assert (user.invoke, user.perform) == (invoked, performed) == (provider.perform, provider.invoke)


def roles(uid: str, scu: bool, scp: bool) -> RoleSelection:
    return RoleSelection(sop_class_uid=uid, scu=scu, scp=scp)


def test_only_roles_that_were_proposed_are_granted() -> None:
    request = asked((CT, (IMPLICIT,)), (MR, (IMPLICIT,)), roles=(roles(CT, True, True), roles(MR, False, True)))
    answer = accepted(
        request, replace(EVERYTHING, roles={CT: Roles(scu=True, scp=True), MR: Roles(scu=True, scp=True)})
    )
    assert answer.user_information.roles == (roles(CT, True, True), roles(MR, False, True))
    user = agree(request, answer, requestor=True).contexts
    provider = agree(request, answer, requestor=False).contexts
    assert [(one.scu, one.scp) for one in user.values()] == [(True, True), (False, True)]
    assert [(one.scu, one.scp) for one in provider.values()] == [(True, True), (True, False)]


def test_without_a_policy_the_default_roles_are_granted() -> None:
    request = asked((CT, (IMPLICIT,)), roles=(roles(CT, True, True), roles(CT, False, False)))
    answer = accepted(request)
    assert answer.user_information.roles == (roles(CT, True, False),)  # of several the first counts
    assert agree(request, answer, requestor=True).contexts[1] == PresentationContext(
        id=1, abstract_syntax=CT, transfer_syntax=IMPLICIT, scu=True, scp=False
    )


PROPOSALS = [(True, False), (False, True), (True, True)]
GRANTS = [(False, False), *PROPOSALS]


@pytest.mark.parametrize("own", GRANTS)
@pytest.mark.parametrize("wish", PROPOSALS)
def test_each_role_is_granted_or_turned_down(wish: tuple[bool, bool], own: tuple[bool, bool]) -> None:
    """A proposed role (1) is returned or turned down (0); the acceptor has the role that serves the other's."""
    request = asked((CT, (IMPLICIT,)), roles=(roles(CT, *wish),))
    answer = accepted(request, replace(EVERYTHING, roles={CT: Roles(scu=own[0], scp=own[1])}))
    scu, scp = wish[0] and own[0], wish[1] and own[1]
    assert answer.user_information.roles == (roles(CT, scu, scp),)
    user = agree(request, answer, requestor=True).contexts[1]
    provider = agree(request, answer, requestor=False).contexts[1]
    assert (user.scu, user.scp) == (scu, scp) == (provider.scp, provider.scu)


@pytest.mark.parametrize("wish", [None, *PROPOSALS])
def test_without_an_answer_the_roles_are_the_default_ones(wish: tuple[bool, bool] | None) -> None:
    request = asked((CT, (IMPLICIT,)), roles=() if wish is None else (roles(CT, *wish),))
    answer = accepted(request)
    silent = replace(answer, user_information=replace(answer.user_information, roles=()))
    for requestor in (True, False):
        context = agree(request, silent, requestor=requestor).contexts[1]
        assert (context.scu, context.scp) == (requestor, not requestor)


def test_roles_to_retrieve_with() -> None:
    assert propose_roles([CT, MR, CT]) == (roles(CT, False, True), roles(MR, False, True))
    assert propose_roles([CT], scu=True) == (roles(CT, True, True),)
    assert propose_roles([CT], scu=True, scp=False) == (roles(CT, True, False),)
    with pytest.raises(LocalProtocolError, match=r"without a role; SCU, SCP or both \[PS3.7 D.3.3.4\]"):
        propose_roles([CT], scp=False)


# -- extended negotiation --------------------------------------------------------------------------------------------

FIND, GET = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET


def test_extended_negotiation_is_answered_where_there_is_an_answer() -> None:
    offered = tuple(ExtendedNegotiation(sop_class_uid=uid, information=b"\1\1") for uid in (CT, MR, MR))
    request = asked(extended=offered)
    answer = accepted(request, replace(EVERYTHING, extended={MR: b"\1\0"}))
    assert answer.user_information.extended == (ExtendedNegotiation(sop_class_uid=MR, information=b"\1\0"),)
    for requestor in (True, False):
        assert agree(request, answer, requestor=requestor).extended == {MR: b"\1\0"}


def test_options_are_granted_where_both_sides_have_them() -> None:
    wish = QueryExtension(relational_queries=True, fuzzy_names=True)
    request = asked(
        extended=propose_extended(
            {FIND: wish, GET: RetrieveExtension(relational_retrieval=True), CT: StorageExtension(), MR: b"\7"}
        )
    )
    own = StorageExtension(level=StorageLevel.LEVEL_2, coercion=Coercion.NONE)
    policy = replace(
        EVERYTHING,
        extended={
            FIND: QueryExtension(fuzzy_names=True, timezone_adjustment=True),
            GET: RetrieveExtension(enhanced_conversion=True),
            CT: own,
            MR: own,  # its proposal is not a storage level, so it is not answered
        },
    )
    for requestor in (True, False):
        agreement = agree(request, accepted(request, policy), requestor=requestor)
        assert agreement.extension(FIND, QueryExtension) == QueryExtension(fuzzy_names=True)
        assert agreement.extension(GET, RetrieveExtension) == RetrieveExtension()
        assert agreement.extension(CT, StorageExtension) == own
        assert agreement.extension(MR, StorageExtension) is None


def test_an_answer_that_is_no_such_thing_is_told_when_it_is_read() -> None:
    request = asked(extended=propose_extended({FIND: QueryExtension(relational_queries=True)}))
    agreement = agree(request, accepted(request, replace(EVERYTHING, extended={FIND: b"\2"})), requestor=True)
    with pytest.raises(Malformed, match="byte 1 of the service class application information is 2"):
        agreement.extension(FIND, QueryExtension)


# -- common extended negotiation: what is not known by itself ----------------------------------------------------------

NEW, GENERAL, OTHER = "1.2.840.10008.5.1.4.1.1.88.40", "1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33"
STORAGE = uids.STORAGE


def common(sop_class: str, *related: str, service: str = STORAGE) -> CommonExtendedNegotiation:
    return CommonExtendedNegotiation(sop_class_uid=sop_class, service_class_uid=service, related_general=related)


@pytest.mark.parametrize(
    ("told", "general", "result", "syntax"),
    [
        ((), {STORAGE: (IMPLICIT,)}, 3, None),
        ((common(NEW),), {}, 3, None),
        ((common(NEW),), {STORAGE: (IMPLICIT,)}, 0, IMPLICIT),
        ((common(NEW),), {STORAGE: (EXPLICIT,)}, 4, None),
        ((common(CT),), {STORAGE: (IMPLICIT,)}, 3, None),  # of another SOP class
        ((common(NEW, service="1.2.3"),), {STORAGE: (IMPLICIT,)}, 3, None),
        ((common(NEW, GENERAL),), {GENERAL: (IMPLICIT,)}, 0, IMPLICIT),
        ((common(NEW, OTHER, GENERAL),), {GENERAL: (IMPLICIT,)}, 0, IMPLICIT),
        ((common(NEW, GENERAL),), {GENERAL: (JPEG,), STORAGE: (IMPLICIT,)}, 0, JPEG),  # the closer one counts
        ((common(NEW, GENERAL), common(NEW)), {STORAGE: (IMPLICIT,), GENERAL: (JPEG,)}, 0, JPEG),
    ],
)
def test_a_sop_class_is_supported_for_what_it_is_said_to_be(
    told: tuple[CommonExtendedNegotiation, ...],
    general: dict[str, tuple[str, ...]],
    result: int,
    syntax: str | None,
) -> None:
    request = asked((NEW, (IMPLICIT, JPEG)), common_extended=told)
    (answer,) = accepted(request, AcceptPolicy(general=general)).contexts
    assert (answer.result, answer.transfer_syntax) == (result, syntax)


def test_what_is_known_by_itself_does_not_depend_on_what_it_is_said_to_be() -> None:
    request = asked((NEW, (IMPLICIT, JPEG)), common_extended=(common(NEW, GENERAL),))
    for policy in (AcceptPolicy(contexts={NEW: (IMPLICIT,)}), AcceptPolicy(other_contexts=(IMPLICIT,))):
        (answer,) = accepted(request, replace(policy, general={GENERAL: (JPEG,)})).contexts
        assert answer.transfer_syntax == IMPLICIT
    (answer,) = accepted(request, AcceptPolicy(general={GENERAL: (JPEG,)}, refused=frozenset({NEW}))).contexts
    assert answer.result is ContextResult.USER_REJECTION


# -- answers that do not fit their request ---------------------------------------------------------------------------


def misfit(request: AssociateRequest, **changes: object) -> str:
    answer = accepted(request)
    information = {name: value for name, value in changes.items() if name in UserInformation.__slots__}
    answer = replace(
        answer,
        **{name: value for name, value in changes.items() if name not in information},  # type: ignore[arg-type]
        user_information=replace(answer.user_information, **information),  # type: ignore[arg-type]
    )
    with pytest.raises(Malformed) as caught:
        agree(request, answer, requestor=True)
    return str(caught.value)


def test_an_answer_to_nothing() -> None:
    stray = ContextAnswer(id=9, result=ContextResult.ACCEPTANCE, transfer_syntax=IMPLICIT)
    assert misfit(asked(), contexts=(stray,)) == (
        "presentation context 9 answered, which was not proposed [PS3.8 9.3.3.2]"
    )


def test_a_transfer_syntax_that_was_not_offered() -> None:
    wrong = ContextAnswer(id=1, result=ContextResult.ACCEPTANCE, transfer_syntax=JPEG)
    assert misfit(asked(), contexts=(wrong,)).startswith(f"context 1 accepted with {JPEG}, which was not offered")


@pytest.mark.parametrize(
    ("wish", "given", "left"),
    [
        ((True, False), (True, True), (True, False)),
        ((False, True), (True, True), (False, True)),
        ((False, True), (True, False), (False, False)),
        (None, (True, True), (True, False)),
        (None, (False, True), (True, False)),
    ],
)
def test_a_role_that_was_not_proposed_is_ignored_and_never_sent(
    wish: tuple[bool, bool] | None, given: tuple[bool, bool], left: tuple[bool, bool]
) -> None:
    request = asked(roles=() if wish is None else (roles(CT, *wish),))
    answer = accepted(request)
    answer = replace(answer, user_information=replace(answer.user_information, roles=(roles(CT, *given),)))
    context = agree(request, answer, requestor=True).contexts[1]
    assert (context.scu, context.scp) == left  # PS3.7 D.3.3.4
    with pytest.raises(Malformed, match=r"roles granted for .* that were not proposed \[PS3.7 D.3.3.4\]"):
        agree(request, answer, requestor=False)


def test_extended_negotiation_that_was_not_proposed_is_ignored_and_never_sent() -> None:
    request = asked(extended=propose_extended({FIND: QueryExtension()}))
    answer = accepted(request)
    given = propose_extended({FIND: QueryExtension(), GET: RetrieveExtension()})
    answer = replace(answer, user_information=replace(answer.user_information, extended=given))
    assert agree(request, answer, requestor=True).extended == {FIND: b"\0"}
    with pytest.raises(Malformed, match=r"answered for 1.2.840.* that was not proposed \[PS3.7 D.3.3.5\]"):
        agree(request, answer, requestor=False)


def test_of_several_roles_for_a_sop_class_the_first_counts_on_both_sides() -> None:
    request = asked(roles=(roles(CT, True, True), roles(CT, True, False)))
    answer = accepted(request)
    twice = replace(answer.user_information, roles=(roles(CT, False, True), roles(CT, True, False)))
    for requestor in (True, False):
        agreement = agree(request, replace(answer, user_information=twice), requestor=requestor)
        (context,) = (one for one in agreement.contexts.values() if one.abstract_syntax == CT)
        assert (context.scu, context.scp) == ((False, True) if requestor else (True, False))


def test_an_identity_response_that_was_not_asked_for() -> None:
    text = "user identity response where none was asked for [PS3.7 D.3.3.7]"
    for identity in (None, ADA_2):
        found = misfit(asked(user_identity=identity), user_identity_response=UserIdentityResponse())
        assert found.startswith(text.removesuffix("]"))


@pytest.mark.parametrize(
    ("result", "syntax", "words"),
    [(ContextResult.ACCEPTANCE, None, "refused"), (ContextResult.USER_REJECTION, IMPLICIT, "refused by the user")],
)
def test_a_context_is_accepted_by_its_result_and_a_transfer_syntax(
    result: ContextResult, syntax: str | None, words: str
) -> None:
    """The transfer syntax of a context that is refused is not significant [PS3.8 9.3.3.2]."""
    request = asked()
    answer = replace(accepted(request), contexts=(ContextAnswer(id=1, result=result, transfer_syntax=syntax),))
    agreement = agree(request, answer, requestor=True)
    assert agreement.contexts == {}
    (refused,) = agreement.refused
    assert (refused.id, refused.result) == (1, result)
    assert str(refused) == f"CT Image Storage with Implicit VR Little Endian: {words}"


def test_a_window_that_was_not_proposed_or_is_larger() -> None:
    assert "that was not proposed" in misfit(asked(), window=W())
    assert misfit(asked(window=W(invoked=0, performed=2)), window=W(invoked=9, performed=3)) == (
        "operations window 3 answered to 2 [PS3.7 D.3.3.3]"
    )
    for wish, grant in ((2, 3), (2, 0)):
        request = asked(window=W(invoked=wish, performed=0))
        assert misfit(request, window=W(invoked=grant, performed=9)) == (
            f"operations window {grant} answered to {wish} [PS3.7 D.3.3.3]"
        )


@pytest.mark.parametrize("length", [1, 7])
def test_a_maximum_length_no_message_fits_in(length: int) -> None:
    assert misfit(asked(), max_length=length) == f"Maximum Length {length}; 0 or at least 8 [PS3.8 D.1]"


@pytest.mark.parametrize("least", [8, 100, 512, 4096])
def test_a_maximum_length_of_an_acceptor_below_the_limit_is_refused(least: int) -> None:
    judge = Judge(Limits(peer_max_length=least))
    request, accept = asked(), accepted(asked())
    for length in (8, least - 1, least, least + 1, 0):
        answer = replace(accept, user_information=UserInformation(max_length=length))
        if 8 <= length < least:
            with pytest.raises(Malformed) as caught:
                agree(request, answer, requestor=True, judge=judge)
            assert (caught.value.limit, caught.value.seen, caught.value.allowed) == ("peer_max_length", length, least)
            assert caught.value.reason is AbortReason.INVALID_PARAMETER
        elif length == 0 or length >= 8:
            assert agree(request, answer, requestor=True, judge=judge).peer_max_length == length


def test_the_acceptor_is_held_to_its_policy_not_to_its_limits() -> None:
    request = asked(max_length=8)
    answer = accepted(request, replace(EVERYTHING, peer_max_length=8))
    assert agree(request, answer, requestor=False).peer_max_length == 8


@pytest.mark.parametrize("length", range(10))
def test_an_own_maximum_length_no_message_fits_in_is_not_sent(length: int) -> None:
    request = asked(max_length=length)
    accept = replace(accepted(asked()), user_information=UserInformation(max_length=length))
    policy = replace(EVERYTHING, max_length=length)
    attempts = (lambda: encode(request), lambda: encode(accept), lambda: negotiate(asked(), policy))
    for attempt in attempts:
        if 0 < length < 8:
            with pytest.raises(LocalProtocolError, match=rf"Maximum Length {length}; 0 or at least 8 \[PS3.8 D.1\]"):
                attempt()
        else:
            assert attempt()


def test_what_was_refused_is_kept_with_its_reason() -> None:
    request = asked((CT, (IMPLICIT,)), (MR, (JPEG, EXPLICIT)), ("1.2.3", (IMPLICIT,)), ("1.2.4", (IMPLICIT,)))
    answers = (
        ContextAnswer(id=1, result=ContextResult.ACCEPTANCE, transfer_syntax=IMPLICIT),
        ContextAnswer(id=3, result=ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED),
        ContextAnswer(id=5, result=ContextResult.USER_REJECTION),
    )
    judge = Judge(Limits(), Tolerance(contexts_unanswered=True))
    found = agree(request, replace(accepted(request), contexts=answers), requestor=True, judge=judge)
    assert list(found.contexts) == [1]
    assert [str(one) for one in found.refused] == [
        "MR Image Storage with JPEG Baseline (Process 1), Explicit VR Little Endian: "
        "none of the transfer syntaxes supported",
        "1.2.3 with Implicit VR Little Endian: refused by the user",
        "1.2.4 with Implicit VR Little Endian: not answered",
    ]
    assert isinstance(found.refused[0], RefusedContext)


def test_ids_need_not_begin_at_one() -> None:
    context = ProposedContext(id=255, abstract_syntax=CT, transfer_syntaxes=(IMPLICIT,))
    request = replace(asked(), contexts=(context,))
    assert list(agree(request, accepted(request), requestor=True).contexts) == [255]
