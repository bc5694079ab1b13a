"""`dicos show`: draws a scan with the threats of its reports, or says in words what is in the files."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from dicos_proto.dicos.errors import DicosError
from dicos_proto.dicos.regions import Axes
from dicos_proto.dicos.tdr import TDR

from ...dicos.part10 import read_file
from ...files.part10 import Part10Error
from ...files.temporary import hidden_name
from ...pictures import words
from ...pictures.scans import NoPicture, Scan
from .. import FAILED, OK, USAGE
from ..file_options import file_parser
from ..output import Output

AXES = {"xyz": Axes.XYZ, "zyx": Axes.ZYX, "xyz-z-fastest": Axes.XYZ_Z_FASTEST}


def main(words: Sequence[str]) -> int:
    parser = file_parser("show", "Draw a scan from three sides, with the threats that were found in it. Without -o: "
                         "say in words what is in the files.")  # fmt: skip
    parser.add_argument("file", metavar="FILE", type=Path, help="a CT, DX or AIT, or a TDR for its text")
    parser.add_argument("more", type=Path, nargs="*", default=[], help=SUPPRESS)
    parser.add_argument("--tdr", metavar="TDR", type=Path, action="append", default=[],
                        help="a threat detection report on it; may be repeated")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="PNG", type=Path, help="the picture to write")
    parser.add_argument("--axes", choices=AXES, default="xyz",
                        help="order of coordinates and bits in the reports, which nothing in a report tells: xyz; "
                        "zyx, as pyDICOS' TDRLoader writes them; xyz-z-fastest, as its generate_tdr does "
                        "(default: %(default)s)")  # fmt: skip
    options = parser.parse_intermixed_args(words)
    if options.more:
        parser.error(f"{str(options.more[0])!a}: one FILE at a time; give its reports by --tdr")
    if options.output is not None:
        if options.output.suffix.lower() != ".png":
            parser.error(f"-o {str(options.output)!a}: the name of a picture ends in .png")
        if find_spec("PIL") is None:
            parser.error("a picture needs Pillow: pip install '.[show]' in a checkout")
        if any(_is_same(options.output, one) for one in (options.file, *options.tdr)):
            parser.error("the picture would replace a file that is read")
    return _show(Output(options), options.file, options.tdr, options.output, AXES[options.axes])


def _show(out: Output, path: Path, reports: Sequence[Path], output: Path | None, axes: Axes) -> int:
    try:
        scan = _scan(path)
        named = list(reports) if scan is not None else [path, *reports]
        read = [(one, _report(one)) for one in named]
        if output is None:
            if scan is not None:
                _tell(out, path, words.of_scan(scan), "scan")
            for one, report in read:
                _tell(out, one, words.of_report(report, axes), "report")
            return OK
        if scan is None:
            out.error(
                f"{path}: a TDR has no picture of its own; draw its scan: dicos show SCAN --tdr {path} -o {output}"
            )
            return USAGE
        _draw(out, scan, [report for _, report in read], output, axes)
    except (Part10Error, NoPicture, DicosError) as error:
        out.error(str(error) if isinstance(error, Part10Error) else f"{path}: {error}")
        return USAGE
    except OSError as error:
        out.error(f"{output}: cannot be written: {error.strerror}")
        return FAILED
    return OK


def _scan(path: Path) -> Scan | None:
    """The scan in a file, None if it is a report."""
    try:
        return Scan.read(path)
    except NoPicture:
        if isinstance(read_file(path), TDR):
            return None
        raise


def _report(path: Path) -> TDR:
    try:
        found = read_file(path)
    except DicosError as error:
        raise Part10Error(path, str(error)) from None
    if not isinstance(found, TDR):
        raise Part10Error(path, f"is a {found.kind}, not a threat detection report")
    return found


def _tell(out: Output, path: Path, lines: Sequence[tuple[str, str]], event: str) -> None:
    out.answer(f"{path}")
    for name, text in lines:
        out.answer(f"  {name:<10} {text}")
    out.event("shown", file=str(path), kind=event, lines=dict(lines))


def _draw(out: Output, scan: Scan, reports: Sequence[TDR], output: Path, axes: Axes) -> None:
    from ...pictures import picture

    image = picture(scan, reports, axes=axes)
    temporary = output.with_name(hidden_name())
    try:
        with temporary.open("xb") as file:
            image.save(file, "PNG")
        os.replace(temporary, output)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    out.info(f"{output}: {image.width} x {image.height} pixels")
    out.event("picture", file=str(output), width=image.width, height=image.height)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
