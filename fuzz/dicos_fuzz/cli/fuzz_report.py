"""The reports of `dicos fuzz`: the value that they are made of, and the files.

Knows: options, totals, the writers of `reports` and `findings`. Must not know: how a campaign runs.
"""

from __future__ import annotations

import argparse
import errno
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from dicos_transports.addresses import said, show_address
from dicos_transports.cli import version
from dicos_transports.cli.output import plural, size

from ..campaign.campaign import Campaign
from ..campaign.knowledge import Learned
from ..campaign.room import with_room
from ..campaign.scenarios import FAMILIES
from ..conversation import Side
from ..json_text import try_folder, write_file
from ..reports import html, json_lines, text
from ..reports.values import CampaignReport, Difference, FamilyCount
from .tls_words import tls_words

__all__ = [
    "REPORTS",
    "Started",
    "accepts",
    "bounds_of",
    "report_of",
    "try_outputs",
    "write_reports",
]

CONTEXTS: Final = 5
REPORTS: Final = ("report.html", "report.txt", "report.jsonl")


class Started:
    """When and against what a campaign began, for its reports. `bounds`: (name, value) as they were printed."""

    def __init__(self, peer: str, bounds: tuple[tuple[str, str], ...]) -> None:
        self.peer = peer
        self.bounds = bounds
        self.at = datetime.now().astimezone().isoformat(" ", "seconds")
        self.begun = self.learned = monotonic()
        """When the command began, and when the peer was learned."""
        self.accepts: tuple[str, ...] = ()
        self.masked_before: Mapping[str, int] = {}
        self.states: Counter[str] = Counter()
        self.transitions: Counter[tuple[str, str]] = Counter()

    def visited(self, moves: list[tuple[str, str]]) -> None:
        """Counts the states that the peer went through in a run."""
        self.transitions.update(moves)
        self.states.update(after for _, after in moves)


def accepts(learned: Learned) -> tuple[str, ...]:
    """Returns lines that describe a peer."""
    from dicos_proto.registry.uids import name_of

    names = [name_of(one.abstract_syntax) for one in learned.accepted[:CONTEXTS]]
    more = f" and {len(learned.accepted) - CONTEXTS} more" if len(learned.accepted) > CONTEXTS else ""
    window = "not answered" if learned.window is None else f"{learned.window[0]}/{learned.window[1]}"
    return (
        f"{learned.implementation or 'an implementation without a name'}, called {learned.called}",
        f"{plural(len(learned.accepted), 'context')}: {', '.join(names)}{more}",
        f"services that answered: {', '.join(sorted(learned.services)) or 'none'}",
        f"Maximum Length {learned.max_length or 'unlimited'}, operations window {window}",
        f"a good echo takes {1000 * learned.echo_seconds:.1f} ms; an answer up to {learned.answer_seconds:.2f} s",
        *(("it serves one association at a time",) if learned.alone else ()),
    )


def report_of(
    options: argparse.Namespace,
    campaign: Campaign,
    started: Started,
    side: Side,
    reproducers: Mapping[str, str],
    unwritten: Mapping[str, str],
) -> CampaignReport:
    """Returns the report of a campaign as it is now. `reproducers`: the paths of its files, `unwritten`: why the others
    are not written, by the ids of findings."""
    totals = campaign.totals
    found = Counter(one.conversation.name.partition("/")[0] for one in totals.findings.values())
    about = {name: family.about for name, family in FAMILIES.items() if family.side is side}
    names = [*about, *(name for name in totals.families if name not in about)]
    return CampaignReport(
        peer=started.peer,
        started=started.at,
        seconds=totals.seconds,
        spent=_spent(campaign, started),
        ended=f"{totals.ended}, the bound of --time" if totals.ended == f"{options.time:g} seconds" else totals.ended,
        accepts=started.accepts,
        conversations=totals.cases,
        associations=totals.associations,
        sent=totals.sent,
        echoes=totals.echoes,
        restarts=totals.restarts,
        reactions=totals.bits,
        corpus=totals.corpus,
        families=tuple(
            FamilyCount(
                name=name, about=about.get(name, ""), conversations=totals.families.get(name, 0), findings=found[name]
            )
            for name in names
            if not options.family or name in totals.families
        ),
        states=dict(started.states),
        transitions=dict(started.transitions),
        findings=tuple(totals.findings.values()),
        unconfirmed=tuple(totals.unconfirmed.values()),
        masked=dict(totals.masked),
        known=tuple(sorted(campaign.settings.known)),
        masked_before=started.masked_before,
        compared="" if options.second is None else show_address(options.second),
        differences=tuple(
            Difference(
                family=one.family, about=one.about or one.name, first=one.first, second=one.second, count=one.count
            )
            for one in totals.differences.values()
        ),
        bounds=started.bounds,
        seed=options.seed,
        version=version(),
        reproducers=reproducers,
        unwritten=unwritten,
        tls=tls_words(options),
    )


def _spent(campaign: Campaign, started: Started) -> tuple[tuple[str, float], ...]:
    """Returns what the time of the command went into, as (words, seconds)."""
    now = monotonic()
    over = campaign.looped or now
    return (
        ("to start and learn the peer", started.learned - started.begun),
        ("of conversations", over - started.learned),
        *((("to play findings again, make them small, and end", now - over),) if campaign.looped else ()),
    )


def write_reports(
    options: argparse.Namespace, folder: Path | None, campaign: Campaign, report: CampaignReport
) -> Iterator[str]:
    """Writes the reports that the options ask for, and those in the folder. Yields a line for each that cannot be
    written."""
    for path, write in _writers(options, folder, report):
        try:
            with_room(partial(write, path), path.parent, campaign.corpus)
        except (OSError, ValueError) as error:
            yield f"{path}: {said(error) if isinstance(error, OSError) else error}"


def _writers(
    options: argparse.Namespace, folder: Path | None, report: CampaignReport
) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """Yields each file, and the function that writes it."""
    if folder is not None:
        page, plain, events = (folder / name for name in REPORTS)
        yield page, partial(html.write, report=report)
        yield plain, lambda path: _write_lines(path, text.lines(report, transcripts=True))
        yield events, lambda path: _write_lines(path, json_lines.lines(report))
    if options.html is not None:
        yield options.html, partial(html.write, report=report)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_file(path, ("\n".join(lines) + "\n").encode())


def try_outputs(options: argparse.Namespace) -> None:
    """Makes sure that the files can be written at the end. Raises OSError, whose `filename` is the option's path."""
    try:
        path = options.output
        if path is not None:
            try_folder(path)
        path = options.state or options.resume
        if path is not None:
            try_folder(path)
        path = options.html
        if path is not None:
            _try_file(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _try_file(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder, and not a file")
    if not path.exists() or path.is_file():  # else a device or a pipe: to open it may wait
        try_folder(path.parent)


def bounds_of(options: argparse.Namespace, asked: int, jobs: int, overtime: float) -> tuple[tuple[str, str], ...]:
    """Returns the bounds of a campaign as (name, value), to be printed first. `overtime`: seconds. `asked`, `jobs`: the
    number of jobs that was asked for, and that for which there are connections.
    """
    return (
        ("time", f"{options.time:g} s and up to {overtime:g} s more"),
        ("conversations a second", f"{options.rate}"),
        ("bytes", size(options.max_bytes)),
        ("connections at the same time", f"{options.max_associations}"),
        *((("conversations", f"{options.conversations}"),) if options.conversations else ()),
        ("jobs", f"{jobs}" if jobs == asked else f"{jobs} of {asked}, for want of connections"),
        ("seed", f"{options.seed}"),
    )
