"""Conversations in memory with injected faults, beside the same conversation without a `FaultyWire`.

A conversation is an association, a C-ECHO, a C-STORE of 4 kB, the release; both sides are paid for, each with its flow.
It measures the processor time of this process, so another process that holds a core does not count. Each round runs
every measure once, with the conversation without faults right before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from time import process_time
from typing import Final

from dicos_fuzz.faults import FaultPlan, FaultyWire, parse_plan, random_plan
from dicos_fuzz.faults.memory import Side, converse, provide, use
from dicos_proto.association import Association
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import AssociateRequest
from dicos_proto.upper_layer.policy import AcceptPolicy

from .engine.measuring import Measure

NAME: Final = "faults"
LEAST: Final = 1000
"""Conversations a second and core that are to be reached with a fault each; those with many pieces are slower."""
OBJECT: Final = bytes(range(256)) * 16
REQUEST: Final = AssociateRequest(
    called_aet="PROVIDER",
    calling_aet="USER",
    contexts=propose([uids.VERIFICATION, uids.CT_IMAGE_STORAGE], (uids.IMPLICIT_VR_LE,)),
)
POLICY: Final = AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,))
EMPTY: Final = FaultPlan()
KINDS: Final = (
    "out every 500: split",
    "out at 0: merge 2000 0.01",
    "in at 0: delay 0.02 0.01",
    "in pdu A-ASSOCIATE-AC 1 +20: reorder 10 0.05",
    "out pdu P-DATA-TF 2: duplicate 20",
    "out pdu P-DATA-TF 3: drop",
    "out pdu P-DATA-TF 2: truncate 4",
    "out pdu P-DATA-TF 3 +900: flip 3",
    "in pdu P-DATA-TF 1 +10: set ff",
    'out pdu A-ASSOCIATE-RQ: edit "presentation context/length" length 9',
    "out pdu P-DATA-TF 2: change 2",
    "in pdu P-DATA-TF 2: insert 0000",
    "in pdu P-DATA-TF 1 +7: stall 5",
    "out pdu P-DATA-TF 3: dribble 40000",
    "in pdu P-DATA-TF 2 +3: half-close",
    "out pdu P-DATA-TF 3 +1000: reset",
    "in at 0: timer twice",
    "in pdu P-DATA-TF 1: clock +3600",
    "out at 100: short 1000",
    "out pdu P-DATA-TF 2: error EPIPE",
)
"""A plan with each kind of effect, in the middle of the conversation; each strikes."""
PIECES: Final = "out about 100: split\nin about 40: split"
SEED: Final = 12


def talk(plan: FaultPlan | None) -> tuple[Side, Side]:
    """One conversation; the user's wire has the faults of the plan, None: both sides have no `FaultyWire`."""
    user, provider = Association.requestor(REQUEST), Association.acceptor()
    wires = (None, None) if plan is None else (FaultyWire(user, plan), FaultyWire(provider, EMPTY))
    sides = (
        Side(user, use(user, OBJECT), wire=wires[0]),
        Side(provider, provide(provider, POLICY), wire=wires[1]),
    )
    converse(*sides)
    return sides


def run(plans: Sequence[FaultPlan | None], count: int) -> None:
    """Runs `count` conversations, with the plans in turn."""
    for number in range(count):
        plan = plans[number % len(plans)]
        talk(plan if plan is None else plan.for_connection(number))


def measures(*, quick: bool) -> list[Measure]:
    """Returns the measures; a step is a conversation."""
    count = 40 if quick else 600
    random = Random(SEED)
    drawn = [random_plan(random) for _ in range(200)]
    sets: list[tuple[str, str, Sequence[FaultPlan | None]]] = [
        ("none", "an empty plan", [EMPTY]),
        ("kinds", f"one fault, of each of the {len(KINDS)} kinds in turn", [parse_plan(one) for one in KINDS]),
        ("pieces", "some 50 pieces", [parse_plan(PIECES)]),
        ("random", "1 to 4 random faults", drawn),
    ]
    return [
        Measure(name=f"{NAME}-{name}", title=title, unit="conversations/s", amount=count, steps=count,
                run=partial(run, plans, count), floor=partial(run, [None], count))
        for name, title, plans in sets
    ]  # fmt: skip


def measure(rounds: int, *, quick: bool) -> list[Measure]:
    """Runs everything `rounds` times, after one run that does not count."""
    found = measures(quick=quick)
    for number in range(rounds + 1):
        for one in found:
            for work, times in ((one.floor, one.floors), (one.run, one.runs)):
                if work is None:
                    continue
                begun = process_time()
                work()
                if number:
                    times.append(process_time() - begun)
    return found


def report(found: Sequence[Measure]) -> Iterator[str]:
    """Markdown."""
    yield "### Conversations in memory, with faults"
    yield ""
    yield "An association, a C-ECHO, a C-STORE of 4 kB and the release, both sides in one process, in processor time of"
    yield "one core: the best of the rounds, because other work on the machine only slows a round down. *without*: the"
    yield "same conversation without a `FaultyWire`, measured in the same rounds."
    yield ""
    yield "| faults of the user's wire | conversations/s | slowest round | without | of it |"
    yield "|---|--:|--:|--:|--:|"
    for one in found:
        rates = sorted(one.amount / seconds for seconds in one.runs)
        without = one.amount / min(one.floors)
        yield f"| {one.title} | {rates[-1]:,.0f} | {rates[0]:,.0f} | {without:,.0f} | {rates[-1] / without:.2f} |"
    yield ""
    (kinds,) = (one for one in found if one.name == f"{NAME}-kinds")
    rate = kinds.amount / min(kinds.runs)
    yield "| target | measured | |"
    yield "|---|--:|---|"
    yield f"| at least {LEAST:,} conversations/s with a fault | {rate:,.0f} | {'PASS' if rate >= LEAST else 'MISS'} |"
    yield ""


def plain(found: Sequence[Measure]) -> list[dict[str, object]]:
    """For --json."""
    return [
        {"contender": NAME, "workload": one.name, "unit": one.unit, "units": one.amount, "runs": one.runs,
         "floors": one.floors}
        for one in found
    ]  # fmt: skip
