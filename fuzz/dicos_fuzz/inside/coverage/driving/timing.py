"""Timers that other timers hide unless they are set: retrieve, operation, rate; and the cells of Sta4.

Knows: `Timeouts` for each of them. Must not know: how an expiry is noted (`recording`).
"""

from __future__ import annotations

from dicos_proto.association import Association
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.errors import LocalProtocolError
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT
from dicos_proto.upper_layer.core import Core
from dicos_proto.upper_layer.events import Closed, ProviderAbort
from dicos_proto.upper_layer.machine import Evt, Role, State
from dicos_proto.upper_layer.pdu_types import Abort

from ....grammar import message
from ....grammar.building import p_data
from ...model import menu
from ...model.running import LIMITS, Run
from ...model.scripts import Expire, Receive, Say
from ...model.table import USER
from .probes import Unreached
from .scripts import to
from .wire_limits import established

__all__ = ["run_sta4", "run_timers"]


def run_timers() -> None:
    """Lets the timers expire. Raises `Unreached` if one does not."""
    _retrieve()
    _operation()
    _rate()


def _retrieve() -> None:
    """A C-GET that is answered by nothing; the wait for each response has no deadline here."""
    run = Run(USER, "association", LIMITS[0], timeouts=Timeouts(response=None, retrieve=5.0))
    for step in (*to(USER, 6), Say("C-GET-RQ", 3), Say("last data", 3)):
        run.step(step)
    _expired("retrieve", run)


def _operation() -> None:
    """A C-FIND whose pending responses keep coming."""
    run = Run(USER, "association", LIMITS[0], timeouts=Timeouts(response=None, operation=5.0, message=None))
    pending = menu.command(menu.CLASS_OF["C-FIND-RSP"], 3, 1, 1).command
    for step in (*to(USER, 6), Say("C-FIND-RQ", 3), Say("last data", 3)):
        run.step(step)
    run.step(Receive(b"".join(message(3, pending, bytes(10)))))
    _expired("operation", run)


def _expired(name: str, run: Run) -> None:
    seen = run.step(Expire())
    if not seen.passed or "A-P-ABORT" not in seen.told:
        raise Unreached(f"timer {name}: {seen}")


def _rate() -> None:
    """A message of which two bytes come in each 0.9 seconds: progress, but too slow."""
    engine = established(Limits(), timeouts=Timeouts(message=1.0, minimum_rate=1000.0, pdu=None, idle=None))
    store = CStoreRequest(message_id=1, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="1.2.3")
    engine.receive_data(message(3, store, b"")[0])
    now = 0.0
    for _ in range(20):
        abort = _abort_of(engine)
        if abort is not None:
            if "rate" not in str(abort.error):
                raise Unreached(f"timer rate: {abort.error}")
            return
        deadline = engine.deadline(now)
        wait = 0.9 if deadline is None else min(0.9, deadline.at - now)
        now += wait
        engine.handle_timeout(now)
        if wait == 0.9:  # in time
            engine.receive_data(p_data((3, False, False, b"ab")))
    raise Unreached(f"timer rate: not within {now} s")


def _abort_of(engine: Association) -> ProviderAbort | None:
    """Takes all events. Returns the one that ended the association."""
    while (event := engine.next_event()) is not None and not isinstance(event, Closed):
        if isinstance(event, ProviderAbort):
            return event
    return None


def run_sta4() -> None:
    """The events of Sta4 on the core alone: no public call comes between a request and the open connection.

    An `UpperLayer` or `Association` is made with an open connection, and passes Sta4 within `send`; a core that waits
    for its connection shows that the table's cells are right all the same.
    """
    for event, after in ((Evt.Evt2, State.Sta5), (Evt.Evt15, State.Sta1), (Evt.Evt17, State.Sta1)):
        waiting = _waiting()
        if event is Evt.Evt15:
            waiting.send(Abort())
        elif event is Evt.Evt17:
            waiting.receive_eof()
            waiting.poll()
        else:
            waiting._apply(Evt.Evt2)
        if waiting.state is not after:
            raise Unreached(f"{waiting.state.name} after {event.name} in Sta4; {after.name} expected")
    waiting = _waiting()
    for event in map(Evt, (1, 7, 8, 9, 11, 14)):
        try:
            waiting.check(event, event.name)
        except LocalProtocolError:
            continue
        raise Unreached(f"{event.name} is not refused in Sta4")


def _waiting() -> Core:
    """A requestor that has asked, and whose connection is not open yet."""
    core = Core(Role.REQUESTOR, Limits(), Timeouts(), STRICT)
    core._apply(Evt.Evt1)
    if core.state is not State.Sta4:
        raise Unreached(f"{core.state.name} after Evt1")
    return core
