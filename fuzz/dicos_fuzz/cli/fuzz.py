"""`dicos fuzz`: sends a peer faulty and unusual conversations, and reports what it does wrong."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Final

from dicos_transports.addresses import said, show_address
from dicos_transports.cli import FAILED, INTERRUPTED, LOST, NO_ASSOCIATION, OK, USAGE, version
from dicos_transports.cli.output import Output, plural, shown
from dicos_transports.cli.tls import TLSOptions

from ..campaign.calling import Caller
from ..campaign.campaign import LAST, Campaign
from ..campaign.corpus import Corpus
from ..campaign.judging import judge
from ..campaign.knowledge import Learned
from ..campaign.lane import Lane
from ..campaign.player import Bounds, Exhausted, LocalTrouble, Peer, Player
from ..campaign.pool import AHEAD, Here, Pool, Workers
from ..campaign.probe import NoAssociation, probe
from ..campaign.probe_caller import probe_caller
from ..campaign.recorded import conversation_of
from ..campaign.scenarios import FAMILIES
from ..campaign.scenarios.family import Family
from ..campaign.second import Second, engine
from ..campaign.settings import Settings, Totals
from ..campaign.spending import Shares, Spending, share_out
from ..campaign.watching import STARTING, CannotStart, Watched
from ..captures.reading import CaptureError, conversations
from ..conversation import Conversation, Side
from ..findings.grouping import read_known
from ..json_text import DamagedFile
from .fuzz_files import Files
from .fuzz_options import ENGINE, looked_up, parse, settings
from .fuzz_report import Started, accepts, bounds_of, report_of, write_reports
from .fuzz_show import Show
from .keeping import Keeper, mask
from .refusing import Refused
from .relaying import ended_by_signals, undisturbed

CALLED: Final = 120.0
"""Seconds to wait for a peer that calls: a person may have to start it."""
LEAST_PROBE: Final = 5.0
"""Seconds in which the peer is learned, at least; else half of the time."""
SLOW_ANSWER: Final = 0.8
"""Seconds that the answers of a peer may take, from which there are more jobs than processors."""
SLOW: Final = 50
"""Conversations a second below which none waits in a worker while another one is played."""
RECORDED_MOST: Final = 500
"""Recorded associations that are taken from capture files."""


def main(words: Sequence[str]) -> int:
    """Runs the command. Returns the exit status."""
    options, _ = parse(words)
    if "list" in options.family:
        width = max(map(len, FAMILIES))
        for family in FAMILIES.values():
            print(f"{family.name:<{width}} {family.side.value:<9} {family.about}")
        return OK
    out = Output(options)
    try:
        _check_target(options)
        _check_inputs(options)
        known = frozenset[str]() if options.known is None else _known(options.known)
        with Files(options, _where(options)) as files:
            return _begin(options, known, files)
    except Refused as refusal:
        out.error(str(refusal))
        return refusal.status
    except Exhausted as fault:
        out.error(f"{fault}: --max-bytes is less than it takes to learn the peer")
        return USAGE
    except LocalTrouble as trouble:
        out.error(f"this host: {trouble}")
        return FAILED


def _shares(options: argparse.Namespace, jobs: int) -> Shares:
    return share_out(options.max_associations, jobs, lane=options.listen is None, again=options.second is not None)


def _begin(options: argparse.Namespace, known: frozenset[str], files: Files) -> int:
    saved = files.saved
    if saved is not None:
        options.seed = saved.seed
    jobs = 1 if options.listen is not None else options.jobs or os.cpu_count() or 1
    shares = _shares(options, jobs)
    started = Started(_where(options), bounds_of(options, jobs, shares.jobs, settings(options, known).overtime))
    started.masked_before = {} if saved is None else mask(saved.totals, known)
    show = Show(options, settings(options, known), started, 0.0 if saved is None else saved.totals.seconds)
    texts = {"peer": _where(options), "program": f"dicos fuzz {version()}", "made": started.at}
    keeper = Keeper(options, show, files.corpus, **texts)
    show.keep = keeper.keep
    with ended_by_signals():
        return _run(options, settings(options, known), show, files, shares, keeper)


def _check_target(options: argparse.Namespace) -> None:
    """Refuses a peer that is not on this host, unless its owner asks for it."""
    hosts = [options.host if options.listen is None else options.listen[0]]
    if isinstance(options.second, tuple):
        hosts.append(options.second[0])
    addresses = []
    for host in hosts:
        try:
            address, own = looked_up(host)
            addresses.append(address)
        except OSError as error:
            raise Refused(f"{shown(host)}: {said(error)}", NO_ASSOCIATION) from None
        except UnicodeError:
            raise Refused(f"{shown(host)}: not a host name", NO_ASSOCIATION) from None
        if not own and not options.i_own_this_peer:
            raise Refused(
                f"{shown(host)} is not on this host: the peer may crash, and may store what it is sent; "
                "--i-own-this-peer if it is yours and serves nobody else now"
            )
    options.address, options.second_address = addresses[0], addresses[-1]


def _check_inputs(options: argparse.Namespace) -> None:
    """Refuses families and capture files that are not there, before anything is sent."""
    side = Side.USER if options.listen is None else Side.PROVIDER
    unknown = [name for name in options.family if name not in FAMILIES]
    if unknown:
        raise Refused(f"no family {', '.join(map(repr, unknown))}; there are {', '.join(FAMILIES)}")
    if options.family and all(FAMILIES[name].side is not side for name in options.family):
        raise Refused(f"none of these families is for a peer that {'calls' if options.listen else 'listens'}")
    for path in options.pcap:
        try:
            path.stat()
        except OSError as error:
            raise Refused(f"{shown(path)}: {said(error)}") from None


def _known(path: Path) -> frozenset[str]:
    try:
        return read_known(path)
    except (OSError, DamagedFile) as error:
        raise Refused(f"{shown(path)}: {said(error)}" if isinstance(error, OSError) else str(error)) from None


# -- one campaign ------------------------------------------------------------------------------------------------


def _run(
    options: argparse.Namespace, limits: Settings, show: Show, files: Files, shares: Shares, keeper: Keeper
) -> int:
    with ExitStack() as end:
        with ExitStack() as stack:
            campaign = _campaign(options, limits, show, files, shares, keeper, stack)
            show.stop = campaign.stop
            show.started.learned = monotonic()
            try:
                if show.out.lost is None:
                    campaign.run()
            except KeyboardInterrupt:  # just after its end
                campaign.totals.ended = "interrupted"
            end.enter_context(undisturbed())  # nothing of what follows takes long
            if campaign.not_ready:
                raise Refused(f"{_where(options)}: {shown(campaign.not_ready)}", NO_ASSOCIATION)
        files.keep()
        keeper.save(options, campaign)
        paths = keeper.paths(campaign.totals.findings.values())
        side = Side.PROVIDER if options.listen is not None else Side.USER
        report = report_of(options, campaign, show.started, side, paths, keeper.unwritten)
        for line in write_reports(options, keeper.folder, campaign, report):
            show.error(line)
        show.summary(report)
    if campaign.totals.ended == "interrupted":
        return INTERRUPTED
    if (lost := show.out.lost) is not None:
        lost.status = FAILED if campaign.totals.findings else LOST
        raise lost
    if not campaign.totals.cases:
        show.error("no conversation was played: nothing is known of the peer; --time may be too short")
        return NO_ASSOCIATION
    return FAILED if campaign.totals.findings else OK


def _campaign(
    options: argparse.Namespace,
    limits: Settings,
    show: Show,
    files: Files,
    shares: Shares,
    keeper: Keeper,
    stack: ExitStack,
) -> Campaign:
    """Returns the campaign, with its peer learned. The stack ends all that it uses."""
    saved, corpus = files.saved, files.corpus
    begun = monotonic()
    spending = Spending(bytes_most=options.max_bytes, rate=limits.rate, shared=shares.jobs > 1 or options.jobs is None)
    watched, caller = _process(options, stack)
    player = stack.enter_context(_player(options, show.out, shares.main, spending, caller=caller))
    if options.family and not _has_tls(player) and all(FAMILIES[name].tls for name in options.family):
        raise Refused(f"{options.family[0]}: only for a peer with TLS; --tls turns it on")
    _tell_bounds(options, player, show)
    if options.listen is not None:
        keeper.port = player.port
    keeper.try_new()
    learned = _learn(options, player, watched, show, shares)
    if options.jobs is None and learned.answer_seconds >= SLOW_ANSWER and not learned.alone and options.listen is None:
        shares = _shares(options, 2 * shares.jobs)  # they wait most of the time
        show.info(f"the peer is slow to answer: {plural(shares.jobs, 'job')}")
    families = _families(options, learned, corpus, show)
    totals = saved.totals if saved is not None else Totals()
    second = _second(options, totals, player, shares, show, stack)
    spent = monotonic() - begun if options.listen is None else 0.0  # a person may have to make it call
    limits = replace(limits, seed=options.seed, spent=min(spent, limits.seconds))
    spending.until = monotonic() + limits.seconds - limits.spent + limits.overtime - LAST
    pool = _pool(options, player, learned, show, shares)
    stack.callback(pool.close)
    lane = None
    if shares.lane and not learned.alone:
        lane = Lane(_player(options, show.out, shares.lane, spending, learned), judge)
        stack.callback(lane.close)
    campaign = Campaign(
        player, families, judge, pool, limits, show,
        watched=watched, caller=caller, corpus=corpus, lane=lane, totals=totals,
        bitmap=None if saved is None else saved.bitmap, taken=(0, 0) if saved is None else saved.taken,
        second=second,
    )  # fmt: skip
    campaign.on_save = partial(keeper.save, options, campaign)
    return campaign


def _where(options: argparse.Namespace) -> str:
    return show_address((options.host, options.port)) if options.listen is None else show_address(options.listen)


def _tell_bounds(options: argparse.Namespace, player: Player, show: Show) -> None:
    if options.listen is not None:
        show.info(f"listening on {options.listen[0]}:{player.port} for a peer that calls")
    bounds = show.started.bounds
    show.info(f"{_where(options)}, within these bounds: {', '.join(f'{name} {value}' for name, value in bounds)}")
    show.out.event("bounds", peer=_where(options), **{name.replace(" ", "_"): value for name, value in bounds})


def _player(
    options: argparse.Namespace,
    out: Output,
    connections: int,
    spending: Spending,
    learned: Learned = Learned(),  # noqa: B008  a frozen value
    caller: Caller | None = None,
) -> Player:
    """Returns a player for the options, with its share of the connections. Ends the command for TLS options that cannot
    be used."""
    secured = TLSOptions(options, out)
    source = options.source_address
    peer = Peer(
        host=options.host,
        port=options.port,
        address=options.address if options.listen is None else None,
        source=source[0] if isinstance(source, tuple) else source,
        tls=secured.client if options.listen is None else None,
        listen=None if options.listen is None else (options.address, options.listen[1]),
        server_tls=secured.server if options.listen is not None else None,
    )
    bounds = Bounds(connections=connections, called=CALLED)
    try:
        player = Player(peer, learned, bounds=bounds, spending=spending)
    except OSError as error:
        raise Refused(f"{show_address(options.listen)}: {said(error)}", NO_ASSOCIATION) from None
    if caller is not None:
        player.trigger = caller.call
        caller.port = player.port
    return player


def _has_tls(player: Player) -> bool:
    return player.peer.tls is not None or player.peer.server_tls is not None


def _worker_player(options: argparse.Namespace, connections: int, spending: Spending, learned: Learned) -> Player:
    quiet = argparse.Namespace(**{**vars(options), "quiet": True, "verbose": False, "json": False})
    out = Output(quiet)
    out.diverted = lambda text, level: None  # the first player has said it
    return _player(options, out, connections, spending, learned)


def _pool(options: argparse.Namespace, player: Player, learned: Learned, show: Show, shares: Shares) -> Pool:
    if learned.alone or shares.jobs == 1:
        if learned.alone and shares.jobs > 1:
            show.info("the peer serves one association at a time: one job")
        return Here(player, judge)
    make = partial(_worker_player, options, shares.worker, player.spending)
    ahead = 0 if options.rate < SLOW else AHEAD
    return Workers(make, learned, judge, shares.jobs, whole=options.second is not None, ahead=ahead)


def _process(options: argparse.Namespace, stack: ExitStack) -> tuple[Watched | None, Caller | None]:
    """Starts or finds the peer's process, if there is one to watch."""
    if options.trigger is not None:
        return None, stack.enter_context(Caller(options.trigger))
    if options.pid is None and options.command is None:
        return None, None
    probe_port = partial(_listens, options.address, options.port)
    try:
        watched = stack.enter_context(
            Watched(
                pid=options.pid, command=options.command, restart=options.restart_command, ready=probe_port,
                port=options.port, starting=min(STARTING, options.time), log=options.log,
            )
        )  # fmt: skip
        if options.command is not None:
            if _listens(options.address, options.port):
                raise Refused(f"{_where(options)}: something listens there already; --pid watches it")
            watched.start()
    except CannotStart as error:
        raise Refused(shown(error), NO_ASSOCIATION) from None
    return watched, None


def _listens(host: str, port: int) -> bool:
    import socket

    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except OSError:
        return False


def _learn(options: argparse.Namespace, player: Player, watched: Watched | None, show: Show, shares: Shares) -> Learned:
    try:
        if options.listen is not None:
            learned = probe_caller(player)
        else:
            seconds = max(LEAST_PROBE, options.time / 2)
            learned = probe(player, called=options.called_aet, calling=options.aet, seconds=seconds)
    except (NoAssociation, CannotStart) as error:
        gone = None if watched is None else watched.gone()
        raise Refused(shown(error) + (f"; its process ended: {gone}" if gone else ""), NO_ASSOCIATION) from None
    player.learned = learned = replace(learned, connections=shares.main, tls=_has_tls(player))
    show.started.accepts = accepts(learned)
    show.info(
        f"{shown(learned.implementation)}: {plural(len(learned.accepted), 'context')}, "
        f"{', '.join(sorted(learned.services)) or 'no service'} answered, Maximum Length {learned.max_length}, "
        f"an echo in {1000 * learned.echo_seconds:.1f} ms"
    )
    show.out.event(
        "learned", implementation=learned.implementation, called_aet=learned.called, contexts=len(learned.accepted),
        services=sorted(learned.services), max_length=learned.max_length, window=learned.window,
        echo_seconds=round(learned.echo_seconds, 6), answer_seconds=learned.answer_seconds, alone=learned.alone,
    )  # fmt: skip
    return learned


# -- conversations -----------------------------------------------------------------------------------------------


def _families(options: argparse.Namespace, learned: Learned, corpus: Corpus, show: Show) -> list[Family]:
    side = Side.PROVIDER if options.listen is not None else Side.USER
    chosen = [
        one
        for one in FAMILIES.values()
        if one.side is side and (not options.family or one.name in options.family) and (learned.tls or not one.tls)
    ]
    recorded = [*_recorded(options, learned)]
    if options.pcap:
        show.info(f"{plural(len(recorded), 'association')} recorded in {', '.join(map(shown, options.pcap))}")
    first = [*recorded, *(one for one in corpus.all() if one.side is side)]
    return [_given(first), *chosen] if first else chosen


def _given(seeds: list[Conversation]) -> Family:
    def choose(learned: Learned, random: Random) -> Conversation:
        return random.choice(seeds)

    def all_of_them(learned: Learned) -> Iterator[Conversation]:
        return iter(seeds)

    return Family(name="given", about="conversations of the user", systematic=all_of_them, random=choose)


def _recorded(options: argparse.Namespace, learned: Learned) -> Iterator[Conversation]:
    for path in options.pcap:
        try:
            for number, one in enumerate(conversations(path), 1):
                made = conversation_of(one.stream(by_client=True), f"{path.name}: {number}", learned)
                if made is not None:
                    yield made
                if number >= RECORDED_MOST:
                    break
        except (OSError, CaptureError) as error:
            raise Refused(f"{shown(path)}: {said(error) if isinstance(error, OSError) else error}") from None


def _second(
    options: argparse.Namespace, totals: Totals, first: Player, shares: Shares, show: Show, stack: ExitStack
) -> Second | None:
    if options.second is None:
        return None
    where = ("127.0.0.1", stack.enter_context(engine())) if options.second == ENGINE else options.second
    own = options.second == ENGINE  # it is in this process, without TLS
    peer = Peer(
        host=where[0], port=where[1], address=None if own else options.second_address,
        tls=None if own else first.peer.tls,
    )  # fmt: skip
    bounds = Bounds(connections=options.max_associations)
    learned = first.learned
    player = stack.enter_context(Player(peer, learned, bounds=bounds, spending=first.spending))
    try:
        seconds = max(LEAST_PROBE, options.time / 4)
        found = probe(player, called=learned.called, calling=learned.calling, seconds=seconds)
    except NoAssociation as error:
        same = "" if peer.tls is None else "; --compare uses the TLS options of the first peer"
        raise Refused(f"--compare {show_address(where)}: {shown(error)}{same}", NO_ASSOCIATION) from None
    player.learned = replace(
        learned, answer_seconds=max(found.answer_seconds, learned.answer_seconds)
    )  # it may be slower
    if shares.jobs > 1 and not learned.alone:  # it plays while the workers do
        first = stack.enter_context(_player(options, show.out, shares.worker, first.spending, learned))
    return Second(first, player, totals)
