"""Refusals and required attributes: the status of each, its comment and its tags."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.conversation import exchange, flows
from dicos_proto.conversation.exchange import Exchange
from dicos_proto.conversation.invoking import ask
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import (
    CFindRequest,
    CGetRequest,
    NActionRequest,
    NCreateRequest,
    NEventReportRequest,
    NSetRequest,
)
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.services.normalized import n_action, n_create, n_delete, n_event_report, n_set
from dicos_proto.services.performing import ProviderOperation
from dicos_proto.services.serving import Needed, NormalizedOperation, Refused, items_of, require, text_of, uid_of
from tests.services.talk import dataset, pair_for, serve, use

MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP
NEEDED = (
    Needed("StudyID", 2),
    Needed("Modality", 1),
    Needed("ReferencedSOPSequence", 1, (Needed("ReferencedSOPClassUID", 1), Needed("ReferencedSOPInstanceUID", 2))),
)


NO_NUMBER = (
    b"\x08\x00\x98\x11\x13\x00\x00\x00"  # Failed SOP Sequence
    b"\xfe\xff\x00\xe0\x0b\x00\x00\x00"  # item
    b"\x08\x00\x97\x11\x03\x00\x00\x00abc"  # Failure Reason, US: 2 bytes
)


def item(**values: str) -> Dataset:
    return dataset(**values)


@pytest.mark.parametrize(
    ("given", "code", "comment", "tags"),
    [
        ({}, 0x0120, "StudyID, Modality, ReferencedSOPSequence", (0x00200010, 0x00080060, 0x00081199)),
        ({"StudyID": "", "Modality": "", "ReferencedSOPSequence": []}, 0x0121, "Modality, ReferencedSOPSequence",
         (0x00080060, 0x00081199)),
        ({"StudyID": "", "Modality": "CT", "ReferencedSOPSequence": [item(), item()]}, 0x0120,
         "ReferencedSOPClassUID, ReferencedSOPInstanceUID", (0x00081150, 0x00081155)),
        ({"StudyID": "", "Modality": "CT", "ReferencedSOPSequence": [
            item(ReferencedSOPClassUID="", ReferencedSOPInstanceUID="")]}, 0x0121, "ReferencedSOPClassUID",
         (0x00081150,)),
    ],
)  # fmt: skip
def test_missing_attributes_are_named(given: dict[str, Any], code: int, comment: str, tags: tuple[int, ...]) -> None:
    with pytest.raises(Refused) as caught:
        require(dataset(**given), NEEDED)
    assert (caught.value.code, caught.value.comment, caught.value.tags) == (code, comment, tags)
    assert str(caught.value) == f"{status.describe(code)}: {comment}"


def test_a_data_set_that_has_all_of_it_passes() -> None:
    require(
        dataset(
            StudyID="",
            Modality="CT",
            ReferencedSOPSequence=[item(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="")],
        ),
        NEEDED,
    )


def test_an_attribute_that_is_not_a_sequence_has_no_items() -> None:
    assert items_of(dataset(StudyID="1"), "StudyID") == []
    assert items_of(dataset(), "StudyID") == []


def test_only_one_text_is_a_text_and_only_a_uid_a_uid() -> None:
    made = dataset(ReferencedSOPSequence=[], Modality="CT", StudyInstanceUID=["1.2", "1.3"], SOPInstanceUID="1.2")
    assert text_of(made, "Modality") == "CT"
    assert [text_of(made, one) for one in ("ReferencedSOPSequence", "StudyInstanceUID", "StudyID")] == ["", "", ""]
    assert uid_of(made, "SOPInstanceUID") == "1.2"
    assert uid_of(dataset(StudyID="../x"), "StudyID") == ""


def refuse_with(provider: Exchange, refused: Refused) -> Any:
    def handle(start: MessageStart) -> flows.Flow[None]:
        yield from NormalizedOperation(provider, start).refuse(refused)

    return handle


@given(st.text(max_size=200))
def test_any_comment_is_made_one_that_can_be_sent(comment: str) -> None:
    pair = pair_for([MPPS])
    ((result,), _) = pair.run(
        use(pair.uses, n_set(pair.uses, MPPS, "1.2", dataset(StudyID="1"))),
        serve(pair.provides, refuse_with(pair.provides, Refused(0x0110, comment, (0x00100010,), 0xA710))),
    )
    response = result.response
    assert len(response.error_comment or "") == min(64, len(comment.strip() and (response.error_comment or "")))
    assert (response.status, response.error_id, response.offending_element) == (0x0110, 0xA710, (0x00100010,))
    assert response.attribute_identifier_list == (0x00100010,)


def test_a_refusal_of_a_request_without_attributes_has_no_attribute_list() -> None:
    pair = pair_for([MPPS])
    ((result,), _) = pair.run(
        use(pair.uses, n_delete(pair.uses, MPPS, "1.2")),
        serve(pair.provides, refuse_with(pair.provides, Refused(0x0112, "gone"))),
    )
    assert (result.response.status, result.response.error_comment, result.response.offending_element) == (
        0x0112,
        "gone",
        None,
    )


def test_unexpected_requests_are_refused_each_with_its_status() -> None:
    pair = pair_for([MPPS], roles={MPPS: (True, True)})
    seen: list[Refused | None] = []

    def handle(start: MessageStart) -> flows.Flow[None]:
        serving = NormalizedOperation(pair.provides, start)
        try:
            serving.expect((NActionRequest, NSetRequest), (MPPS,))
            serving.expect((NActionRequest, NSetRequest), (MPPS,), instance="1.2", types=(1, 2))
            yield from serving.grant()
            seen.append(None)
        except Refused as refused:
            yield from serving.refuse(refused)
            seen.append(refused)

    results, _ = pair.run(
        use(
            pair.uses,
            n_action(pair.uses, MPPS, "1.2", 2),
            n_set(pair.uses, MPPS, "1.2", dataset()),
            n_create(pair.uses, MPPS),
            n_action(pair.uses, "1.2.3", "1.2", 2, negotiated=MPPS),
            n_action(pair.uses, MPPS, "1.3", 2),
            n_action(pair.uses, MPPS, "1.2", 3),
        ),
        serve(pair.provides, handle),
    )
    assert [each.response.status for each in results] == [0, 0, 0x0211, 0x0118, 0x0112, 0x0123]
    assert [each and each.code for each in seen] == [None, None, 0x0211, 0x0118, 0x0112, 0x0123]


@pytest.mark.parametrize(("type_id", "code"), [(1, 0), (2, 0x0113)])
def test_an_event_of_another_type_is_no_such_event_type(type_id: int, code: int) -> None:
    pair = pair_for([MPPS], roles={MPPS: (True, True)})

    def handle(start: MessageStart) -> flows.Flow[None]:
        serving = NormalizedOperation(pair.provides, start)
        try:
            serving.expect((NEventReportRequest,), (MPPS,), types=(1,))
            yield from serving.grant()
        except Refused as refused:
            yield from serving.refuse(refused)

    ((result,), _) = pair.run(
        use(pair.uses, n_event_report(pair.uses, MPPS, "1.2", type_id)), serve(pair.provides, handle)
    )
    assert result.response.status == code


@pytest.mark.parametrize(
    ("conversation", "code"),
    [
        (lambda user: n_create(user, MPPS, "1.2", b"broken"), 0x0110),
        (lambda user: n_set(user, MPPS, "1.2", b"broken"), 0x0110),
        (lambda user: n_action(user, MPPS, "1.2", 1, b"broken"), 0x0115),
        (lambda user: n_create(user, MPPS, "1.2", NO_NUMBER), 0x0110),
        (lambda user: n_action(user, MPPS, "1.2", 1, NO_NUMBER), 0x0115),
        (lambda user: n_action(user, MPPS, "1.2", 1, bytes(2000)), 0x0213),
        (lambda user: n_action(user, MPPS, "1.2", 1), None),
    ],
    ids=["create", "set", "action", "number", "number-in-action", "too-long", "none"],
)
def test_an_invalid_data_set_is_refused_and_the_next_request_served(conversation: Any, code: int | None) -> None:
    pair = pair_for([MPPS], provider_limits=Limits(attributes=1000))

    def handle(start: MessageStart) -> flows.Flow[Any]:
        serving = NormalizedOperation(pair.provides, start)
        try:
            found = yield from serving.read()
        except Refused as refused:
            yield from serving.refuse(refused)
            return refused.code
        yield from serving.grant(sop_instance_uid="1.9")
        assert (serving.attributes is None) == (len(found) == 0)
        return None

    results, served = pair.run(
        use(pair.uses, conversation(pair.uses), n_create(pair.uses, MPPS, None, dataset(StudyID="1"))),
        serve(pair.provides, handle),
    )
    assert served == [code, None]
    assert results[0].response.status == (code or 0)
    assert results[1].response.affected_sop_instance_uid == "1.9"


def test_the_response_must_name_an_instance_created_without_a_uid() -> None:
    pair = pair_for([MPPS])

    def handle(start: MessageStart) -> flows.Flow[type[NCreateRequest]]:
        serving = NormalizedOperation(pair.provides, start)
        with pytest.raises(LocalProtocolError, match=r"does not name the created instance \[PS3\.7 10\.1\.5\.1\.2\]"):
            yield from serving.grant()
        assert serving.sop_instance_uid is None
        yield from serving.grant(code=0x0116, comment="as far as known", sop_instance_uid="1.9")
        return NCreateRequest

    ((result,), _) = pair.run(use(pair.uses, n_create(pair.uses, MPPS)), serve(pair.provides, handle))
    assert (result.response.status, result.response.error_comment) == (0x0116, "as far as known")


def test_a_request_nobody_knows_is_answered_by_the_general_rule() -> None:
    pair = pair_for([MPPS])

    def handle(start: MessageStart) -> flows.Flow[None]:
        pair.provides.reply(exchange.response_to(start, status.UNRECOGNIZED_OPERATION))
        yield from ()

    ((result,), _) = pair.run(use(pair.uses, n_delete(pair.uses, MPPS, "1.2")), serve(pair.provides, handle))
    assert result.response.status == 0x0211


def test_an_image_to_be_printed_may_be_as_long_as_an_object() -> None:
    meta, box = uids.BASIC_GRAYSCALE_PRINT_MANAGEMENT_META, uids.BASIC_GRAYSCALE_IMAGE_BOX
    pair = pair_for([meta, MPPS], provider_limits=Limits(attributes=1000, collected=3000))

    def handle(start: MessageStart) -> flows.Flow[Any]:
        serving = NormalizedOperation(pair.provides, start)
        try:
            yield from serving.read()
        except Refused as refused:
            yield from serving.refuse(refused)
            return refused.code
        yield from serving.grant()
        return 0

    def pixels(size: int) -> bytes:
        return b"\xe0\x7f\x10\0" + (size - 8).to_bytes(4, "little") + bytes(size - 8)

    _, served = pair.run(
        use(
            pair.uses,
            n_set(pair.uses, box, "1.2", pixels(3000), negotiated=meta),
            n_set(pair.uses, box, "1.2", pixels(3002), negotiated=meta),
            n_set(pair.uses, MPPS, "1.2", pixels(1002)),
        ),
        serve(pair.provides, handle),
    )
    assert served == [0, 0x0213, 0x0213]


class Room:
    """A holder with room for this many bytes."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size
        self.most = 0

    def hold(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        self.most = max(self.most, self.size - self.left)
        return True

    def let_go(self) -> None:
        self.left = self.size


@pytest.mark.parametrize("size", [900, 1500, 2002, 3002])
@pytest.mark.parametrize("meta", [True, False])
def test_an_image_to_be_printed_is_asked_room_for(meta: bool, size: int) -> None:
    box = uids.BASIC_COLOR_IMAGE_BOX
    context = uids.BASIC_COLOR_PRINT_MANAGEMENT_META if meta else box
    pair = pair_for([context, MPPS], provider_limits=Limits(attributes=1000, collected=3000))
    room = pair.provides.holder = Room(2000)

    def handle(start: MessageStart) -> flows.Flow[str]:
        performing = ProviderOperation(pair.provides, start)
        try:
            found = yield from performing.receive()
            said = str(found and len(found.data))
            assert room.left == 2000 - (size if isinstance(performing.request, NSetRequest) else 0)
        except DataSetTooLong as error:
            said = str(error)
            assert room.left == 2000
        yield from performing.finish(0)
        assert room.left == 2000
        return said

    data = bytes(size)
    _, served = pair.run(
        use(pair.uses, n_set(pair.uses, box, "1.2", data, negotiated=context)), serve(pair.provides, handle)
    )
    if size > 3000:
        assert served == ["data set of 3002 bytes (limit collected: 3000 allowed)"]
    elif size > 2000:
        assert served == ["no room now for whole data sets (server limit: collected)"]
    else:
        assert served == [str(size)]
        assert room.most == size


BOX = uids.BASIC_GRAYSCALE_IMAGE_BOX
NAMES_AN_IMAGE = {
    "C-FIND": (uids.STUDY_ROOT_FIND, CFindRequest(message_id=1, affected_sop_class_uid=BOX)),
    "C-GET": (uids.STUDY_ROOT_GET, CGetRequest(message_id=1, affected_sop_class_uid=BOX)),
    "N-SET on another context": (
        MPPS, NSetRequest(message_id=1, requested_sop_class_uid=BOX, requested_sop_instance_uid="1.2"),
    ),
    "N-CREATE on another context": (MPPS, NCreateRequest(message_id=1, affected_sop_class_uid=BOX)),
    "N-ACTION of an image": (
        BOX,
        NActionRequest(
            message_id=1, requested_sop_class_uid=BOX, requested_sop_instance_uid="1.2", action_type_id=1
        ),
    ),
    "N-SET of a film": (
        uids.BASIC_GRAYSCALE_PRINT_MANAGEMENT_META,
        NSetRequest(message_id=1, requested_sop_class_uid=uids.BASIC_FILM_BOX, requested_sop_instance_uid="1.2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("context", "request_"), NAMES_AN_IMAGE.values(), ids=NAMES_AN_IMAGE)
def test_a_request_that_only_names_an_image_box_has_the_usual_limit(context: str, request_: Any) -> None:
    """An identifier of sixty megabytes whose request names the SOP class of an image box."""
    pair = pair_for([context], provider_limits=Limits(attributes=1000, collected=3000))
    room = pair.provides.holder = Room(2000)

    def handle(start: MessageStart) -> flows.Flow[str]:
        performing = ProviderOperation(pair.provides, start)
        try:
            yield from performing.receive()
        except DataSetTooLong as error:
            yield from performing.finish(0xC000)
            return str(error)
        return ""

    _, served = pair.run(use(pair.uses, ask(pair.uses, 1, request_, bytes(1500))), serve(pair.provides, handle))
    assert served == ["data set of 1500 bytes (limit attributes: 1000 allowed)"]
    assert room.most == 0
