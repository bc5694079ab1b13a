"""The objects that `movescu --store-port` accepts as its own."""

from __future__ import annotations

from argparse import Namespace

import pytest

from dicos_proto.dimse.types import CEchoRequest, CStoreRequest
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import IdentityVerdict
from dicos_transports.cli.expecting import Expected
from dicos_transports.cli.output import Output
from tests.transports.connections import CONTEXTS, CT, VERIFICATION

ASKED = AssociateRequest(called_aet="ME", calling_aet="ARCHIVE", contexts=CONTEXTS)


def expected() -> Expected:
    return Expected("ME", Output(Namespace(json=False, verbose=False, debug=False, quiet=True)))


def store(aet: str | None, number: int | None) -> CStoreRequest:
    return CStoreRequest(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2", move_originator_aet=aet,
        move_originator_message_id=number,
    )  # fmt: skip


def test_nothing_is_taken_before_and_after() -> None:
    at = expected()
    for _ in range(2):
        assert at.identify(ASKED) == IdentityVerdict(accepted=False)
        assert at.fault(store("ME", 5), "ARCHIVE") == "no C-MOVE is outstanding"
        at.begin(5)
        assert at.identify(ASKED) is None  # no identity is confirmed
        assert at.fault(store("ME", 5), "ARCHIVE") is None
        at.end()


@pytest.mark.parametrize(
    ("aet", "number", "fault"),
    [
        (None, None, None),
        ("ME", None, None),
        (None, 5, None),
        ("ME", 5, None),
        ("ME ", 5, None),
        ("ME\0", 5, None),
        ("", 5, None),
        ("YOU", 5, "it belongs to a C-MOVE of another originator"),
        ("ARCHIVE", 5, None),  # as pynetdicom sends it
        ("YOU", None, "it belongs to a C-MOVE of another originator"),
        ("ME", 7, "it belongs to another C-MOVE"),
        (None, 0, "it belongs to another C-MOVE"),
    ],
)
def test_the_originator_counts_where_it_is_named(aet: str | None, number: int | None, fault: str | None) -> None:
    at = expected()
    at.begin(3)
    at.end()
    at.begin(5)
    assert at.fault(store(aet, number), "ARCHIVE") == fault
    assert at.fault(store("ME", 3), "ARCHIVE") is None  # an object that arrives late
    assert at.fault(CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION), "X") is None
