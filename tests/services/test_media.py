"""Media creation: requests that are created, initiated, written, cancelled; refusals in each state."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import NGetRequest
from dicos_proto.services import media
from dicos_proto.services.media import MEDIA, Creating, Disc, MediaStatus
from dicos_proto.services.normalized import n_action, n_create, n_delete
from dicos_proto.services.serving import Reference, Refused
from tests.pair import Pair, splitters
from tests.services.talk import dataset, pair_for, serve, use

ONE, TWO = Reference("1.2", "1.2.1"), Reference("1.2", "1.2.2")
REQUEST = dataset(
    ReferencedSOPSequence=[dataset(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.2.1")], LabelText="A"
)
IDLE = media.create("1.9", REQUEST)


def code_of(action: Any) -> int:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def test_a_request_waits_until_it_is_initiated() -> None:
    assert (IDLE.status, IDLE.references) == (MediaStatus.IDLE, (ONE,))
    assert IDLE.dataset.ExecutionStatus == "IDLE"
    queued = media.start(IDLE, dataset(NumberOfCopies="3"))
    assert (queued.status, queued.copies, queued.dataset.ExecutionStatusInfo) == (MediaStatus.PENDING, 3, "QUEUED")
    for odd in (Dataset(), dataset(NumberOfCopies="0"), dataset(NumberOfCopies=["2", "3"])):
        assert media.start(IDLE, odd).copies == 1
    assert "ExecutionStatus" not in REQUEST


def test_a_request_without_instances_is_invalid() -> None:
    assert code_of(lambda: media.create("1.9", REQUEST, exists=True)) == 0x0111
    assert code_of(lambda: media.create("1.9", Dataset())) == 0x0120
    assert code_of(lambda: media.create("1.9", dataset(ReferencedSOPSequence=[]))) == 0x0121


@given(st.sampled_from(MediaStatus), st.booleans())
def test_operations_allowed_in_each_state(now: MediaStatus, interruptible: bool) -> None:
    disc = IDLE.became(now, pieces=2, failed=[TWO])
    if now is MediaStatus.IDLE:
        assert media.start(disc, Dataset()).status is MediaStatus.PENDING
    else:
        assert code_of(lambda: media.start(disc, Dataset())) == 0xA510
    if now in (MediaStatus.DONE, MediaStatus.FAILURE):
        assert code_of(lambda: media.stop(disc, interruptible=interruptible)) == 0xC201
    elif now is MediaStatus.CREATING and not interruptible:
        assert code_of(lambda: media.stop(disc, interruptible=interruptible)) == 0xC202
    else:
        media.stop(disc, interruptible=interruptible)


def keep(pair: Pair, discs: dict[str, Disc], **options: Any) -> Any:
    """A provider that keeps requests in `discs`."""

    def handle(start: MessageStart) -> flows.Flow[int]:
        creating = Creating(pair.provides, start)
        try:
            if isinstance(start.command, NGetRequest):
                yield from creating.grant(creating.get(discs))
                return 0
            disc = yield from creating.work(discs, **options)
        except Refused as refused:
            yield from creating.refuse(refused)
            return refused.code
        if disc is None:
            del discs[str(creating.sop_instance_uid)]
            yield from creating.grant()
        else:
            discs[disc.sop_instance_uid] = disc
            yield from creating.grant(sop_instance_uid=disc.sop_instance_uid)
        return 0

    return handle


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
def test_media_are_ordered_and_the_result_is_asked_for(split: Any) -> None:
    pair = pair_for([MEDIA], split=split)
    user, discs = pair.uses, {}

    def written() -> flows.Flow[None]:
        discs["1.9"] = discs["1.9"].became(MediaStatus.FAILURE, "OUT_OF_SUPPLIES", pieces=1, failed=[TWO])
        yield from ()

    results, served = pair.run(
        use(
            user,
            media.create_request(user, [ONE, TWO], dataset(LabelText="A"), "1.9"),
            media.get_result(user, "1.9"),
            media.initiate(user, "1.9", copies=2, priority="HIGH"),
            media.initiate(user, "1.9"),
            written(),
            media.get_result(user, "1.9"),
            media.cancel(user, "1.9"),
            media.create_request(user, [ONE], None, "1.8"),
            media.cancel(user, "1.8"),
            media.get_result(user, "1.8"),
            media.cancel(user, "1.8"),
        ),
        serve(pair.provides, keep(pair, discs)),
    )
    assert served == [0, 0, 0, 0xA510, 0, 0xC201, 0, 0, 0x0112, 0x0112]
    assert (results[1].status, results[1].info, results[1].pieces, results[1].failed) == (
        MediaStatus.IDLE,
        "NORMAL",
        0,
        (),
    )
    after = results[5]
    assert (after.status, after.info, after.pieces) == (MediaStatus.FAILURE, "OUT_OF_SUPPLIES", 1)
    assert after.failed == (TWO,)
    gone = results[9]
    assert (gone.status, gone.info, gone.pieces, gone.failed) == (None, None, None, ())
    assert (discs["1.9"].copies, discs["1.9"].references) == (2, (ONE, TWO))


@pytest.mark.parametrize(("new_uid", "code"), [("1.2.77", 0), (None, 0x0117)])
def test_a_request_without_a_name_gets_one_or_is_refused(new_uid: str | None, code: int) -> None:
    pair = pair_for([MEDIA])
    ((result,), served) = pair.run(
        use(pair.uses, media.create_request(pair.uses, [ONE])),
        serve(pair.provides, keep(pair, {}, new_uid=new_uid)),
    )
    assert served == [code]
    assert result.response.affected_sop_instance_uid == new_uid


def test_other_operations_and_actions_are_refused() -> None:
    pair = pair_for([MEDIA])
    bad = dataset(ReferencedSOPSequence=[dataset(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.2\\1.3")])
    _, served = pair.run(
        use(
            pair.uses,
            n_action(pair.uses, MEDIA, "1.9", 3),
            n_delete(pair.uses, MEDIA, "1.9"),
            n_create(pair.uses, MEDIA, "1.9", bad),
            media.cancel(pair.uses, "1.9"),
        ),
        serve(pair.provides, keep(pair, {"1.9": IDLE.became(MediaStatus.CREATING)}, interruptible=False)),
    )
    assert served == [0x0123, 0x0211, 0x0111, 0xC202]
    assert code_of(lambda: media.create("1.9", bad)) == 0x0115
