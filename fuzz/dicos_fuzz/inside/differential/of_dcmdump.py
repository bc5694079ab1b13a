"""DCMTK's dcmdump, on the same data sets as our walker and our decoder.

Knows: what dcmdump prints. Must not know: how inputs are made.

Compared: accepted or refused; where both accept, the elements with their depth, tag, value representation (in explicit
VR) and length. DCMTK keeps the elements of an item sorted, drops the second of two with the same tag, and pads values
of odd length: our list is brought into this form. Each input is a Part 10 file, and dcmdump reads a few hundred of them
at once.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from dicos_proto.data.elements import LONG_VRS, SHORT_VRS, UNDEFINED, DataSetError, encoding
from dicos_proto.data.tokens import ELEMENTS
from dicos_proto.data.walker import Walker
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.wire import Buffer

from .comparing import Input
from .data_sets import data_sets, part10
from .known_dcmdump import KNOWN

__all__ = ["Dcmdump", "Element"]

_LINE: Final = re.compile(r"( *)\(([0-9a-f]{4}),([0-9a-f]{4})\) (\S\S) .*# +(u/l|\d+), *\d+ \S")
_HEADER: Final = re.compile(r"# dcmdump \(\d+/\d+\): .*?(\d+)\.dcm$")
_ERROR: Final = re.compile(r"E: dcmdump: (.*): reading file: .*?(\d+)\.dcm$")
_VRS: Final = SHORT_VRS | LONG_VRS
_DELIMITERS: Final = frozenset((0xFFFEE00D, 0xFFFEE0DD))


@dataclass(frozen=True, slots=True)
class Element:
    """An element, an item or a fragment. `vr`: "" where it is not compared; `length` None: undefined."""

    depth: int
    tag: int
    vr: str
    length: int | None

    def __str__(self) -> str:
        return f"{self.depth}:({self.tag >> 16:04X},{self.tag & 0xFFFF:04X}){self.vr} {self.length}"


class Dcmdump:
    """The comparison with dcmdump."""

    name = "dcmdump"
    refusal = "refused by both"
    batch = 250
    known = KNOWN

    def missing(self) -> str | None:
        """dcmdump is a program of DCMTK."""
        return None if shutil.which("dcmdump") else "dcmdump is not installed: apt-get install dcmtk"

    def inputs(self, random: Random) -> Iterator[Input]:
        """Yields data sets."""
        return data_sets(random)

    def differences(self, inputs: Sequence[Input]) -> list[str | None]:
        """Returns the difference for each input."""
        dumped, refused = _dumped(inputs)
        return [_difference(one, dumped.get(number), refused.get(number)) for number, one in enumerate(inputs)]


def _difference(given: Input, theirs: list[Element] | None, refusal: str | None) -> str | None:
    try:
        mine, oddities = _ours(given)
    except DataSetError as fault:
        if theirs is None:
            return ""
        return f"we refuse: {fault}"
    if theirs is None:
        return f"they refuse: {oddities}{refusal}"
    if given.kind == uids.IMPLICIT_VR_LE:
        mine, theirs = _without_vr(mine), _without_vr(theirs)
    if mine == theirs:
        return None
    at = next((n for n, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        more, who = (mine, "we") if len(mine) > len(theirs) else (theirs, "they")
        return f"read differently: {oddities}{who} have {more[min(len(mine), len(theirs))]} more"
    return f"read differently: {oddities}{mine[at]}, {theirs[at]} to them"


def _without_vr(elements: list[Element]) -> list[Element]:
    return [Element(one.depth, one.tag, "", one.length) for one in elements]


# -- what dcmdump says ---------------------------------------------------------------------------------------------


def _dumped(inputs: Sequence[Input]) -> tuple[dict[int, list[Element]], dict[int, str]]:
    """The elements of each file that dcmdump reads, and its error for each other. If it dies, the file is searched of
    which it does."""
    program = shutil.which("dcmdump")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="dicos-dcmdump-") as folder:
        paths = [Path(folder) / f"{number}.dcm" for number in range(len(inputs))]
        for path, one in zip(paths, inputs, strict=True):
            path.write_bytes(part10(one.kind, one.data))
        done = subprocess.run(
            [program, "-ll", "error", "+F", "-Un", "+Qo", *map(str, paths)],
            capture_output=True, timeout=300, check=False,
        )  # fmt: skip
    refused: dict[int, str] = {}
    before: list[str] = []
    for line in done.stderr.decode("latin-1").splitlines():
        error = _ERROR.search(line)
        if error is None:
            before.append(line.removeprefix("E: "))
            continue
        refused[int(error[2])] = "; ".join((error[1], *before[:1]))
        before = []
    if done.returncode < 0:
        return _halves(inputs) if len(inputs) > 1 else ({}, {0: f"it dies of signal {-done.returncode}"})
    found = _listed(done.stdout.decode("latin-1"))
    return {number: elements for number, elements in found.items() if number not in refused}, refused


def _halves(inputs: Sequence[Input]) -> tuple[dict[int, list[Element]], dict[int, str]]:
    """Like `_dumped`, in two runs."""
    middle = len(inputs) // 2
    found, refused = _dumped(inputs[:middle])
    more_found, more_refused = _dumped(inputs[middle:])
    found.update((middle + number, elements) for number, elements in more_found.items())
    refused.update((middle + number, error) for number, error in more_refused.items())
    return found, refused


def _listed(text: str) -> dict[int, list[Element]]:
    """The elements of each file, without those of its meta information."""
    found: dict[int, list[Element]] = {}
    present: list[Element] | None = None
    number = -1
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header is not None:
            number, present = int(header[1]), None
            found[number] = []
        elif line == "# Dicom-Data-Set":
            present = found[number]
        elif present is not None:
            _line(line, present)
    return found


def _line(line: str, elements: list[Element]) -> None:
    found = _LINE.match(line)
    if found is None:
        return
    tag = int(found[2], 16) << 16 | int(found[3], 16)
    if tag in _DELIMITERS:
        return
    length = None if found[5] == "u/l" else int(found[5]) + int(found[5]) % 2
    vr = "" if tag >> 16 == 0xFFFE else found[4]
    elements.append(Element(len(found[1]) // 2, tag, vr, length))


# -- what we say ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """An element and what is inside: items of a sequence, elements of an item."""

    element: Element
    inside: list[_Node] = field(default_factory=list)


class _Lister(Walker):
    """Makes a tree of the tokens."""

    __slots__ = ("_path", "root", "unknown")

    def __init__(self, transfer_syntax: str, limits: Limits) -> None:
        implicit, little, *_ = encoding(transfer_syntax) or (False, True)
        super().__init__(implicit=implicit, little=little, limits=limits, tokens=True)
        self.root = _Node(Element(-1, 0, "", None))
        self._path = [self.root]
        self.unknown = False
        """True if some element has a VR that the standard does not have."""

    def vr_of(self, tag: int, vr: bytes | None) -> bytes:
        """In implicit VR, the dictionary of the reader says which elements are sequences: pydicom's here."""
        from dicos_proto.data.conversion import dictionary_vr

        if vr is not None:
            return b"UN"
        return dictionary_vr(tag).encode() if not tag >> 16 & 1 else b"UN"

    def element(self, tag: int, vr: bytes | None, known: bytes, data: Buffer, at: int, length: int) -> None:
        self.unknown = self.unknown or (vr is not None and vr not in _VRS)
        self._add(tag, "" if vr is None else vr.decode(), length + length % 2)

    def opened(self, kind: int, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool) -> None:
        name = "" if vr is None or kind == ELEMENTS else vr.decode()
        self.unknown = self.unknown or bool(name and vr not in _VRS)
        self._path.append(self._add(tag, name, None if length == UNDEFINED else length + length % 2))

    def fragment(self, data: Buffer, at: int, length: int) -> None:
        self._add(0xFFFEE000, "", length + length % 2)

    def closed(self, kind: int, at: int) -> None:
        self._path.pop()

    def _add(self, tag: int, vr: str, length: int | None) -> _Node:
        made = _Node(Element(len(self._path) - 1, tag, vr, length))
        self._path[-1].inside.append(made)
        return made


def _ours(given: Input) -> tuple[list[Element], str]:
    """The elements as we read them, and what is odd about them, in words. Raises `DataSetError`."""
    limits = Limits()
    data = given.data
    if given.kind == uids.DEFLATED_EXPLICIT_VR_LE:
        from dicos_proto.data.deflated import inflate_whole

        data = inflate_whole(data, limits, most=1 << 24, limit="collected", strict=False)
    lister = _Lister(given.kind, limits)
    lister.feed(data)
    lister.finish()
    _check_plain(given.kind, data, limits)
    oddities = "zeros after the end; " if lister.ended < len(data) else ""
    return list(_sorted(lister.root)), oddities + ("an unknown VR; " if lister.unknown else "")


def _check_plain(transfer_syntax: str, data: bytes, limits: Limits) -> None:
    """The walk that stores objects unread, in pieces, has the same verdict as the one that makes tokens."""
    implicit, little, *_ = encoding(transfer_syntax) or (False, True)
    walker = Walker(implicit=implicit, little=little, limits=limits)
    try:
        for at in range(0, len(data), 37):
            walker.feed(data[at : at + 37])
        walker.finish()
    except DataSetError as fault:
        if implicit:  # without a dictionary, a sequence of defined length is a value
            return
        raise AssertionError(f"the walk without tokens refuses what the other accepts: {fault}") from None


def _sorted(node: _Node) -> Iterator[Element]:
    """In the form of DCMTK: the elements of an item by tag, the first of each."""
    inside = node.inside
    if inside and inside[0].element.tag >> 16 != 0xFFFE:
        first: dict[int, _Node] = {}
        for one in inside:
            first.setdefault(one.element.tag, one)
        inside = [first[tag] for tag in sorted(first)]
    for one in inside:
        yield one.element
        yield from _sorted(one)
