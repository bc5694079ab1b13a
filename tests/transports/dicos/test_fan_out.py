"""One object to several servers: encoded once, an outcome for each, nobody waits for another, little memory."""

import socket
import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from dicos_proto.dicos import CT, view
from dicos_proto.dicos.profile import Family, accept_policy
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_transports.blocking import Session, StoreRequest
from dicos_transports.blocking.server import serve
from dicos_transports.dicos import Delivery, Destination, Encoded, fan_out, stamp
from dicos_transports.dicos import sending as module
from tests.transports.dicos.test_dicos_sending import Kept, bag, receiving

QUICK = Timeouts(artim=1.0, connect=2.0, association=2.0, response=2.0, write_stall=1.0, release=2.0)


def to(server: Any, **options: Any) -> Destination:
    return Destination(where=("127.0.0.1", server.port), options={"timeouts": QUICK, **options})


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The transfer syntaxes in which something was encoded."""
    found: list[str] = []
    real = module.pieces

    def counted(dataset: Any, syntax: str) -> Any:
        found.append(syntax)
        return real(dataset, syntax)

    monkeypatch.setattr(module, "pieces", counted)
    return found


def test_every_server_gets_it_and_it_is_encoded_once(encodings: list[str]) -> None:
    first, second, third, ct = Kept(), Kept(), Kept(), bag()
    implicit = type(accept_policy())(
        contexts={uids.DICOS_CT: (uids.IMPLICIT_VR_LE,)}, application_contexts=uids.APPLICATION_CONTEXTS
    )
    with receiving(first) as one, receiving(second) as two, receiving(third, policy=implicit) as three:
        found = list(fan_out(ct, [to(one), to(two, calling_aet="SCANNER"), to(three)]))
    assert [each.statuses for each in found] == [(0,)] * 3
    assert all(each.done for each in found)
    assert {each.destination.where[1] for each in found} == {one.port, two.port, three.port}
    assert sorted(encodings) == [uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE]
    for kept in (first, second, third):
        assert np.array_equal(view(kept.objects[0]).volume, ct.volume)


def test_sections_of_one_instance_uid_are_all_sent() -> None:
    kept, uid = Kept(), "2.25.7"
    sections = [
        CT.new(np.full((frames, 4, 6), frames, "<u2"), ooi_id="BAG-1", stamp=stamp(), sop_instance_uid=uid)
        for frames in (2, 3, 3)
    ]
    with receiving(kept) as server:
        (found,) = fan_out(sections, [to(server)])
    assert found.statuses == (0, 0, 0)
    assert [view(one).volume.shape for one in kept.objects] == [(2, 4, 6), (3, 4, 6), (3, 4, 6)]
    assert {one.SOPInstanceUID for one in kept.objects} == {uid}


def test_a_dead_and_a_slow_server_hold_up_nobody() -> None:
    """The dead one listens and never answers; the slow one reads nothing until the others have all of it."""
    kept, others_done = Kept(), threading.Event()
    ct = CT.new(np.zeros((32, 512, 512), "<u2"), ooi_id="BAG-1", stamp=stamp())

    def slowly(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            assert others_done.wait(30)
            for _ in request.data():
                pass
            request.respond()

    with (
        socket.create_server(("127.0.0.1", 0)) as dead,
        serve(("127.0.0.1", 0), slowly, policy=accept_policy()) as slow,
        receiving(kept) as fast,
        receiving(Kept(), policy=accept_policy(Family.TDR)) as other,
    ):
        patient = Timeouts(write_stall=30.0)
        wanted = [
            Destination(where=dead.getsockname(), options={"timeouts": QUICK}),
            Destination(where=("127.0.0.1", slow.port), options={"timeouts": patient}),
            to(fast),
            to(other),
            Destination(where="no.such.host.invalid:104", options={"timeouts": QUICK}),
            Destination(where=("127.0.0.1", fast.port), options={"called_aet": "much too long a title"}),
        ]
        tracemalloc.start()
        began = time.monotonic()
        found: list[Delivery] = []
        for each in fan_out(ct, wanted):
            found.append(each)
            if len(found) == 5:
                others_done.set()
        took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    by = {id(each.destination): each for each in found}
    outcomes = [by[id(one)] for one in wanted]
    assert [each.done for each in outcomes] == [False, True, True, False, False, False]
    texts = [str(each.error) for each in outcomes]
    assert "association: waiting for the answer" in texts[0]
    assert "no.such.host.invalid" in texts[4]
    assert [each.statuses for each in outcomes] == [(), (0,), (0,), (), (), ()]
    assert found[-1] is outcomes[1]
    assert took < 20
    assert peak < len(kept.objects[0].PixelData) + (40 << 20), "one received copy, and no other"


def test_a_status_that_is_no_success_is_not_done() -> None:
    def refuse(session: Session) -> None:
        for request in session:
            request.respond(0xA700)

    with serve(("127.0.0.1", 0), refuse, policy=accept_policy()) as server:
        (found,) = fan_out([Encoded(bag())], [to(server)])
    assert (found.statuses, found.error, found.done) == ((0xA700,), None, False)


def test_nothing_and_nobody() -> None:
    assert list(fan_out(bag(), [])) == []
    with pytest.raises(TypeError):
        fan_out(["a path"], [])  # type: ignore[list-item]
