"""The provider without a defect serves as it should: what it keeps, finds and sends back is what it was sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicos_fuzz.broken import NONE
from dicos_fuzz.broken.keeping import MOST, MOST_BYTES, Keys, Shelf, identifier_of, kept_of
from dicos_fuzz.broken.provider import ASSOCIATIONS
from dicos_fuzz.grammar import building
from dicos_fuzz.grammar.building import Offer
from dicos_proto import dimse
from dicos_proto.limits import Limits
from dicos_proto.registry import status, uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import RoleSelection, UserInformation
from dicos_transports.blocking import connect
from tests.fuzz.broken.client import (
    CT,
    ECHO,
    FIND,
    ILE,
    RJ,
    STORE,
    UID,
    Client,
    cancel,
    echo,
    element,
    find,
    image,
    serving,
    store,
)  # fmt: skip


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(NONE) as found:
        yield found


def test_an_object_comes_back_as_it_was_sent(port: int) -> None:
    data = image(40_000)
    contexts = propose([CT, uids.STUDY_ROOT_GET, uids.STUDY_ROOT_FIND], (ILE,))
    roles = UserInformation(roles=(RoleSelection(sop_class_uid=CT, scu=True, scp=True),))
    identifier = element(0x00080018, UID.encode()) + element(0x00080052, b"IMAGE ")
    with connect(("127.0.0.1", port), contexts, user_information=roles) as session:
        assert session.store(CT, UID, ILE, data).status == status.SUCCESS
        found = session.find(uids.STUDY_ROOT_FIND, identifier)
        assert [Keys.of(one.attributes.data, ILE, Limits())[0x00080018] for one in found] == [UID]
        answers = session.get(uids.STUDY_ROOT_GET, identifier)
        for request in answers:
            assert bytes(b"".join(request.data())) == data
            request.respond()
        assert answers.response is not None
        assert isinstance(answers.response, dimse.CGetResponse)
        assert (answers.response.status, answers.response.completed) == (status.SUCCESS, 1)


def test_a_broken_data_set_is_refused(port: int) -> None:
    with Client(port) as client:
        assert client.say(*store(image()[:-1])).status() == status.CANNOT_UNDERSTAND
        assert client.say(*store(image(uid="1.2.3"), number=2)).status() == 0xA900
        assert client.say(*store(image(9 << 20), number=3)).status() == status.OUT_OF_RESOURCES


def test_a_store_on_the_context_of_another_class_is_refused(port: int) -> None:
    with Client(port) as client:
        other = uids.SECONDARY_CAPTURE_IMAGE_STORAGE
        assert client.say(*store(image(), sop_class=other)).status() == status.SOP_CLASS_NOT_SUPPORTED


@pytest.mark.parametrize("identifier", [b"\x08\0", element(0x00080052, b"IMAGE ") * 2 + b"\0"])
def test_an_identifier_that_is_none_is_refused(port: int, identifier: bytes) -> None:
    command = dimse.CFindRequest(message_id=1, affected_sop_class_uid=uids.STUDY_ROOT_FIND)
    with Client(port) as client:
        client.say(*building.message(FIND, command, identifier))
        assert client.status() == status.CANNOT_UNDERSTAND


def test_an_empty_identifier_finds_nothing_to_send_without_a_role(port: int) -> None:
    command = dimse.CGetRequest(message_id=1, affected_sop_class_uid=uids.STUDY_ROOT_GET)
    request = building.request(Offer(contexts=((uids.STUDY_ROOT_GET, (ILE,)),)))
    with Client(port, request) as client:
        assert client.say(*building.message(1, command, b"")).status() == status.SUCCESS


def test_a_query_on_the_context_of_verification_is_refused(port: int) -> None:
    command = dimse.CFindRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION)
    with Client(port) as client:
        client.say(*building.message(ECHO, command, element(0x00080052, b"IMAGE ")))
        assert client.status() == status.UNRECOGNIZED_OPERATION


def test_other_services_are_refused(port: int) -> None:
    command = dimse.NGetRequest(
        message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid=UID
    )  # fmt: skip
    with Client(port) as client:
        assert client.say(*building.message(STORE, command)).status() == status.UNRECOGNIZED_OPERATION


def test_a_late_cancel_harms_nothing(port: int) -> None:
    with Client(port) as client:
        client.say(*find(key=b"1.9.9"))
        assert client.status() == status.SUCCESS
        client.say(cancel(1))
        assert client.say(building.echo(ECHO, 2)).status() == status.SUCCESS
        client.release()


def test_one_association_too_many_is_rejected() -> None:
    with serving(NONE) as port:
        clients = [Client(port) for _ in range(ASSOCIATIONS)]
        assert echo(port) == -RJ
        for client in clients:
            client.release()


def test_the_oldest_objects_give_way() -> None:
    shelf = Shelf()
    for number in range(MOST + 2):
        shelf.keep(kept_of(CT, f"1.2.{number}", ILE, image(8), Limits()))
    kept = shelf.matching({})
    assert len(kept) == MOST
    assert kept[0].sop_instance_uid == "1.2.2"
    for number in range(4):
        shelf.keep(kept_of(CT, f"1.3.{number}", ILE, bytes(MOST_BYTES // 2), Limits()))
    assert [one.sop_instance_uid for one in shelf.matching({})] == ["1.3.2", "1.3.3"]


def test_an_object_is_kept_once_under_its_name() -> None:
    shelf = Shelf()
    for size in (8, 16):
        shelf.keep(kept_of(CT, UID, ILE, image(size), Limits()))
    assert [one.data for one in shelf.matching({0x00080018: UID})] == [image(16)]
    assert shelf.matching({0x0020000D: "1.2.4"}) == []
    assert len(shelf.matching({0x0020000D: "1.2.3\\1.2.4", 0x0020000E: ""})) == 1


@pytest.mark.parametrize("syntax", [ILE, uids.EXPLICIT_VR_LE])
def test_an_identifier_reads_as_it_was_made(syntax: str) -> None:
    kept = kept_of(CT, UID, ILE, image(8), Limits())
    keys = Keys.of(identifier_of(kept, "IMAGE", syntax), syntax, Limits())
    assert keys == {0x00080016: CT, 0x00080018: UID, 0x00080052: "IMAGE", 0x0020000D: "1.2.3", 0x0020000E: ""}


def test_keys_inside_a_sequence_do_not_count() -> None:
    inside = element(0xFFFEE000, element(0x00080018, b"9.9"))
    data = element(0x00080018, b"1.2") + element(0x00081140, b"")[:4] + b"\xff\xff\xff\xff" + inside
    data += b"\xfe\xff\xdd\xe0\0\0\0\0" + element(0x0020000D, b"1.5")
    assert Keys.of(data, ILE, Limits()) == {0x00080018: "1.2", 0x0020000D: "1.5"}


def test_instances_that_no_context_can_carry_are_not_sent(port: int) -> None:
    contexts = propose([CT, uids.STUDY_ROOT_GET], (ILE,))
    with connect(("127.0.0.1", port), contexts) as session:  # not in the role of SCP
        assert session.store(CT, UID, ILE, image()).status == status.SUCCESS
        answers = session.get(uids.STUDY_ROOT_GET, element(0x00080018, UID.encode()))
        assert list(answers) == []
