"""A campaign on disk: how far it came, what it found, and what it learned, to be taken up again.

Knows: files. Must not know: how a campaign runs.

A folder: the file state.json (numbers, the bitmap), `corpus/` (conversations), `findings/` and `unconfirmed/`
(reproducers); the file `lock` is there while a campaign runs (`claim`). Each file is written whole or not at all, so
that a campaign that is killed leaves its last state. A damaged file raises `DamagedFile`, which names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from dicos_transports.addresses import said

from ..finding import Finding, signature
from ..findings import reproducer
from ..json_text import DamagedFile, fields, hexadecimal, items, number, read_file, text, whole, write_file, written
from .bitmap import BITS, Bitmap
from .room import GivesRoom, with_room
from .settings import Totals

__all__ = ["CORPUS", "FINDINGS", "NAME", "Saved", "load", "save"]

CORPUS: Final = "corpus"
FINDINGS: Final = "findings"
UNCONFIRMED: Final = "unconfirmed"
NAME: Final = "state.json"
_FORMAT: Final = 1
_MOST: Final = 1 << 53
_FINDINGS_MOST: Final = 2_000
_KEYS: Final = (
    "dicos fuzz", "peer", "seed", "taken", "seconds", "cases", "echoes", "associations", "sent", "restarts", "families",
    "masked", "bitmap",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A saved campaign. `peer`: its address, as text. `taken`: see `Schedule`."""

    peer: str
    seed: int
    taken: tuple[int, int]
    totals: Totals
    bitmap: Bitmap


def save(
    folder: Path,
    saved: Saved,
    corpus: GivesRoom | None = None,
    of: Callable[[Finding], reproducer.Reproducer] | None = None,
) -> dict[str, str]:
    """Writes a campaign: the findings first. The corpus writes its own files, and gives room for these. `of` makes the
    reproducer of a finding. Returns what cannot be written, and why, by path. Raises OSError if the folders cannot be
    made."""
    (folder / FINDINGS).mkdir(parents=True, exist_ok=True)
    (folder / UNCONFIRMED).mkdir(exist_ok=True)
    totals = saved.totals
    files: list[tuple[Path, Callable[[Path], object]]] = []
    for name, found in ((FINDINGS, totals.findings), (UNCONFIRMED, totals.unconfirmed)):
        made = [reproducer.of_finding(one, peer=saved.peer) if of is None else of(one) for one in found.values()]
        files += [
            (folder / name / reproducer.file_name(one), partial(reproducer.write, reproducer=one)) for one in made
        ]
    files.insert(len(totals.findings), (folder / NAME, lambda path: write_file(path, _written(saved))))
    failed: dict[str, str] = {}
    for path, write in files:
        try:
            with_room(partial(write, path), folder, corpus)
        except (OSError, ValueError) as error:
            failed[str(path)] = said(error) if isinstance(error, OSError) else str(error)
    return failed


def _written(saved: Saved) -> bytes:
    totals = saved.totals
    return written(
        {
            "dicos fuzz": _FORMAT,
            "peer": saved.peer,
            "seed": saved.seed,
            "taken": list(saved.taken),
            "seconds": round(totals.seconds, 3),
            "cases": totals.cases,
            "echoes": totals.echoes,
            "associations": totals.associations,
            "sent": totals.sent,
            "restarts": totals.restarts,
            "families": totals.families,
            "masked": totals.masked,
            "bitmap": saved.bitmap.dump().hex(),
        }
    )


def load(folder: Path) -> Saved:
    """Reads a campaign. Raises `DamagedFile`, which names the file, and OSError if there is none."""
    path = folder / NAME
    try:
        saved = _read(read_file(path))
    except DamagedFile as fault:
        raise DamagedFile(f"{path}: {fault}") from None
    for name, found in ((FINDINGS, saved.totals.findings), (UNCONFIRMED, saved.totals.unconfirmed)):
        for file in sorted((folder / name).glob("*.json"))[:_FINDINGS_MOST]:
            try:
                one = _finding(reproducer.read(file))
            except OSError as error:
                raise DamagedFile(f"{file}: {said(error)}") from None
            found[signature(one.violation)] = one
    return saved


def _read(value: object) -> Saved:
    plain = fields(value, "a saved campaign", _KEYS)
    if plain.get("dicos fuzz") != _FORMAT:
        raise DamagedFile(f'not a saved campaign of this version: "dicos fuzz" is not {_FORMAT}')
    taken = items(plain.get("taken"), "taken", 2)
    if len(taken) != 2:
        raise DamagedFile("taken: two numbers")
    bits = hexadecimal(plain.get("bitmap"), "bitmap")
    if len(bits) != BITS // 8:
        raise DamagedFile(f"bitmap: {len(bits)} bytes; {BITS // 8}")
    totals = Totals(
        seconds=number(plain.get("seconds"), "seconds", 1e9),
        cases=whole(plain.get("cases"), "cases", _MOST),
        echoes=whole(plain.get("echoes"), "echoes", _MOST),
        associations=whole(plain.get("associations"), "associations", _MOST),
        sent=whole(plain.get("sent"), "sent", _MOST),
        restarts=whole(plain.get("restarts"), "restarts", _MOST),
        families=_counts(plain.get("families"), "families"),
        masked=_counts(plain.get("masked"), "masked"),
    )
    return Saved(
        peer=text(plain.get("peer"), "peer"),
        seed=whole(plain.get("seed"), "seed", _MOST),
        taken=(whole(taken[0], "taken", _MOST), whole(taken[1], "taken", _MOST)),
        totals=totals,
        bitmap=Bitmap(bits),
    )


def _counts(value: object, where: str) -> dict[str, int]:
    return {text(name, where, 200): whole(count, where, _MOST) for name, count in fields(value, where).items()}


def _finding(found: reproducer.Reproducer) -> Finding:
    return Finding(
        violation=found.violation,
        conversation=found.conversation,
        transcript=found.transcript,
        before=found.before,
        left_out=found.left_out,
        minimised=found.conversation,
        replayed=found.replayed,
        seen_after=found.seen_after,
        at=found.at,
        count=found.count,
        evidence=found.evidence,
    )
