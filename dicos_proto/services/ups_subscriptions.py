"""The subscriptions of one application entity to events of unified procedure steps [PS3.4 CC.2.3].

`change` applies a subscription to a `Watcher`, `created` a new step. Both are pure functions, and also return the
initial events to report. The caller keeps a `Watcher` for each receiving AE title.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple

from ..registry import status
from .serving import Refused
from .ups import FILTERED_GLOBAL, GLOBAL, SUBSCRIBE, SUSPEND, Report, Subscription, Ups, state_report


class Watch(Enum):
    """The UPS Subscription State of one step, or the Global Subscription State for future steps [PS3.4 CC.2.3.1]."""

    NOT = "Not Subscribed"
    LOCK = "Subscribed with Lock"
    NO_LOCK = "Subscribed w/o Lock"


class Event(Enum):
    """The rows of table CC.2.3-2 that are requests of an application entity."""

    GLOBALLY_WITH_LOCK = "AE subscribes globally with lock"
    GLOBALLY = "AE subscribes globally w/o lock"
    WITH_LOCK = "AE subscribes to specific UPS with lock"
    SPECIFIC = "AE subscribes to specific UPS without lock"
    UNSUBSCRIBE = "AE unsubscribes from specific UPS"
    UNSUBSCRIBE_GLOBALLY = "AE unsubscribes globally"
    SUSPEND = "AE suspends global subscription"


class Cell(NamedTuple):
    """The state after the event, None if it does not change; `initial`: True if the initial event is sent."""

    after: Watch | None = None
    initial: bool = False


_STAY, _STAY_TELL = Cell(), Cell(initial=True)
_LOCK_TELL, _NO_LOCK_TELL, _NO_LOCK = Cell(Watch.LOCK, True), Cell(Watch.NO_LOCK, True), Cell(Watch.NO_LOCK)
_NOT = Cell(Watch.NOT)

# fmt: off
TABLE: Final[dict[Event, tuple[Watch | None, tuple[Cell, Cell, Cell]]]] = {  # PS3.4 table CC.2.3-2
    #                           global state    Not Subscribed  Subscr. with Lock  Subscribed w/o Lock
    Event.GLOBALLY_WITH_LOCK:   (Watch.LOCK,    (_LOCK_TELL,    _STAY,             _STAY)),
    Event.GLOBALLY:             (Watch.NO_LOCK, (_NO_LOCK,      _STAY,             _STAY)),
    Event.WITH_LOCK:            (None,          (_LOCK_TELL,    _STAY_TELL,        _LOCK_TELL)),
    Event.SPECIFIC:             (None,          (_NO_LOCK_TELL, _NO_LOCK_TELL,     _STAY_TELL)),
    Event.UNSUBSCRIBE:          (None,          (_STAY,         _NOT,              _NOT)),
    Event.UNSUBSCRIBE_GLOBALLY: (Watch.NOT,     (_STAY,         _NOT,              _NOT)),
    Event.SUSPEND:              (Watch.NOT,     (_STAY,         _STAY,             _STAY)),
}
# fmt: on
_COLUMNS: Final = tuple(Watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """The subscriptions of one application entity. `steps`: the subscribed steps; `new`: the state for new steps."""

    new: Watch = Watch.NOT
    steps: Mapping[str, Watch] = field(default_factory=dict)

    def locks(self, sop_instance_uid: str) -> bool:
        """Returns True if a deletion lock of this subscriber still forbids deleting the step [PS3.4 CC.2.1.3]."""
        return self.steps.get(sop_instance_uid) is Watch.LOCK


def change(
    watcher: Watcher,
    subscription: Subscription,
    steps: Mapping[str, Ups],
    *,
    matches: Callable[[Ups], bool] | None = None,
) -> tuple[Watcher, tuple[Report, ...]]:
    """Returns the watcher after a subscription, and the initial events to report to it.

    `matches`: the matching of a filtered global subscription; without it, such a subscription is refused with 0xC307
    [PS3.4 CC.2.3.3].
    """
    if subscription.sop_instance_uid == FILTERED_GLOBAL and subscription.action == SUBSCRIBE and matches is None:
        raise Refused(status.UPS_NO_SUCH_INSTANCE, "filtered global subscriptions are not supported")
    everything = subscription.sop_instance_uid in (GLOBAL, FILTERED_GLOBAL)
    new, cells = TABLE[_event(subscription, everything)]
    about = [steps[subscription.sop_instance_uid]] if not everything else list(steps.values())
    after, reports = dict(watcher.steps), []
    for ups in about:
        if everything and subscription.action == SUBSCRIBE and matches is not None and not matches(ups):
            continue
        cell = cells[_COLUMNS.index(after.get(ups.sop_instance_uid, Watch.NOT))]
        if cell.after is Watch.NOT:
            after.pop(ups.sop_instance_uid)
        elif cell.after is not None:
            after[ups.sop_instance_uid] = cell.after
        if cell.initial:
            reports.append(state_report(ups))
    return Watcher(new=watcher.new if new is None else new, steps=after), tuple(reports)


def _event(subscription: Subscription, everything: bool) -> Event:
    if subscription.action == SUSPEND:
        return Event.SUSPEND
    if subscription.action != SUBSCRIBE:
        return Event.UNSUBSCRIBE_GLOBALLY if everything else Event.UNSUBSCRIBE
    if everything:
        return Event.GLOBALLY_WITH_LOCK if subscription.deletion_lock else Event.GLOBALLY
    return Event.WITH_LOCK if subscription.deletion_lock else Event.SPECIFIC


def created(watcher: Watcher, ups: Ups) -> tuple[Watcher, tuple[Report, ...]]:
    """Returns the watcher after a new step, and the initial event if it is subscribed to it [PS3.4 table CC.2.3-2].

    For a filtered global subscription, call it only for steps that match.
    """
    if watcher.new is Watch.NOT:
        return watcher, ()
    return replace(watcher, steps={**watcher.steps, ups.sop_instance_uid: watcher.new}), (state_report(ups),)
