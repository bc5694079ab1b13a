"""Fault injection: plans, and what carries them out: a wire in memory and under every adapter.

`FaultPlan` says which faults strike where; `parse_plan` reads one, `random_plan` and `plan_of_tape` make one.
`FaultyWire` puts it around any wire, `Faults` under an adapter; `strategies` has those of Hypothesis; `memory` runs two
sides without a network.
"""

from .effects import Direction
from .log import Log, Strike
from .plan import Fault, FaultPlan, shrunk
from .tapes import plan_of_tape, random_plan, tape_of_plan
from .text import PlanError, parse_fault, parse_plan
from .wire import Faults, FaultyWire

__all__ = [
    "Direction",
    "Fault",
    "FaultPlan",
    "Faults",
    "FaultyWire",
    "Log",
    "PlanError",
    "Strike",
    "parse_fault",
    "parse_plan",
    "plan_of_tape",
    "random_plan",
    "shrunk",
    "tape_of_plan",
]
