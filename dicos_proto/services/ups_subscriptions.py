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
from .ups import FILTERED_GLOBAL, GLOBAL, SUBSCRIBE, SUSPEND, Subscription, Ups, UPSReport, state_report


class SubscriptionState(Enum):
    """The UPS Subscription State of one step, or the Global Subscription State for future steps [PS3.4 CC.2.3.1]."""

    NOT = "Not Subscribed"
    LOCK = "Subscribed with Lock"
    NO_LOCK = "Subscribed w/o Lock"


class SubscriptionEvent(Enum):
    """The rows of table CC.2.3-2 that are requests of an application entity."""

    GLOBALLY_WITH_LOCK = "AE subscribes globally with lock"
    GLOBALLY = "AE subscribes globally w/o lock"
    WITH_LOCK = "AE subscribes to specific UPS with lock"
    SPECIFIC = "AE subscribes to specific UPS without lock"
    UNSUBSCRIBE = "AE unsubscribes from specific UPS"
    UNSUBSCRIBE_GLOBALLY = "AE unsubscribes globally"
    SUSPEND = "AE suspends global subscription"


class SubscriptionCell(NamedTuple):
    """The state after the event, None if it does not change; `initial`: True if the initial event is sent."""

    after: SubscriptionState | None = None
    initial: bool = False


_STAY, _STAY_TELL = SubscriptionCell(), SubscriptionCell(initial=True)
_LOCK_TELL, _NO_LOCK_TELL, _NO_LOCK = (
    SubscriptionCell(SubscriptionState.LOCK, True),
    SubscriptionCell(SubscriptionState.NO_LOCK, True),
    SubscriptionCell(SubscriptionState.NO_LOCK),
)
_NOT = SubscriptionCell(SubscriptionState.NOT)

_WITH_LOCK, _WITHOUT_LOCK, _NO_STATE = SubscriptionState.LOCK, SubscriptionState.NO_LOCK, SubscriptionState.NOT
_Cells = tuple[SubscriptionCell, SubscriptionCell, SubscriptionCell]

# fmt: off
TABLE: Final[dict[SubscriptionEvent, tuple[SubscriptionState | None, _Cells]]] = {  # PS3.4 table CC.2.3-2
    #                                       global state    Not Subscribed  Subscr. with Lock  Subscr. w/o Lock
    SubscriptionEvent.GLOBALLY_WITH_LOCK:   (_WITH_LOCK,    (_LOCK_TELL,    _STAY,             _STAY)),
    SubscriptionEvent.GLOBALLY:             (_WITHOUT_LOCK, (_NO_LOCK,      _STAY,             _STAY)),
    SubscriptionEvent.WITH_LOCK:            (None,          (_LOCK_TELL,    _STAY_TELL,        _LOCK_TELL)),
    SubscriptionEvent.SPECIFIC:             (None,          (_NO_LOCK_TELL, _NO_LOCK_TELL,     _STAY_TELL)),
    SubscriptionEvent.UNSUBSCRIBE:          (None,          (_STAY,         _NOT,              _NOT)),
    SubscriptionEvent.UNSUBSCRIBE_GLOBALLY: (_NO_STATE,     (_STAY,         _NOT,              _NOT)),
    SubscriptionEvent.SUSPEND:              (_NO_STATE,     (_STAY,         _STAY,             _STAY)),
}
# fmt: on
_COLUMNS: Final = tuple(SubscriptionState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """The subscriptions of one application entity. `steps`: the subscribed steps; `new`: the state for new steps."""

    new: SubscriptionState = SubscriptionState.NOT
    steps: Mapping[str, SubscriptionState] = field(default_factory=dict)

    def locks(self, sop_instance_uid: str) -> bool:
        """Returns True if a deletion lock of this subscriber still forbids deleting the step [PS3.4 CC.2.1.3]."""
        return self.steps.get(sop_instance_uid) is SubscriptionState.LOCK


def change(
    watcher: Watcher,
    subscription: Subscription,
    steps: Mapping[str, Ups],
    *,
    matches: Callable[[Ups], bool] | None = None,
) -> tuple[Watcher, tuple[UPSReport, ...]]:
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
        cell = cells[_COLUMNS.index(after.get(ups.sop_instance_uid, SubscriptionState.NOT))]
        if cell.after is SubscriptionState.NOT:
            after.pop(ups.sop_instance_uid)
        elif cell.after is not None:
            after[ups.sop_instance_uid] = cell.after
        if cell.initial:
            reports.append(state_report(ups))
    return Watcher(new=watcher.new if new is None else new, steps=after), tuple(reports)


def _event(subscription: Subscription, everything: bool) -> SubscriptionEvent:
    if subscription.action == SUSPEND:
        return SubscriptionEvent.SUSPEND
    if subscription.action != SUBSCRIBE:
        return SubscriptionEvent.UNSUBSCRIBE_GLOBALLY if everything else SubscriptionEvent.UNSUBSCRIBE
    if everything:
        return SubscriptionEvent.GLOBALLY_WITH_LOCK if subscription.deletion_lock else SubscriptionEvent.GLOBALLY
    return SubscriptionEvent.WITH_LOCK if subscription.deletion_lock else SubscriptionEvent.SPECIFIC


def created(watcher: Watcher, ups: Ups) -> tuple[Watcher, tuple[UPSReport, ...]]:
    """Returns the watcher after a new step, and the initial event if it is subscribed to it [PS3.4 table CC.2.3-2].

    For a filtered global subscription, call it only for steps that match.
    """
    if watcher.new is SubscriptionState.NOT:
        return watcher, ()
    return replace(watcher, steps={**watcher.steps, ups.sop_instance_uid: watcher.new}), (state_report(ups),)
