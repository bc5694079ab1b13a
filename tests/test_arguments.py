"""One value in place of several, and an object of another type, are refused where they are given."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dicos_proto import AcceptPolicy, AssociateRequest, negotiate, propose
from dicos_proto.arguments import check_function, check_kind, check_not, kind_of, one_for_many
from dicos_proto.conversation.flows import find_context
from dicos_proto.conversation.planning import ProposedService, get_services
from dicos_proto.registry import uids
from dicos_proto.services.commitment import next_report
from dicos_proto.services.query import Find
from dicos_proto.services.storage import StoreMany, store
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, number_contexts, propose_roles
from dicos_proto.upper_layer.pdu_types import CommonExtendedNegotiation, OperationsWindow, ProposedContext
from dicos_proto.upper_layer.policy import IdentityPolicy, Preference, Roles
from tests.pair import CT, IMPLICIT, Pair

# The types of these arguments are wrong, which a type checker reports.
# mypy: disable-error-code="arg-type, list-item, dict-item"
ONE = "1.2.3"

MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "propose, abstract syntaxes": (lambda: propose(ONE), "propose('1.2.3'): str in place of a list of UIDs"),
    "propose, transfer syntaxes": (
        lambda: propose([ONE], "1.2.4"),
        "propose(..., '1.2.4'): str in place of a tuple of transfer syntaxes; write ('1.2.4',)",
    ),
    "propose, bytes": (lambda: propose(b"1.2"), "propose(...): bytes in place of a list of UIDs"),
    "propose_roles": (lambda: propose_roles(ONE), "propose_roles('1.2.3'): str in place of a list of UIDs"),
    "number_contexts": (lambda: number_contexts([(ONE, ONE)]), "ProposedContext(transfer_syntaxes='1.2.3'): str in"),
    "a context": (
        lambda: ProposedContext(id=1, abstract_syntax=ONE, transfer_syntaxes=ONE),
        "ProposedContext(transfer_syntaxes='1.2.3'): str in place of a tuple of UIDs; write ('1.2.3',)",
    ),
    "related SOP classes": (
        lambda: CommonExtendedNegotiation(sop_class_uid=ONE, service_class_uid=ONE, related_general=ONE),
        "CommonExtendedNegotiation(related_general='1.2.3'): str in place of a tuple of UIDs",
    ),
    "a UID as contexts": (
        lambda: AssociateRequest(called_aet="A", calling_aet="B", contexts=ONE),
        "contexts='1.2.3': str in place of a tuple of ProposedContext; propose makes them",
    ),
    "UIDs as contexts": (
        lambda: AssociateRequest(called_aet="A", calling_aet="B", contexts=(ONE,)),
        "contexts=['1.2.3', ...]: str in place of ProposedContext; propose makes them",
    ),
    "a context as contexts": (
        lambda: AssociateRequest(called_aet="A", calling_aet="B", contexts=propose([ONE])[0]),
        "contexts=...: ProposedContext in place of a tuple of ProposedContext",
    ),
    "policy, contexts": (
        lambda: AcceptPolicy(contexts={ONE: "1.2.4"}),
        "AcceptPolicy(contexts={'1.2.3': '1.2.4'}): str in place of a tuple of transfer syntaxes; write ('1.2.4',)",
    ),
    "policy, contexts as a list": (
        lambda: AcceptPolicy(contexts=[ONE]),
        "AcceptPolicy(contexts=...): list in place of a mapping of UIDs to transfer syntaxes",
    ),
    "policy, a context without syntaxes": (
        lambda: AcceptPolicy(contexts={ONE: None}),
        "AcceptPolicy(contexts={'1.2.3': ...}): None in place of a tuple of transfer syntaxes",
    ),
    "policy, other contexts": (
        lambda: AcceptPolicy(other_contexts=ONE),
        "AcceptPolicy(other_contexts='1.2.3'): str in place of a tuple of transfer syntaxes; write ('1.2.3',)",
    ),
    "policy, an iterator": (
        lambda: AcceptPolicy(other_contexts=iter(UNCOMPRESSED)),
        "AcceptPolicy(other_contexts=...): tuple_iterator in place of a tuple of transfer syntaxes",
    ),
    "policy, general": (lambda: AcceptPolicy(general={ONE: ONE}), "AcceptPolicy(general={'1.2.3': '1.2.3'}): str in"),
    "policy, refused": (
        lambda: AcceptPolicy(refused=ONE),
        "AcceptPolicy(refused='1.2.3'): str in place of a frozenset of UIDs; write frozenset({'1.2.3'})",
    ),
    "policy, application contexts": (
        lambda: AcceptPolicy(application_contexts=uids.DICOM_APPLICATION_CONTEXT),
        "AcceptPolicy(application_contexts='1.2.840.10008.3.1.1.1'): str in place of a tuple of UIDs",
    ),
    "policy, called titles": (
        lambda: AcceptPolicy(called_aets="ARCHIVE"),
        "AcceptPolicy(called_aets='ARCHIVE'): str in place of a frozenset of AE titles; write frozenset({'ARCHIVE'})",
    ),
    "policy, calling titles": (
        lambda: AcceptPolicy(calling_aets="SCANNER"),
        "AcceptPolicy(calling_aets='SCANNER'): str in place of a frozenset of AE titles",
    ),
    "policy, preference": (
        lambda: AcceptPolicy(preference="own"),
        "AcceptPolicy(preference='own'): str in place of Preference; write Preference.OWN or Preference.REQUESTOR",
    ),
    "policy, roles": (
        lambda: AcceptPolicy(roles={ONE: (True, True)}),
        "AcceptPolicy(roles={'1.2.3': ...}): tuple in place of Roles",
    ),
    "policy, roles as a list": (
        lambda: AcceptPolicy(roles=[ONE]),
        "AcceptPolicy(roles=...): list in place of a mapping of UIDs to Roles",
    ),
    "policy, window": (
        lambda: AcceptPolicy(window=8),
        "AcceptPolicy(window=8): int in place of OperationsWindow or None",
    ),
    "policy, extended": (
        lambda: AcceptPolicy(extended=b"\1"),
        "AcceptPolicy(extended=...): bytes in place of a mapping of UIDs to options",
    ),
    "policy, identity": (
        lambda: AcceptPolicy(identity={b"ada": b""}),
        "AcceptPolicy(identity=...): dict in place of IdentityPolicy",
    ),
    "identities": (lambda: IdentityPolicy(types=2), "IdentityPolicy(types=2): int in place of a tuple of identity"),
    "users": (lambda: IdentityPolicy(known="ada"), "IdentityPolicy(known=...): str in place of a mapping of names"),
    "services": (lambda: get_services(ONE), "get_services('1.2.3'): str in place of a tuple of UIDs; write ('1.2.3',)"),
    "a service": (
        lambda: ProposedService(sop_classes=ONE),
        "ProposedService(sop_classes='1.2.3'): str in place of a tuple of UIDs",
    ),
    "a service, transfer syntaxes": (
        lambda: ProposedService(sop_classes=(ONE,), transfer_syntaxes=ONE),
        "ProposedService(transfer_syntaxes='1.2.3'): str in place of a tuple of UIDs",
    ),
    "a transfer syntax": (
        lambda: find_context(Pair.established().user, CT, IMPLICIT),
        "find_context(transfer_syntaxes='1.2.840.10008.1.2'): str in place of a tuple of UIDs",
    ),
    "reports": (
        lambda: next(next_report(Pair.established().uses, ONE)),
        "next_report(transactions='1.2.3'): str in place of a tuple of UIDs",
    ),
    "instances": (
        lambda: next(StoreMany(Pair.established().uses, [Path("a.dcm")]).next()),
        "a PosixPath among the instances to store, where an Instance belongs",
    ),
    "a dict to find": (
        lambda: next(Find(Pair.established().uses, CT, {"PatientID": "1"}).next()),
        "data set: dict in place of a Dataset, bytes or Attributes",
    ),
    "a dict to store": (
        lambda: next(store(Pair.established().uses, CT, ONE, IMPLICIT, {"PatientID": "1"})),
        "store(data=...): dict in place of bytes or pieces of bytes",
    ),
    "a data set": (
        lambda: next(store(Pair.established().uses, CT, ONE, IMPLICIT, "abc")),
        "a data set that is a str, where bytes or pieces of bytes belong",
    ),
    "a policy": (
        lambda: negotiate(AssociateRequest(called_aet="A", calling_aet="B", contexts=propose([ONE])), {}),
        "negotiate(request, ...): dict in place of AcceptPolicy",
    ),
}


@pytest.mark.parametrize(("make", "text"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_argument_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError) as error:
        make()
    assert str(error.value).startswith(text)


def test_other_collections_than_the_declared_ones_are_accepted() -> None:
    policy = AcceptPolicy(
        contexts={ONE: list(UNCOMPRESSED)},
        other_contexts=dict.fromkeys(UNCOMPRESSED),
        called_aets={"A"},
        calling_aets=None,
        roles={ONE: Roles(scp=True)},
        window=OperationsWindow(invoked=2),
        preference=Preference.OWN,
    )
    assert propose({ONE: 1}, list(UNCOMPRESSED))
    assert propose(uid for uid in (ONE,))
    assert negotiate(AssociateRequest(called_aet="A", calling_aet="B", contexts=[*propose([ONE])]), policy)


def test_long_texts_are_not_quoted() -> None:
    with pytest.raises(TypeError, match=r"^f\(\.\.\.\): str in place of int or None$"):
        check_kind("x" * 65, "f({})", int, type(None))


def test_functions_are_checked() -> None:
    check_function(None, "f(trace={})")
    check_function(print, "f(trace={})")
    with pytest.raises(TypeError, match=r"^f\(trace=3\): int in place of a function or None$"):
        check_function(3, "f(trace={})")


def test_types_that_are_refused() -> None:
    check_not(b"data", "f({})", "bytes", dict)
    with pytest.raises(TypeError, match=r"^f\(\.\.\.\): dict in place of bytes$"):
        check_not({}, "f({})", "bytes", dict)


@pytest.mark.parametrize(("given", "said"), [(3, "an int"), ("x", "a str"), (None, "None")])
def test_the_type_of_a_value_is_named(given: object, said: str) -> None:
    assert kind_of(given) == said


def test_a_number_of_any_length_is_no_trouble() -> None:
    with pytest.raises(TypeError, match=r"^f\(\.\.\.\): int in place of str$"):
        check_kind(10**5000, "f({})", str)


@pytest.mark.parametrize("given", ["1.2" * 50_000, b"secret"])
@pytest.mark.parametrize("hint", ["", "; write [Path({})]"])
def test_a_suggestion_quotes_no_more_than_the_argument(given: object, hint: str) -> None:
    with pytest.raises(TypeError) as error:
        one_for_many(given, "f({})", "UIDs", hint=hint)
    assert len(str(error.value)) < 100
    assert "secret" not in str(error.value)
