"""The output: tables in Markdown, and the values for --json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .conversations import held_per_pdu
from .measuring import WINDOW, Idle, Measure

NAME: Final = "engine"
LEAST_BYTES, LEAST_MESSAGES, MOST_IDLE = 3e9, 40_000, 20_000


def report(found: list[Measure], idles: list[Idle]) -> Iterator[str]:
    """Markdown."""
    yield "### The engine alone: two associations in one process, no sockets"
    yield ""
    yield "Processor time of one core, medians over the rounds. A request and its response are two messages and one"
    yield "round trip; both sides are paid for. *floor*: the same headers packed and unpacked by bare `struct`, the"
    yield "same views cut and bytes copied, nothing checked. By reference no byte is touched: what costs is the PDU."
    yield f"Window {WINDOW}: {WINDOW} requests in one chunk, then their responses in one. Drivers' calls before a wait"
    yield "(`next_event` until None, `deadline`) are included. A step is a PDU, a message or an association."
    yield ""
    yield "| | measured | lowest to highest | round trips/s | µs a step | floor | of floor |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for one in found:
        rates = sorted(one.amount / seconds for seconds in one.runs)
        trips = f"{one.rate / 2:,.0f}" if one.unit == "messages/s" else ""
        yield (
            f"| {one.title} | {one.rate:,.0f} {one.unit} | {rates[0]:,.0f} to {rates[-1]:,.0f} | {trips} "
            f"| {1e6 * one.amount / one.rate / one.steps:.2f} | {_of_floor(one)} |"
        )
    yield ""
    yield f"Objects alive for each P-DATA-TF of a data set whose event is kept: {held_per_pdu():.1f}."
    yield ""
    yield "| an idle acceptor after one C-ECHO | its objects, bytes (tracemalloc) | VmRSS, bytes | objects |"
    yield "|---|--:|--:|--:|"
    for each in idles:
        yield (
            f"| {each.contexts} contexts proposed, of {each.count:,} | {each.traced:,.0f} | {each.resident:,.0f} "
            f"| {each.blocks:,.0f} |"
        )
    yield ""
    yield "| target | measured | |"
    yield "|---|--:|---|"
    for one in found:
        if one.unit == "MB/s":
            yield _target(f"{one.title}: at least 3 GB/s", f"{one.rate / 1e3:.2f} GB/s", one.rate * 1e6 >= LEAST_BYTES)
        elif one.unit == "messages/s":
            good = one.rate >= LEAST_MESSAGES
            yield _target(f"{one.title}: at least {LEAST_MESSAGES:,} messages/s", f"{one.rate:,.0f}", good)
    for each in idles:
        most = max(each.traced, each.resident)
        what = f"idle acceptor, {each.contexts} contexts proposed: below {MOST_IDLE / 1e3:g} kB"
        yield _target(what, f"{most / 1e3:.1f} kB", most < MOST_IDLE)
    yield ""


def _of_floor(one: Measure) -> str:
    floor = one.floor_rate
    return " | " if floor is None else f"{floor:,.0f} | {one.rate / floor:.2f}"


def _target(what: str, seen: str, good: bool) -> str:
    return f"| {what} | {seen} | {'PASS' if good else 'MISS'} |"


def plain(found: list[Measure], idles: list[Idle]) -> list[dict[str, object]]:
    """For --json."""
    timed: list[dict[str, object]] = [
        {"contender": NAME, "workload": one.name, "unit": one.unit, "units": one.amount, "runs": one.runs,
         "floors": one.floors}
        for one in found
    ]  # fmt: skip
    return timed + [
        {"contender": NAME, "workload": "idle", "unit": "bytes", "contexts": one.contexts, "count": one.count,
         "traced": one.traced, "resident": one.resident, "blocks": one.blocks}
        for one in idles
    ]  # fmt: skip
