"""How rejections and aborts read: the words of PS3.8 tables 9-21 and 9-26, and the numbers for what is reserved."""

import pytest

from dicos_proto.upper_layer.pdu_types import (
    REJECT_REASONS,
    Abort,
    AssociateReject,
    RejectResult,
    RejectSource,
    UserIdentityType,
)

# (result, source, reason) as PS3.8 table 9-21 prints them.
REJECTIONS = {
    (1, 1, 1): "permanently by the service user: no reason given",
    (2, 1, 2): "for now by the service user: application context name not supported",
    (1, 1, 3): "permanently by the service user: calling AE title not recognized",
    (1, 1, 7): "permanently by the service user: called AE title not recognized",
    (1, 2, 1): "permanently by the service provider (ACSE): no reason given",
    (1, 2, 2): "permanently by the service provider (ACSE): protocol version not supported",
    (2, 3, 1): "for now by the service provider (presentation): temporary congestion",
    (2, 3, 2): "for now by the service provider (presentation): local limit exceeded",
    (1, 1, 4): "permanently by the service user: a reserved reason",
    (1, 3, 7): "permanently by the service provider (presentation): a reserved reason",
    (0, 1, 1): "(result 0) by the service user: no reason given",
    (1, 9, 1): "permanently by the unknown source: a reserved reason",
}
ABORTS = {
    (0, 0): "by the service user",
    (0, 6): "by the service user",
    (2, 0): "by the service provider: not specified (0)",
    (2, 1): "by the service provider: unrecognized pdu (1)",
    (2, 2): "by the service provider: unexpected pdu (2)",
    (2, 4): "by the service provider: unrecognized parameter (4)",
    (2, 5): "by the service provider: unexpected parameter (5)",
    (2, 6): "by the service provider: invalid parameter (6)",
    (2, 7): "by the service provider: unknown (7)",
    (1, 5): "by source 1, reserved: unexpected parameter (5)",
}


@pytest.mark.parametrize(("numbers", "text"), REJECTIONS.items(), ids=map(str, REJECTIONS))
def test_rejection(numbers: tuple[int, int, int], text: str) -> None:
    result, source, reason = numbers
    expected = f"association rejected {text} ({result}/{source}/{reason})"
    assert str(AssociateReject(result=result, source=source, reason=reason)) == expected


@pytest.mark.parametrize(("numbers", "text"), ABORTS.items(), ids=map(str, ABORTS))
def test_abort(numbers: tuple[int, int], text: str) -> None:
    """The reason is not significant when the source is the service user [PS3.8 9.3.8]."""
    source, reason = numbers
    assert str(Abort(source=source, reason=reason)) == f"association aborted {text}"


def test_numbers_are_those_of_the_standard() -> None:
    assert list(REJECT_REASONS) == [(1, 1), (1, 2), (1, 3), (1, 7), (2, 1), (2, 2), (3, 1), (3, 2)]
    assert [each.value for each in RejectResult] == [1, 2]
    assert [each.value for each in RejectSource] == [1, 2, 3]
    assert [each.name for each in UserIdentityType] == ["USERNAME", "USERNAME_AND_PASSCODE", "KERBEROS", "SAML", "JWT"]
    assert [each.value for each in UserIdentityType] == [1, 2, 3, 4, 5]
