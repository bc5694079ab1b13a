"""`dicos validate`: checks DICOS files against the rules of their modules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dicos_proto.dicos import DicosObject, view
from dicos_proto.dicos.errors import DicosError
from dicos_proto.dicos.findings import MOST, Finding, Severity
from dicos_proto.dicos.regions import Axes
from dicos_proto.dicos.tdr import TDR

from ...files.part10 import Part10Error
from ...pictures.frames import open_dataset
from .. import FAILED, OK, USAGE
from ..file_options import file_parser
from ..output import Output, plural
from .show import AXES


def main(words: Sequence[str]) -> int:
    parser = file_parser(
        "validate", "Check DICOS files: what is missing or wrong, where, and which sources say so. Exit status 1 if "
        "anything is found.",
    )  # fmt: skip
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="a DICOS file")
    parser.add_argument("--tdr-of", metavar="SCAN", type=Path,
                        help="the scanned object that the reports are on: also check that they belong to it and that "
                        "their regions lie inside")  # fmt: skip
    parser.add_argument("--axes", choices=AXES, default="xyz",
                        help="order of coordinates and bits in the reports (default: %(default)s)")  # fmt: skip
    options = parser.parse_intermixed_args(words)
    out = Output(options)
    try:
        scanned = None if options.tdr_of is None else _read(options.tdr_of)
    except Part10Error as error:
        out.error(str(error))
        return USAGE
    return _validate(out, options.files, scanned, AXES[options.axes])


def _validate(out: Output, files: Sequence[Path], scanned: DicosObject | None, axes: Axes) -> int:
    unreadable = errors = warnings = 0
    for path in files:
        try:
            found = _read(path)
        except Part10Error as error:
            out.error(str(error))
            unreadable += 1
            continue
        findings = found.validate(scanned, axes=axes) if isinstance(found, TDR) else found.validate()
        _tell(out, path, findings)
        bad = sum(one.severity is Severity.ERROR for one in findings)
        errors, warnings = errors + bad, warnings + len(findings) - bad
        out.event("validated", file=str(path), kind=found.kind, errors=bad, warnings=len(findings) - bad)
    said = f"{plural(errors, 'error')}, {plural(warnings, 'warning')}"
    out.info(f"{plural(len(files), 'file')}: {said}" + (f", {unreadable} not readable" if unreadable else ""))
    out.event("summary", files=len(files), errors=errors, warnings=warnings, unreadable=unreadable)
    if unreadable:
        return USAGE
    return FAILED if errors or warnings else OK


def _tell(out: Output, path: Path, findings: Sequence[Finding]) -> None:
    for one in findings:
        out.answer(f"{path}: {one}")
        out.event(
            "finding", file=str(path), severity=str(one.severity), tag=f"{one.tag:08X}", path=one.path,
            module=one.module, rule=one.rule, text=one.text, sources=list(one.sources),
        )  # fmt: skip
    if len(findings) == MOST:
        out.info(f"{path}: only the first {MOST} findings are listed")


def _read(path: Path) -> DicosObject:
    """The object in a file; large pixel data is not read into memory. Raises Part10Error."""
    if path.is_dir():
        raise Part10Error(path, "is a folder; name the files in it")
    dataset = open_dataset(path)
    try:
        return view(dataset)
    except DicosError as error:
        raise Part10Error(path, str(error)) from None
