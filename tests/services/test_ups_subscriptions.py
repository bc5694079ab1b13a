"""Subscriptions to unified procedure steps: the table, and the result of any sequence of requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.services import ups as upses
from dicos_proto.services.serving import Refused
from dicos_proto.services.ups import FILTERED_GLOBAL, GLOBAL, SUBSCRIBE, SUSPEND, UNSUBSCRIBE, Subscription
from dicos_proto.services.ups_subscriptions import TABLE, SubscriptionEvent, SubscriptionState, Watcher, change, created
from tests.services.test_ups import scheduled

STEPS = {uid: upses.create(uid, scheduled()).ups for uid in ("1.1", "1.2")}


def asks(action: int, instance: str = GLOBAL, *, lock: bool = False) -> Subscription:
    return Subscription(action=action, sop_instance_uid=instance, receiving_aet="W", deletion_lock=lock, keys=Dataset())


def test_the_table_has_a_row_for_each_event() -> None:
    assert list(TABLE) == list(SubscriptionEvent)


def test_a_global_subscription_is_to_all_steps_and_those_to_come() -> None:
    watcher, reports = change(Watcher(), asks(SUBSCRIBE, lock=True), STEPS)
    assert watcher.steps == dict.fromkeys(STEPS, SubscriptionState.LOCK)
    assert [each.sop_instance_uid for each in reports] == list(STEPS)
    assert watcher.locks("1.1")
    new = upses.create("1.3", scheduled()).ups
    watcher, reports = created(watcher, new)
    assert watcher.steps["1.3"] is SubscriptionState.LOCK
    assert [each.dataset.ProcedureStepState for each in reports] == ["SCHEDULED"]


def test_a_global_subscription_without_lock_tells_nothing_at_first() -> None:
    watcher, reports = change(Watcher(), asks(SUBSCRIBE), STEPS)
    assert (watcher.new, dict(watcher.steps), reports) == (
        SubscriptionState.NO_LOCK,
        dict.fromkeys(STEPS, SubscriptionState.NO_LOCK),
        (),
    )
    assert not watcher.locks("1.1")


def test_a_suspended_subscription_goes_on_for_the_steps_there_are() -> None:
    watcher, _ = change(Watcher(), asks(SUBSCRIBE), STEPS)
    suspended, _ = change(watcher, asks(SUSPEND), STEPS)
    assert suspended.steps == watcher.steps
    assert created(suspended, upses.create("1.3", scheduled()).ups) == (suspended, ())
    assert change(suspended, asks(UNSUBSCRIBE), STEPS)[0] == Watcher()


def test_a_filter_lets_only_some_through_or_is_not_known() -> None:
    watcher, reports = change(
        Watcher(),
        asks(SUBSCRIBE, FILTERED_GLOBAL, lock=True),
        STEPS,
        matches=lambda ups: ups.sop_instance_uid == "1.2",
    )
    assert dict(watcher.steps) == {"1.2": SubscriptionState.LOCK}
    assert len(reports) == 1
    with pytest.raises(Refused) as caught:
        change(Watcher(), asks(SUBSCRIBE, FILTERED_GLOBAL), STEPS)
    assert caught.value.code == 0xC307


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([SUBSCRIBE, UNSUBSCRIBE, SUSPEND]), st.sampled_from([GLOBAL, "1.1", "1.2"]), st.booleans()
    ),
    max_size=12,
)


@pytest.mark.measured
@given(REQUESTS)
def test_specific_requests_touch_one_step_and_a_global_end_ends_all(
    requests: list[tuple[int, str, bool]],
) -> None:
    watcher = Watcher()
    for action, instance, lock in requests:
        before = watcher
        instance = GLOBAL if action == SUSPEND else instance
        watcher, reports = change(before, asks(action, instance, lock=lock), STEPS)
        assert SubscriptionState.NOT not in watcher.steps.values()
        if instance != GLOBAL:
            assert watcher.new is before.new
            others = set(STEPS) - {instance}
            assert {uid: watcher.steps.get(uid) for uid in others} == {uid: before.steps.get(uid) for uid in others}
            wanted = (SubscriptionState.LOCK if lock else SubscriptionState.NO_LOCK) if action == SUBSCRIBE else None
            assert watcher.steps.get(instance) is wanted
            assert len(reports) == (action == SUBSCRIBE)
        elif action == UNSUBSCRIBE:
            assert watcher == Watcher()
        elif action == SUBSCRIBE:
            assert set(watcher.steps) == set(STEPS)
