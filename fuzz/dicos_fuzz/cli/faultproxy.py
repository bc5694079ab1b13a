"""`dicos faultproxy`: passes connections on to a peer, with the faults of a plan.

Knows: the proxy, words, files, output. Must not know: how a fault is carried out.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, assert_never

from dicos_transports.cli import FAILED, INTERRUPTED, OK
from dicos_transports.cli.options import LOOPBACK, Parser, count, host_and_port
from dicos_transports.cli.output import Output, plural, shown, size

from ..captures.events import How
from ..captures.packets import Endpoint
from ..faults.effects import Direction
from ..faults.plan import LARGEST_SEED, FaultPlan
from ..faults.proxy import (
    Began,
    FaultProxy,
    Gone,
    Happened,
    Plans,
    Refused,
    Struck,
    check_plan,
    random_plans,
    same_plan,
    without_engines,
)
from ..faults.tapes import plan_of_tape
from ..faults.text import LARGEST_TEXT, PlanError, parse_fault, parse_plan
from .relaying import address_of, listening, parse_target, stopped_by_sigterm

__all__ = ["main"]

STANDARD_INPUT: Final = "-"
LARGEST_TAPE: Final = 1 << 20
MOST: Final = 100
"""Connections at once, by default."""
LINES: Final = 3
"""Strikes of one fault on one connection that are printed; more only with -v."""


def main(words: Sequence[str]) -> int:
    """Runs `dicos faultproxy`. Returns 0 after as many connections as `--connections` says, 1 if it cannot listen or if
    the target was never reached, 2 for bad usage or a plan that cannot be read, 130 if interrupted."""
    parser = _parser()
    options = parser.parse_args(words)
    try:
        target = Endpoint(*parse_target(options.target))
    except argparse.ArgumentTypeError as error:
        parser.error(f"argument TARGET: {error}")
    plan = _plan(parser, options)
    plans = random_plans(options.seed, harmless=options.harmless) if plan is None else same_plan(plan)
    return _run(options, target, plan, plans)


def _run(options: argparse.Namespace, target: Endpoint, plan: FaultPlan | None, plans: Plans) -> int:
    out = Output(options)
    told = _Told(out, target, plan)
    host, number = options.listen
    try:
        listener = listening(host, number)
        made = FaultProxy(
            listener, target, plans, told.tell, most=options.max_connections, total=options.connections
        )  # fmt: skip
    except OSError as error:
        where = f"cannot listen on {Endpoint(host, number)} and pass on to {target}"
        out.error(f"{where}: {error.strerror or error}")
        return FAILED
    here = address_of(listener)
    what = f"random faults, seed {options.seed}" if plan is None else plural(len(plan.faults), "fault")
    out.info(f"listening on {here}, passing on to {target} with {what}")
    out.event("listening", address=here.host, port=here.port)
    if plan is not None:
        for line in str(plan).splitlines():
            out.detail(f"plan: {line}")
    status = OK
    try:
        with stopped_by_sigterm():
            made.relay.run()
    except KeyboardInterrupt:
        out.info("interrupted")
        status = INTERRUPTED
    finally:
        made.relay.close()
        told.summary(made)
    return FAILED if status == OK and not made.connections else status


class _Told:
    """Prints what happens."""

    def __init__(self, out: Output, target: Endpoint, plan: FaultPlan | None) -> None:
        self._out = out
        self._target = target
        self._plan = plan
        self._lines: dict[int, Counter[int]] = {}  # of the connections that are open

    def tell(self, event: Happened) -> None:
        """Prints an event."""
        match event:
            case Began():
                self._began(event)
            case Struck():
                self._struck(event)
            case Refused(number=number, client=client, cause=cause):
                self._out.failure(f"#{number} {client}: no connection to {self._target}: {cause}; reset")
                self._out.event("refused", connection=number, client=client, cause=cause)
            case Gone():
                self._gone(event)
            case _ as unreachable:
                assert_never(unreachable)

    def _began(self, event: Began) -> None:
        self._lines[event.number] = Counter()
        self._out.info(f"#{event.number} {event.client} connected")
        if self._plan is None:
            for line in str(event.plan).splitlines():
                self._out.info(f"#{event.number} plan: {line}")
        self._out.event("connected", connection=event.number, client=event.client, plan=str(event.plan))

    def _struck(self, event: Struck) -> None:
        strike, lines = event.strike, self._lines[event.number]
        lines[strike.number] += 1
        seen = lines[strike.number]
        text = f"#{event.number} {strike.direction.value} {strike.offset}: {strike.effect} (fault {strike.number})"
        if seen <= LINES or self._out.verbose:
            self._out.info(text)
        elif seen == LINES + 1:
            self._out.info(f"#{event.number} fault {strike.number} strikes on; -v prints each strike")
        self._out.event(
            "strike", connection=event.number, fault=strike.number, direction=strike.direction.value,
            offset=strike.offset, effect=strike.effect,
        )  # fmt: skip

    def _gone(self, event: Gone) -> None:
        self._lines.pop(event.number, None)
        how = {How.CLOSED: "closed by both sides", How.RESET: f"reset by the {event.by}"}.get(event.how, "cut off")
        parts = [
            f"{way.value} {size(event.passed[way])} of {size(event.received[way])}"
            for way in (Direction.OUT, Direction.IN)
        ]
        self._out.info(f"#{event.number} {how}; {', '.join(parts)}; {plural(sum(event.counts.values()), 'strike')}")
        self._out.event(
            "closed", connection=event.number, how=event.how.name.lower(), by=event.by or None,
            received={way.value: number for way, number in event.received.items()},
            passed={way.value: number for way, number in event.passed.items()}, strikes=event.counts,
        )  # fmt: skip

    def summary(self, proxy: FaultProxy) -> None:
        """Prints what all connections come to: above all, which faults never struck."""
        strikes = sum(proxy.counts.values())
        text = f"{plural(proxy.connections, 'connection')}, {plural(strikes, 'strike')}"
        if proxy.refused:
            text += f", {proxy.refused} not passed on"
        self._out.info(text)
        if self._plan is not None and proxy.connections:
            for number, fault in enumerate(self._plan.faults, 1):
                times = proxy.counts[number]
                often = plural(times, "strike") if times else "never struck"
                self._out.info(f"fault {number}, {shown(fault)}: {often}")
        self._out.event(
            "summary", connections=proxy.connections, refused=proxy.refused, strikes=strikes,
            faults=dict(sorted(proxy.counts.items())),
        )  # fmt: skip


# -- options -----------------------------------------------------------------------------------------------------


def _parser() -> Parser:
    made = Parser(
        prog="dicos faultproxy", allow_abbrev=False,
        description="Pass connections on to a peer, with the faults of a plan on each of them: lost, changed and late "
        "bytes, stalls, resets. In a plan, \"out\" is the direction of the side that connects.",
        epilog="Exit status: 0 after --connections N, 1 if it cannot listen or the target was never reached, 2 bad "
        "usage or a plan that cannot be read, 4 standard output was lost, 130 interrupted.",
    )  # fmt: skip
    add = made.add_argument
    add("listen", type=host_and_port, metavar="LISTEN",
        help="TCP port to listen on, 0 for any free one; also ADDRESS:PORT, 0.0.0.0:PORT for all interfaces (default "
        f"address: {LOOPBACK})")  # fmt: skip
    add("target", nargs="+", metavar="TARGET", help="the peer to pass connections on to: HOST PORT or HOST:PORT")
    plans = made.add_argument_group("plan", "One of these is required; --fault also adds to --plan.")
    plans.add_argument("--plan", metavar="FILE", help='a file with one fault a line, or "-" for standard input')
    plans.add_argument("--fault", action="append", default=[], metavar="TEXT",
                       help='a fault, such as "out pdu P-DATA-TF 2: stall 5"; may be repeated')  # fmt: skip
    plans.add_argument(
        "--tape",
        metavar="FILE",
        help="a file of any bytes, as a coverage-guided fuzzer makes them: they stand for a plan",
    )
    plans.add_argument("--seed", type=_seed, metavar="N",
                       help="a random plan for each connection, which is printed; the same for the same N")  # fmt: skip
    plans.add_argument("--harmless", action="store_true",
                       help="with --seed: only faults that change when bytes come, and no byte")  # fmt: skip
    add("--connections", type=count, metavar="N", help="end after N connections (default: go on)")
    add("--max-connections", type=count, default=MOST, metavar="N",
        help="maximum number of simultaneous connections; others wait (default: %(default)s)")  # fmt: skip
    output = made.add_argument_group("output")
    output.add_argument("-v", "--verbose", action="store_true", help="print the plan, and every strike of a fault")
    output.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    output.add_argument("--json", action="store_true", help="print one JSON object per line on standard output")
    made.set_defaults(debug=False)
    return made


def _plan(parser: Parser, options: argparse.Namespace) -> FaultPlan | None:
    """Returns the plan of all connections; None with --seed. Exits with a usage error for none, two, or a bad one."""
    given = [name for name in ("plan", "tape", "seed") if getattr(options, name) is not None]
    if len(given) > 1 or (options.fault and given not in ([], ["plan"])):
        parser.error(f"one plan: {' or '.join(f'--{one}' for one in (*given, *(['fault'] if options.fault else [])))}")
    if options.harmless and options.seed is None:
        parser.error("--harmless without --seed")
    if options.seed is not None:
        return None
    if not given and not options.fault:
        parser.error("a plan is required: --plan FILE, --fault TEXT, --tape FILE or --seed N")
    name = ""
    try:
        plan = FaultPlan()
        if options.plan is not None:
            name = "standard input" if options.plan == STANDARD_INPUT else options.plan
            plan = parse_plan(_read(options.plan, LARGEST_TEXT).decode("utf-8"))
        elif options.tape is not None:
            name = options.tape
            plan = without_engines(plan_of_tape(_read(options.tape, LARGEST_TAPE)))
        check_plan(plan)
        for text in options.fault:
            name = f"--fault {text!a}"
            plan = check_plan(plan + FaultPlan((parse_fault(text),)))
    except PlanError as error:
        parser.error(f"{name}: {error.why if name.startswith('--fault') else error}")
    except UnicodeDecodeError as error:
        parser.error(f"{name}: not a plan: byte {error.start} is not UTF-8")
    except OSError as error:
        parser.error(f"{name}: {error.strerror or error}")
    except ValueError as error:
        parser.error(f"{name}: {error}")
    return plan


def _read(path: str, most: int) -> bytes:
    """Reads a file. Raises OSError, and ValueError for one that is too long."""
    if path == STANDARD_INPUT:
        data = sys.stdin.buffer.read(most + 1)
    else:
        with Path(path).open("rb") as file:
            data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"longer than {most} bytes, the most of a plan")
    return data


def _seed(word: str) -> int:
    if not word.isdecimal() or int(word[:11]) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{word!a}: expected 0 to {LARGEST_SEED}")
    return int(word)
