"""`dicos replay`: plays a reproducer again, reports if its finding shows, and exports it."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from time import time
from typing import Final

from dicos_transports.addresses import said, show_address
from dicos_transports.cli import FAILED, INTERRUPTED, LOST, NO_ASSOCIATION, OK
from dicos_transports.cli.output import Output, plural, shown
from dicos_transports.cli.tls import TLSOptions

from ..campaign.calling import Caller
from ..campaign.knowledge import Learned
from ..campaign.player import Bounds, LocalTrouble, Peer, Player
from ..campaign.probe import NoAssociation, probe
from ..campaign.probe_caller import probe_caller
from ..campaign.replaying import Looking, is_known, needs_process
from ..campaign.watching import CannotStart, Watched
from ..conversation import Side, Transcript
from ..findings.export_capture import write_capture
from ..findings.export_pytest import CannotExport, pytest_of
from ..findings.replay import Run, replay
from ..findings.reproducer import Reproducer, read
from ..findings.transcripts import lines
from ..json_text import DamagedFile, write_file
from .fuzz_options import looked_up
from .outputs import clash, given
from .refusing import Refused
from .relaying import ended_by_signals
from .replay_options import parse
from .tls_words import has_tls

_PATIENT: Final = 4
_MOST_PATIENT: Final = 5.0
"""The peer gets this many times the time that it was seen to need, up to this: a slow answer is not a missing one."""


def main(words: Sequence[str]) -> int:
    """Runs the command. Returns the exit status."""
    options, parser = parse(words)
    if line := _clash(options):
        parser.error(line)
    out = Output(options)
    out.on_lost = lambda: None  # the run goes on to its end: `_end` says what it showed
    try:
        made = _read(options)
        _tell_what(out, made)
        if options.host is None and options.listen is None:
            _without_peer(options, out, made)
            if out.lost is not None:
                raise out.lost
            return OK
        _check(options, made)
        with ended_by_signals():
            return _replay(options, out, made)
    except Refused as refusal:
        out.error(str(refusal))
        return refusal.status
    except LocalTrouble as trouble:
        out.error(f"this host: {trouble}")
        return FAILED


def _clash(options: argparse.Namespace) -> str:
    """Returns a line about an export that would overwrite what is read, or another export; else empty."""
    inputs = given(
        ("the reproducer", options.file),
        ("the file of --tls-cert", options.tls_cert), ("the file of --tls-key", options.tls_key),
        ("the file of --tls-pfx", options.tls_pfx), ("the file of --tls-password-file", options.tls_password_file),
        ("the file of --tls-ca", options.tls_ca), ("the file of --tls-crl", options.tls_crl),
    )  # fmt: skip
    return clash(
        inputs,
        given(
            ("--export-pytest", options.export_pytest), ("--export-pcapng", options.export_pcapng),
            ("--tls-keylog", options.tls_keylog),
        ),
    )  # fmt: skip


# -- the file ------------------------------------------------------------------------------------------------------


def _read(options: argparse.Namespace) -> Reproducer:
    try:
        made = read(options.file)
    except DamagedFile as fault:
        raise Refused(str(fault)) from None
    except OSError as error:
        raise Refused(f"{options.file}: {said(error)}") from None
    unknown = {one.expect for one in (*made.before, made.conversation) if not is_known(one.expect)}
    if unknown:
        raise Refused(f"{options.file}: conversation: expect: {sorted(unknown)[0]!a}; this version does not know it")
    return made


def _tell_what(out: Output, made: Reproducer) -> None:
    violation = made.violation
    state = f" in {violation.state}" if violation.state else ""
    out.info(f"{violation.severity.value.upper()} {made.id}{state} [{violation.clause}]: {violation.detail}")
    shown_again, tried = made.replayed
    again = f"{shown_again} of {plural(tried, 'time')}" if tried else "not played again"
    out.info(
        f"found at {made.peer or 'a peer that is not named'} by {made.program or 'dicos fuzz'}; it showed: {again}"
    )
    if made.left_out:
        out.info(f"{plural(made.left_out, 'earlier conversation')} left out of the file: it may need more of them")
    out.event(
        "reproducer", id=made.id, oracle=violation.oracle, severity=violation.severity.value, detail=violation.detail,
        clause=violation.clause, state=violation.state, side=made.conversation.side.value,
        steps=len(made.conversation.steps), before=len(made.before), left_out=made.left_out,
    )  # fmt: skip


def _without_peer(options: argparse.Namespace, out: Output, made: Reproducer) -> None:
    if options.show:
        for line in lines(made.transcript, made.conversation):
            out.answer(line)
    _export(options, out, made, made.transcript, Learned())


def _export(options: argparse.Namespace, out: Output, made: Reproducer, found: Transcript, learned: Learned) -> None:
    try:
        if options.export_pytest is not None:
            path = options.export_pytest
            source = pytest_of(made, found, called=learned.called, seconds=max(1.0, learned.answer_seconds))
            write_file(path, source.encode("ascii"))
            out.info(f"{path}: a test; python {path} HOST PORT runs it, and so does pytest")
        if options.export_pcapng is not None:
            path = options.export_pcapng
            write_capture(path, made, found)
            out.info(f"{path}: a capture")
    except CannotExport as error:
        raise Refused(f"{options.export_pytest}: not written: {error}", FAILED) from None
    except OSError as error:
        raise Refused(f"{path}: {said(error)}", FAILED) from None


# -- the peer ------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace, made: Reproducer) -> None:
    """Refuses a peer of the wrong kind, one that is not on this host, and a finding that cannot be seen."""
    calls = made.conversation.side is Side.PROVIDER
    if calls and options.listen is None:
        raise Refused("this reproducer is for a peer that calls: --listen PORT")
    if not calls and options.listen is not None:
        raise Refused("this reproducer is for a peer that listens: HOST PORT")
    oracle = made.violation.oracle
    if needs_process(oracle) and options.pid is None and options.command is None and options.trigger is None:
        raise Refused(f"{oracle} is seen in the peer's process: --pid PID, or --command COMMAND")
    host = options.listen[0] if calls else options.host
    try:
        options.address, own = looked_up(host)
    except (OSError, UnicodeError) as error:
        why = said(error) if isinstance(error, OSError) else "not a host name"
        raise Refused(f"{shown(host)}: {why}", NO_ASSOCIATION) from None
    if not own and not options.i_own_this_peer:
        raise Refused(
            f"{shown(host)} is not on this host: the peer may crash, and may store what it is sent; "
            "--i-own-this-peer if it is yours and serves nobody else now"
        )


def _replay(options: argparse.Namespace, out: Output, made: Reproducer) -> int:
    runs: list[Run] = []
    interrupted = False
    with ExitStack() as stack:
        watched = _process(options, stack)
        player = stack.enter_context(_player(options, out))
        port = options.port if options.listen is None else player.port
        made = replace(made, tls=has_tls(options), port=port, at=time())  # of the runs that are exported
        caller = _caller(options, player, stack)
        if options.listen is not None:
            out.info(f"listening on {options.listen[0]}:{player.port} for a peer that calls")
        learned = _learn(options, player, watched)
        patient = min(_MOST_PATIENT, _PATIENT * max(0.25, learned.answer_seconds))
        player.learned = replace(learned, answer_seconds=patient)
        looking = Looking(player, made.violation, watched=watched, caller=caller)
        try:
            for run in _runs(options, out, made, player, looking, watched):
                if run.shown or not any(one.shown for one in runs):  # the one that is printed
                    runs = [replace(one, transcript=Transcript()) for one in runs]
                else:
                    run = replace(run, transcript=Transcript())
                runs.append(run)
                if out.lost is not None:
                    break
        except KeyboardInterrupt:
            interrupted = True
    return _end(options, out, made, runs, player.learned, interrupted=interrupted)


def _end(
    options: argparse.Namespace, out: Output, made: Reproducer, runs: list[Run], learned: Learned, *, interrupted: bool
) -> int:
    count = sum(run.shown for run in runs)
    chosen = next((run for run in reversed(runs) if run.shown), runs[-1] if runs else None)
    if chosen is not None and not options.verbose:
        for line in lines(chosen.transcript, made.conversation):
            out.answer(line)
    runs_of = plural(len(runs), "run")
    tell = out.failure if count else out.info
    tell(f"{made.id}: " + (f"it showed in {count} of {runs_of}" if count else f"it did not show in {runs_of}"))
    out.event("summary", id=made.id, shown=count, tried=len(runs))
    if chosen is not None:
        if not chosen.shown and (options.export_pytest or options.export_pcapng):
            out.info("the export is of a run that did not show it")
        _export(options, out, made, chosen.transcript, learned)
    if interrupted:
        return INTERRUPTED
    if out.lost is not None:
        out.lost.status = FAILED if count else LOST
        raise out.lost
    return FAILED if count else OK


def _runs(
    options: argparse.Namespace,
    out: Output,
    made: Reproducer,
    player: Player,
    looking: Looking,
    watched: Watched | None,
) -> Iterator[Run]:
    """Plays it as often as it was asked for, while the peer serves."""
    for number in range(1, options.repeat + 1):
        trouble = looking.ready()
        if trouble is not None and watched is not None and watched.restartable:
            try:
                watched.restart()
            except CannotStart as error:
                raise Refused(str(error), NO_ASSOCIATION) from None
            trouble = looking.ready()
        if trouble is not None:
            out.info(f"the peer does not serve any more: {trouble.violation.detail}")
            return
        for run in replay(made, player.play, looking.look, times=1):
            _tell(options, out, made, run, number)
            yield run


def _tell(options: argparse.Namespace, out: Output, made: Reproducer, run: Run, number: int) -> None:
    if options.verbose:
        for line in lines(run.transcript, made.conversation):
            out.answer(line)
    others = [f"{one.oracle}: {one.detail}" for one in run.others(made.violation)]
    if options.repeat > 1 or others:
        out.info(f"run {number}: {'it shows' if run.shown else 'it does not show'}")
    for other in others:
        out.info(f"  also seen: {other}")
    out.event("run", number=number, shown=run.shown, also=others, transcript=lines(run.transcript, made.conversation))


def _caller(options: argparse.Namespace, player: Player, stack: ExitStack) -> Caller | None:
    """Makes the peer call whenever the player waits for it, if there is a command for that."""
    if options.trigger is None:
        return None
    caller = Caller([word.replace("{port}", str(player.port)) for word in options.trigger])
    player.trigger = caller.call
    return stack.enter_context(caller)


def _process(options: argparse.Namespace, stack: ExitStack) -> Watched | None:
    """Starts or finds the peer's process, if there is one to watch."""
    if options.pid is None and options.command is None:
        return None
    listens = partial(_listens, options.address, options.port)
    try:
        watched = stack.enter_context(
            Watched(pid=options.pid, command=options.command, ready=listens, port=options.port, log=options.log)
        )
        if options.command is not None:
            if listens():
                raise Refused(f"{_where(options)}: something listens there already; --pid watches it")
            watched.start()
    except CannotStart as error:
        raise Refused(str(error), NO_ASSOCIATION) from None
    return watched


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except OSError:
        return False


def _where(options: argparse.Namespace) -> str:
    return show_address(options.listen if options.listen is not None else (options.host, options.port))


def _player(options: argparse.Namespace, out: Output) -> Player:
    secured = TLSOptions(options, out)
    source = options.source_address
    listens = options.listen is not None
    peer = Peer(
        host=options.host or "127.0.0.1",
        port=options.port,
        address=None if listens else options.address,
        source=source[0] if isinstance(source, tuple) else source,
        tls=None if listens else secured.client,
        listen=(options.address, options.listen[1]) if listens else None,
        server_tls=secured.server if listens else None,
    )
    try:
        return Player(peer, Learned(), bounds=Bounds(seconds=options.time))
    except OSError as error:
        raise Refused(f"{_where(options)}: {said(error)}", NO_ASSOCIATION) from None


def _learn(options: argparse.Namespace, player: Player, watched: Watched | None) -> Learned:
    try:
        if options.listen is not None:
            return probe_caller(player)
        return probe(player, called=options.called_aet, calling=options.aet)
    except (NoAssociation, CannotStart) as error:
        gone = None if watched is None else watched.gone()
        raise Refused(str(error) + (f"; its process ended: {gone}" if gone else ""), NO_ASSOCIATION) from None
