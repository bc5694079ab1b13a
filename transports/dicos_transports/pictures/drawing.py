"""The picture of a scanned object: its views in screening colours, the threats of its reports, a header and a legend.

Knows: scans, reports, what goes where. Must not know: files, the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicos_proto.dicos.errors import DicosError
from dicos_proto.dicos.regions import Axes, Box, RegionError
from dicos_proto.dicos.tdr import TDR
from dicos_proto.dicos.threats import Representation, Threat

from . import colours
from .canvas import MUTED, WHITE, Canvas, Colour, Rectangle
from .projection import VIEWS, View, Views, project
from .scans import Scan
from .words import described, details, named, reported

__all__ = ["DECISION_COLOURS", "picture"]

GROUND: Final[Colour] = (21, 25, 32)
PANEL_EDGE: Final[Colour] = (70, 78, 90)
DECISION_COLOURS: Final[dict[str, Colour]] = {
    "ALARM": (200, 24, 44),
    "CLEAR": (22, 132, 66),
    "UNKNOWN": (196, 122, 0),
}
FLAG_COLOURS: Final[dict[str, Colour]] = {
    "HIGH_THREAT": (214, 0, 56),
    "THREAT": (214, 0, 56),
    "NO_THREAT": (0, 128, 128),
}
OTHER_FLAG: Final[Colour] = (120, 52, 190)
MOST_DRAWN: Final = 100
"""Threats that are drawn."""
MARGIN, GAP, HEADER, TITLE = 24, 22, 92, 26
PANELS: Final = (1240, 900)
"""Pixels for the panels, to the right and down, without the legend."""
LEGEND: Final = (430, 330)
"""The smallest legend."""
CORNERS: Final = 8
"""Points of the polygon of a box, which is drawn as the box."""
ROW: Final = 46
"""The height of a threat in the legend."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A view on the canvas: where it is, and pixels for each voxel to the right and down."""

    view: View
    box: Rectangle
    right: float
    down: float

    def at(self, point: Sequence[float]) -> tuple[float, float]:
        """Returns the place of a voxel coordinate (x, y, z); whole numbers are the middles of voxels."""
        x = self.box[0] + (point[self.view.right] + 0.5) * self.right
        y = self.box[1] + (point[self.view.down] + 0.5) * self.down
        return x, y

    def rectangle(self, box: Box) -> Rectangle:
        """Returns the outline of voxels."""
        low = [first - 0.5 for first in box.start]
        high = [first + count for first, count in zip(low, box.size, strict=True)]
        return (*self.at(low), *self.at(high))


def picture(scan: Scan, reports: Iterable[TDR] = (), *, axes: Axes = Axes.XYZ) -> Image.Image:
    """Returns the picture of a scan with the threats of reports on it, an image of mode RGB.

    `axes`: the order of coordinates in the reports. The frames are read once. Raises `files.part10.Part10Error` if
    they cannot be read. Parts of a report that are wrong are not drawn, and are named in the legend.
    """
    given = tuple(reports)
    views = project(scan, scan.layout.frames, scan.layout.rows, scan.layout.columns, scan.slope, scan.intercept)
    threats, notes = _threats(given, axes)
    notes = [*scan.notes, *_strangers(scan, given), *notes]
    canvas, panels, legend = _arranged(scan, len(threats), len(notes))
    _header(canvas, scan, given)
    for panel in panels:
        canvas.paste(_painted(scan, views, panel), (int(panel.box[0]), int(panel.box[1])))
        canvas.frame(panel.box, PANEL_EDGE)
        title = f"{panel.view.name}" if scan.is_volume else "image"
        canvas.text((panel.box[0], panel.box[1] - 21), title, 15, MUTED, width=panel.box[2] - panel.box[0])
    marks: list[_Mark] = []
    for threat in threats[:MOST_DRAWN]:
        notes += _marked(canvas, scan, threat, panels, marks)
    for mark in marks:
        canvas.label(mark.around, named(mark.threat), colour_of(mark.threat), mark.panel.box)
    for panel in panels:
        unit = "mm" if scan.has_spacing else "pixels"
        canvas.scale_bar(panel.box, panel.right / scan.geometry.spacing[panel.view.right], unit, dark=scan.is_body)
    nothing = "no threats reported" if given else "no report"
    _legend(canvas, scan, threats, list(dict.fromkeys(notes)), legend, nothing)
    return canvas.image


def _threats(reports: Sequence[TDR], axes: Axes) -> tuple[list[Threat], list[str]]:
    found: list[Threat] = []
    notes = []
    for report in reports:
        try:
            found += report.read_threats(axes)
        except DicosError as error:
            notes.append(f"threats of a report are not readable: {error}")
    if len(found) > MOST_DRAWN:
        notes.append(f"only the first {MOST_DRAWN} of {len(found)} threats are drawn")
    return found, notes


def _strangers(scan: Scan, reports: Sequence[TDR]) -> list[str]:
    """A note for each report that does not belong to the scan."""
    notes = []
    for report in reports:
        try:
            mine = report.scan_instance_uid == scan.text(0x0020000D) and scan.reference in report.references()
        except DicosError:
            mine = False
        if not mine:
            notes.append("a report does not refer to this scan")
    return notes


# -- where everything goes -------------------------------------------------------------------------------------------


def _arranged(scan: Scan, threats: int, notes: int) -> tuple[Canvas, list[Panel], Rectangle]:
    """The canvas, the panels, and where the legend goes: right of an image, below the sagittal view of a volume."""
    size = [
        count * each
        for count, each in zip(
            (scan.layout.columns, scan.layout.rows, scan.layout.frames), scan.geometry.spacing, strict=True
        )
    ]
    depth = size[2] if scan.is_volume else 0.0
    pixels_per_mm = min(PANELS[0] / (size[0] + depth), PANELS[1] / (size[1] + depth))
    x, y, z = (max(8, round(length * pixels_per_mm)) for length in (size[0], size[1], depth))
    wanted = LEGEND[1] + 26 * notes + ROW * min(threats, 12)
    left, top = MARGIN, MARGIN + HEADER + TITLE
    boxes = {"axial": (left, top, left + x, top + y)}
    if scan.is_volume:
        boxes["sagittal"] = (left + x + GAP, top, left + x + GAP + z, top + y)
        boxes["coronal"] = (left, top + y + GAP + TITLE, left + x, top + y + GAP + TITLE + z)
        legend_left, legend_top = left + x + GAP, top + y + GAP + TITLE
        room = max(z, wanted)
    else:
        legend_left, legend_top = left + x + GAP, top
        room = max(y, wanted)
    width = max(legend_left + max(LEGEND[0], z if scan.is_volume else 0), 760) + MARGIN
    height = legend_top + room + MARGIN
    canvas = Canvas(int(width), int(height), GROUND)
    panels = []
    shape = (scan.layout.columns, scan.layout.rows, scan.layout.frames)
    for view in VIEWS:
        if view.name in boxes:
            box = boxes[view.name]
            panels.append(Panel(view, box, (box[2] - box[0]) / shape[view.right], (box[3] - box[1]) / shape[view.down]))
    return canvas, panels, (legend_left, legend_top, width - MARGIN, height - MARGIN)


def _painted(scan: Scan, views: Views, panel: Panel) -> Image.Image:
    """A view in colours, as large as its panel."""
    size = (int(panel.box[2] - panel.box[0]), int(panel.box[3] - panel.box[1]))
    highest = _resized(views.highest[panel.view.name], size)
    if scan.is_body:
        return Image.fromarray(colours.coloured(colours.body(highest), colours.BODY))
    if scan.is_transmission:
        dense = colours.attenuation(highest, dark_is_dense=scan.is_dark_for_dense)
        return Image.fromarray(colours.coloured(dense, colours.DENSITY))
    top = None
    if scan.unit not in colours.KNOWN_UNITS:
        top = float(np.percentile(views.highest["axial"], 99.9))
    dense = colours.density(highest, scan.unit, top)
    mean = colours.density(_resized(views.mean[panel.view.name], size), scan.unit, top)
    return Image.fromarray(colours.coloured(dense, colours.DENSITY, colours.opacity(dense, mean)))


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(values)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)


# -- what is written -------------------------------------------------------------------------------------------------


def _header(canvas: Canvas, scan: Scan, reports: Sequence[TDR]) -> None:
    decision, colour = "NO REPORT", (74, 82, 94)
    if reports:
        try:
            aborted, decision = reports[-1].aborted, reports[-1].decision or "NO DECISION"
        except DicosError:
            aborted, decision = False, "NOT READABLE"
        colour = DECISION_COLOURS.get(decision, OTHER_FLAG)
        decision += " (ABORTED)" if aborted else ""
    left = canvas.badge(canvas.image.width - MARGIN, MARGIN, canvas.fitted(decision, 26, 360), 26, colour)
    room = left - MARGIN - 16
    canvas.text((MARGIN, MARGIN - 2), scan.text(0x00100020) or "(no OOI ID)", 30, WHITE, width=room, bold=True)
    canvas.text((MARGIN, MARGIN + 42), " | ".join(one for one in described(scan) if one), 16, MUTED, width=room)
    canvas.text(
        (MARGIN, MARGIN + 66), " | ".join(part for one in reports[-1:] for part in reported(one)), 16, MUTED, width=room
    )


def colour_of(threat: Threat) -> Colour:
    return FLAG_COLOURS.get(threat.flag, OTHER_FLAG)


def _legend(
    canvas: Canvas, scan: Scan, threats: Sequence[Threat], notes: Sequence[str], box: Rectangle, nothing: str
) -> None:
    left, top, right, bottom = box
    width = right - left
    y = top
    if not scan.is_body:
        y = _colour_bar(canvas, scan, left, y, min(width, 420))
    canvas.text((left, y), "threats" if threats else nothing, 15, MUTED, width=width)
    y += 28
    room = bottom - 26 * len(notes) - 8
    for index, threat in enumerate(threats):
        if y + ROW > room:
            canvas.text((left, y), f"and {len(threats) - index} more", 15, MUTED, width=width)
            y += 26
            break
        canvas.swatch((left, y, left + 6, y + ROW - 10), colour_of(threat))
        canvas.text((left + 16, y - 2), named(threat), 18, WHITE, width=width - 16)
        canvas.text((left + 16, y + 20), details(threat), 14, MUTED, width=width - 16)
        y += ROW
    for note in notes:
        canvas.text((left, y + 6), f"! {note}", 14, (255, 190, 90), width=width)
        y += 26


def _colour_bar(canvas: Canvas, scan: Scan, left: float, top: float, width: float) -> float:
    """Draws what the colours mean. Returns where the next thing may be drawn."""
    highest = 8.0
    title = "colour: density of the densest voxel, g/cm3"
    if scan.is_transmission:
        title = "colour: attenuation, relative"
    elif scan.unit not in colours.KNOWN_UNITS:
        title = "colour: highest value, relative"
    canvas.text((left, top), title, 15, MUTED, width=width)
    ramp = np.interp(np.linspace(0, 1, int(width)), _BAR_AT, _BAR_DENSITY).astype(np.float32)
    bar = colours.coloured(np.repeat(ramp[None], 22, axis=0), colours.DENSITY)
    canvas.paste(Image.fromarray(bar), (int(left), int(top + 26)))
    for density, at, word in (
        (0.0, 0.0, "air"),
        (1.0, 0.25, "organic"),
        (2.6, 0.55, "mixed"),
        (highest, 0.82, "metal"),
    ):
        x = left + at * width
        canvas.text((x, top + 52), word, 14, WHITE, width=90)
        if not scan.is_transmission and scan.unit in colours.KNOWN_UNITS:
            canvas.text((x, top + 70), f"{density:g}", 13, MUTED, width=90)
    return top + 104


_BAR_AT: Final = (0.0, 0.25, 0.55, 0.82, 1.0)
_BAR_DENSITY: Final = (0.0, 1.0, 2.6, 5.0, 9.0)


# -- what is marked --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a threat is on a panel; its label is written when all outlines are drawn."""

    panel: Panel
    around: Rectangle
    threat: Threat


def _marked(canvas: Canvas, scan: Scan, threat: Threat, panels: Sequence[Panel], marks: list[_Mark]) -> list[str]:
    """Draws a threat in every view and adds its marks. Returns what could not be drawn."""
    shown = _representation(scan, threat)
    if shown is None:
        return [f"threat {threat.id} is not shown in this scan"]
    box, mask, notes = _place(scan, threat, shown)
    polygon = _polygon(scan, shown)
    for panel in panels:
        around = None
        if box is not None:
            around = panel.rectangle(box)
            _region(canvas, panel, around, mask, colour_of(threat))
        if polygon:
            path = [_inside(panel.at(point), panel.box) for point in polygon]
            around = around or _around(path)
            if box is None or len(polygon) != CORNERS:
                canvas.path(path if len(path) > 2 else _diagonal(path), colour_of(threat))
        for centre in shown.anomalies:
            x, y = _inside(panel.at(shown.in_voxels(centre)), panel.box)
            around = around or (x - 9, y - 9, x + 9, y + 9)
            canvas.corners((x - 9, y - 9, x + 9, y + 9), colour_of(threat))
        if around is not None:
            marks.append(_Mark(panel, around, threat))
    if box is None and not polygon and not shown.anomalies and not notes:
        notes = [f"threat {threat.id} has no place"]
    return notes


def _representation(scan: Scan, threat: Threat) -> Representation | None:
    """The representation in this scan; the only one, even if it refers to something else: another note reports that."""
    found = threat.representation(scan.reference.sop_instance_uid)
    if found is None:
        free = [one for one in threat.representations if not one.references or len(threat.representations) == 1]
        found = free[0] if free else None
    return found


def _place(scan: Scan, threat: Threat, shown: Representation) -> tuple[Box | None, NDArray[np.bool_] | None, list[str]]:
    """The box of a region and its mask, None for what is not there or wrong, and what is wrong."""
    if shown.region is None:
        return None, None, []
    try:
        box = shown.region.box((scan.layout.frames, scan.layout.rows, scan.layout.columns))
        return box, shown.region.mask() if shown.region.bitmap else None, []
    except RegionError as error:
        return None, None, [f"threat {threat.id}: {error}"]


def _region(canvas: Canvas, panel: Panel, around: Rectangle, mask: NDArray[np.bool_] | None, colour: Colour) -> None:
    if mask is None:
        canvas.rectangle(around, colour)
        return
    flat = mask.any(axis=2 - panel.view.along)
    if panel.view.along == 0:  # (z, y), to be drawn with z to the right
        flat = flat.T
    size = (max(1, round(around[2] - around[0])), max(1, round(around[3] - around[1])))
    image = Image.fromarray(flat.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    canvas.contour(image.point(_half), (round(around[0]), round(around[1])), colour)
    left, top, right, bottom = around
    canvas.corners((left - 8, top - 8, right + 8, bottom + 8), colour)


_half: Final = [255 * (value >= 110) for value in range(256)]


def _polygon(scan: Scan, shown: Representation) -> list[list[float]]:
    """The points of a polygon in voxels; none if there are none, or so many that they cannot be an outline."""
    if not 2 <= len(shown.polygon) <= 10_000:
        return []
    return [list(map(float, point)) for point in scan.geometry.to_voxels(np.array(shown.polygon))]


def _inside(point: tuple[float, float], box: Rectangle) -> tuple[float, float]:
    """A place on the panel, the nearest one for what is beyond its edges."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _diagonal(path: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    left, top, right, bottom = _around(path)
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _around(path: Sequence[tuple[float, float]]) -> Rectangle:
    across, down = zip(*path, strict=True)
    return min(across), min(down), max(across), max(down)
