"""The contexts and roles that are proposed for a plan, and the errors if something cannot be done."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_proto.conversation.planning import (
    LeftOut,
    Plan,
    Proposal,
    ProposedService,
    contexts_for,
    explain,
    get_services,
    plan,
)
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import FIELD, Judge
from dicos_proto.upper_layer.agreement import Agreement, agree
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, negotiate, number_contexts
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    AssociateAccept,
    AssociateRequest,
    ContextAnswer,
    ContextResult,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles

CT, MR = uids.CT_IMAGE_STORAGE, uids.MR_IMAGE_STORAGE
IMPLICIT, EXPLICIT, JPEG = uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE, uids.JPEG_BASELINE
BOTH = {EXPLICIT: (EXPLICIT, IMPLICIT), IMPLICIT: (EXPLICIT, IMPLICIT)}


def pairs(contexts: tuple[ProposedContext, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.abstract_syntax, one.transfer_syntaxes) for one in contexts]


def many(count: int) -> list[str]:
    return [f"1.2.{number}" for number in range(count)]


# -- objects -------------------------------------------------------------------------------------------------------


def test_each_sop_class_and_transfer_syntax_has_a_context() -> None:
    found = plan([(CT, JPEG), (MR, JPEG), (CT, EXPLICIT), (CT, JPEG)])
    assert pairs(found.contexts) == [(CT, (JPEG,)), (MR, (JPEG,)), (CT, (EXPLICIT,))]
    assert (found.placed, found.left_out) == ((0, 0, 0, 0), ())


def test_what_can_be_converted_is_offered_in_a_context_of_its_own() -> None:
    found = plan([(CT, EXPLICIT), (CT, JPEG)], fallbacks=BOTH)
    assert pairs(found.contexts) == [(CT, (EXPLICIT,)), (CT, (IMPLICIT,)), (CT, (JPEG,))]


def test_or_in_the_same_one() -> None:
    found = plan([(CT, EXPLICIT), (CT, JPEG), (CT, IMPLICIT), (MR, IMPLICIT)], fallbacks=BOTH, shared=True)
    assert pairs(found.contexts) == [(CT, (EXPLICIT, IMPLICIT)), (CT, (JPEG,)), (MR, (IMPLICIT, EXPLICIT))]
    assert found.placed == (0, 0, 0, 0)


def test_nothing_needs_no_association() -> None:
    found = plan([])
    assert (found, found.contexts) == (Plan(associations=(), placed=()), ())


@pytest.mark.parametrize("count", [1, 127, 128, 129, 256, 257])
def test_more_than_128_contexts_are_more_than_one_association(count: int) -> None:
    found = plan([(uid, JPEG) for uid in many(count)])
    assert [len(one) for one in found.associations] == [min(128, count - at) for at in range(0, count, 128)]
    assert found.placed == tuple(number // 128 for number in range(count))
    assert all([one.id for one in contexts] == list(range(1, 2 * len(contexts), 2)) for contexts in found.associations)


def test_the_contexts_of_an_object_are_in_one_association() -> None:
    found = plan([*[(uid, JPEG) for uid in many(127)], (CT, EXPLICIT)], fallbacks=BOTH)
    assert [len(one) for one in found.associations] == [127, 2]
    assert found.placed[-1] == 1


def test_what_has_no_room_is_left_out_with_its_reason() -> None:
    objects = [*[(uid, JPEG) for uid in many(300)], ("1.2.299", JPEG), ("1.2.0", JPEG), ("1.2.200", JPEG)]
    found = plan(objects, associations=2)
    assert [len(one) for one in found.associations] == [128, 128]
    assert found.placed == (
        *[0] * 128,
        *[1] * 128,
        *[None] * 45,
        0,
        1,
    )  # one whose context is there already has a place
    assert [one.sop_class_uid for one in found.left_out] == many(300)[256:]
    assert str(found.left_out[0]) == (
        "1.2.256 with JPEG Baseline (Process 1): "
        "no room: an association has at most 128 presentation contexts [PS3.8 9.3.2.2]"
    )


def test_no_association_has_no_room() -> None:
    assert plan([(CT, JPEG)], associations=0).placed == (None,)


@pytest.mark.parametrize(
    ("sop_class", "syntax", "text"),
    [
        (
            uids.MEDIA_STORAGE_DIRECTORY,
            EXPLICIT,
            "Media Storage Directory Storage with Explicit VR Little Endian: "
            "a DICOMDIR describes files and is not stored itself [PS3.4 B.5]",
        ),
        ("Doe^Jane", EXPLICIT, "an invalid UID with Explicit VR Little Endian: its SOP class is not a UID [PS3.5 9.1]"),
        (CT, "", "CT Image Storage with an invalid UID: its transfer syntax is not a UID [PS3.5 9.1]"),
        (CT, "1.02", "CT Image Storage with 1.02: its transfer syntax is not a UID [PS3.5 9.1]"),
    ],
)
def test_what_cannot_be_proposed_is_left_out_with_its_reason(sop_class: str, syntax: str, text: str) -> None:
    found = plan([(sop_class, syntax), (CT, JPEG), (sop_class, syntax)], fallbacks=BOTH)
    assert found.placed == (None, 0, None)
    assert pairs(found.contexts) == [(CT, (JPEG,))]
    assert [str(one) for one in found.left_out] == [text]


classes = st.sampled_from([*many(150), uids.MEDIA_STORAGE_DIRECTORY, "x"])


@given(
    st.lists(st.tuples(classes, st.sampled_from([EXPLICIT, IMPLICIT, JPEG])), max_size=400),
    st.booleans(),
    st.none() | st.integers(0, 2),
)
def test_every_object_is_placed_or_left_out(
    objects: list[tuple[str, str]], shared: bool, associations: int | None
) -> None:
    found = plan(objects, fallbacks=BOTH, shared=shared, associations=associations)
    left_out = {(one.sop_class_uid, *one.transfer_syntaxes) for one in found.left_out}
    assert len(found.placed) == len(objects)
    assert associations is None or len(found.associations) <= associations
    for (sop_class, syntax), placed in zip(objects, found.placed, strict=True):
        if placed is None:
            assert (sop_class, syntax) in left_out
        else:
            offered = [one for one in pairs(found.associations[placed]) if one[0] == sop_class]
            assert any(syntax in syntaxes for _, syntaxes in offered)
            assert shared or (sop_class, (syntax,)) in offered
    for contexts in found.associations:
        assert encode(AssociateRequest(called_aet="A", calling_aet="B", contexts=contexts))


# -- services ------------------------------------------------------------------------------------------------------


def test_what_a_c_get_takes() -> None:
    found = contexts_for(get_services([CT, MR, CT], (JPEG,)))
    assert pairs(found.contexts) == [(uids.STUDY_ROOT_GET, UNCOMPRESSED), (CT, (JPEG,)), (MR, (JPEG,))]
    assert found.roles == (
        RoleSelection(sop_class_uid=CT, scu=False, scp=True),
        RoleSelection(sop_class_uid=MR, scu=False, scp=True),
    )
    assert found.left_out == ()


def test_another_information_model() -> None:
    found = contexts_for(get_services([CT], model=uids.PATIENT_ROOT_GET))
    assert pairs(found.contexts) == [(uids.PATIENT_ROOT_GET, UNCOMPRESSED), (CT, UNCOMPRESSED)]


def test_a_sop_class_has_the_roles_of_all_services_it_is_in() -> None:
    send = ProposedService(sop_classes=(CT, MR), transfer_syntaxes=(JPEG,))
    found = contexts_for([send, *get_services([CT], (JPEG,)), *get_services([MR])])
    assert pairs(found.contexts) == [
        (CT, (JPEG,)),
        (MR, (JPEG,)),
        (uids.STUDY_ROOT_GET, UNCOMPRESSED),
        (MR, UNCOMPRESSED),
    ]
    assert found.roles == (
        RoleSelection(sop_class_uid=CT, scu=True, scp=True),
        RoleSelection(sop_class_uid=MR, scu=True, scp=True),
    )


def test_the_least_important_is_left_out() -> None:
    found = contexts_for([*get_services(many(200), (JPEG,)), ProposedService(sop_classes=(uids.STUDY_ROOT_GET, CT))])
    assert len(found.contexts) == 128
    assert [one.sop_class_uid for one in found.left_out] == [*many(200)[127:], CT]
    assert [one.sop_class_uid for one in found.roles] == many(127)
    assert found.left_out[-1] == LeftOut(
        sop_class_uid=CT,
        transfer_syntaxes=UNCOMPRESSED,
        reason="no room: an association has at most 128 presentation contexts [PS3.8 9.3.2.2]",
    )


def test_a_peer_that_grants_it_performs_the_get() -> None:
    """Both sides of what a C-GET needs: the provider invokes C-STORE on the contexts that the requestor is SCP of."""
    wish = contexts_for(get_services([CT]))
    request = AssociateRequest(
        called_aet="A", calling_aet="B", contexts=wish.contexts, user_information=UserInformation(roles=wish.roles)
    )
    policy = AcceptPolicy(other_contexts=(IMPLICIT,), roles={CT: Roles(scu=False, scp=True)})
    accept = negotiate(request, policy)
    assert isinstance(accept, AssociateAccept)
    user = agree(request, accept, requestor=True).contexts
    provider = agree(request, accept, requestor=False).contexts
    assert [(one.scu, one.scp) for one in user.values()] == [(True, False), (False, True)]
    assert [(one.scu, one.scp) for one in provider.values()] == [(False, True), (True, False)]


# -- why not -------------------------------------------------------------------------------------------------------


def agreed(*results: ContextResult | None, syntaxes: tuple[str, ...] = (JPEG,)) -> Agreement:
    """Returns the outcome of a context for CT with each of these results; None: it was not answered."""
    contexts = number_contexts([(CT, syntaxes)] * len(results))
    request = AssociateRequest(called_aet="A", calling_aet="B", contexts=contexts)
    answers = [
        ContextAnswer(id=context.id, result=result, transfer_syntax=None if result else syntaxes[0])
        for context, result in zip(contexts, results, strict=True)
        if result is not None
    ]
    accept = AssociateAccept(called_aet="A", calling_aet="B", contexts=tuple(answers))
    return agree(request, accept, requestor=True, judge=Judge(Limits(), FIELD))


WANTED = "no presentation context for CT Image Storage in Implicit VR Little Endian: "
WITH = "proposed with JPEG Baseline (Process 1): "


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ((), "none was proposed; propose one for it"),
        ((None,), f"{WITH}not answered; ask the peer's operator why"),
        ((1,), f"{WITH}refused by the user; ask the peer's operator to allow it"),
        (
            (2,),
            f"{WITH}refused by the provider, no reason given; propose fewer contexts, or ask the peer's operator why",
        ),
        ((3,), f"{WITH}abstract syntax not supported; ask another peer"),
        (
            (4, 4),
            f"{WITH}none of the transfer syntaxes supported; {WITH}none of the transfer syntaxes supported; "
            "propose other syntaxes, or ask another peer",
        ),
        ((0,), "accepted with JPEG Baseline (Process 1); propose other syntaxes, or ask another peer"),
        (
            (0, 1, 3),
            f"{WITH}refused by the user; {WITH}abstract syntax not supported; accepted with JPEG Baseline (Process 1); "
            "ask the peer's operator to allow it; ask another peer",
        ),
    ],
)
def test_why_there_is_no_context_and_what_to_try(results: tuple[int | None, ...], text: str) -> None:
    outcome = agreed(*[None if result is None else ContextResult(result) for result in results])
    assert explain(outcome, CT, (IMPLICIT,)) == WANTED + text


def test_before_anything_was_agreed_nothing_was_proposed() -> None:
    assert explain(None, CT) == "no presentation context for CT Image Storage: none was proposed; propose one for it"
    assert "none was proposed" in explain(agreed(ContextResult.ACCEPTANCE), MR)


def test_a_context_without_the_role() -> None:
    outcome = agreed(ContextResult.ACCEPTANCE)
    outcome = replace(outcome, contexts={1: replace(outcome.contexts[1], scu=False, scp=True)})
    assert explain(outcome, CT) == (
        "no presentation context for CT Image Storage: accepted with JPEG Baseline (Process 1), "
        "but not in the role of an SCU; propose the role of an SCU for it"
    )


def test_a_context_without_the_role_to_perform() -> None:
    wanted = "no presentation context for CT Image Storage: "
    assert explain(agreed(ContextResult.ACCEPTANCE), CT, as_scp=True) == (
        f"{wanted}accepted with JPEG Baseline (Process 1), but not in the role of an SCP; "
        "propose the role of an SCP for it"
    )
    outcome = agreed(ContextResult.ACCEPTANCE)
    outcome = replace(outcome, contexts={1: replace(outcome.contexts[1], scu=False, scp=True)})
    assert explain(outcome, CT, (IMPLICIT,), as_scp=True).endswith("; propose other syntaxes, or ask another peer")


@pytest.mark.parametrize("as_scp", [False, True], ids=["to invoke", "to perform"])
@pytest.mark.parametrize("proposed", [False, True], ids=["not proposed", "proposed"])
def test_an_acceptor_without_the_role_is_told_to_grant_it_if_it_was_proposed(*, proposed: bool, as_scp: bool) -> None:
    outcome = agreed(ContextResult.ACCEPTANCE)
    outcome = replace(outcome, contexts={1: replace(outcome.contexts[1], scu=as_scp, scp=not as_scp)})
    role = RoleSelection(sop_class_uid=CT, scu=as_scp == proposed, scp=as_scp != proposed)
    request = AssociateRequest(
        called_aet="A", calling_aet="B", contexts=(), user_information=UserInformation(roles=(role,))
    )
    theirs, grant = ("SCU", "Roles()") if as_scp else ("SCP", "Roles(scp=True)")
    advice = f"grant the requestor the role of an {theirs}: AcceptPolicy(roles={{'{CT}': {grant}}})"
    assert explain(outcome, CT, as_scp=as_scp, answered=request).endswith(
        f"; {advice if proposed else f'the requestor has to propose the role of an {theirs} for it'}"
    )


def test_an_acceptor_that_refused_a_context_is_told_to_accept_it() -> None:
    request = AssociateRequest(called_aet="A", calling_aet="B", contexts=())
    assert explain(agreed(ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED), CT, answered=request).endswith(
        "none of the transfer syntaxes supported; accept it: AcceptPolicy(contexts=...)"
    )
    assert explain(agreed(ContextResult.ACCEPTANCE), CT, (IMPLICIT,), answered=request).endswith(
        "accepted with JPEG Baseline (Process 1); the requestor has to propose other syntaxes"
    )


def test_why_nothing_is_planned() -> None:
    planned = plan([*[(uid, JPEG) for uid in many(128)], (CT, JPEG), (CT, EXPLICIT)], associations=1)
    assert explain(planned, CT, (JPEG, EXPLICIT)) == (
        "no presentation context for CT Image Storage in JPEG Baseline (Process 1) or Explicit VR Little Endian: "
        "no room: an association has at most 128 presentation contexts [PS3.8 9.3.2.2]"
    )
    assert explain(planned, MR).endswith("MR Image Storage: none is planned; plan one for it")
    assert explain(planned, "1.2.5", (IMPLICIT,)).endswith(": planned with JPEG Baseline (Process 1)")


def test_why_nothing_is_proposed() -> None:
    found = contexts_for([ProposedService(sop_classes=tuple(many(128))), ProposedService(sop_classes=(CT, "1.2.5"))])
    assert explain(found, CT).endswith(
        "CT Image Storage: no room: an association has at most 128 presentation contexts [PS3.8 9.3.2.2]"
    )
    assert explain(found, "1.2.5").endswith(": planned with Explicit VR Little Endian, Implicit VR Little Endian")
    assert explain(Proposal(contexts=()), CT).endswith("none is planned; plan one for it")


def test_what_is_no_uid_is_not_repeated() -> None:
    assert "Jane" not in explain(plan([("Doe^Jane", JPEG)]), "Doe^Jane", ("Doe^Jane",))
