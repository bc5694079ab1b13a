"""Text, badges, scale bars and outlines on an image, as Pillow draws them.

Knows: Pillow. Must not know: scans, reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

__all__ = ["Canvas", "Colour", "Rectangle"]

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Point = tuple[float, float]

WHITE: Final[Colour] = (255, 255, 255)
MUTED: Final[Colour] = (150, 160, 174)
INK: Final[Colour] = (26, 32, 40)
_MOST_TEXT: Final = 400
_NICE: Final = (1, 2, 5)


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


class Canvas:
    """An image and what is drawn on it."""

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        self.image = Image.new("RGB", (width, height), colour)
        self._draw = ImageDraw.Draw(self.image)
        self._labels: list[Rectangle] = []

    def width_of(self, text: str, size: int) -> float:
        """Returns the width of a text in pixels."""
        return self._draw.textlength(text, font=_font(size))

    def fitted(self, text: str, size: int, width: float) -> str:
        """Returns a text, shortened with dots if it is wider than `width` pixels, without unprintable characters."""
        text = "".join(char if char.isprintable() else "?" for char in text[:_MOST_TEXT])
        if self.width_of(text, size) <= width:
            return text
        while text and self.width_of(text + "...", size) > width:
            text = text[: -1 - len(text) // 20]
        return text + "..."

    def text(self, at: Point, text: str, size: int, colour: Colour, *, width: float, bold: bool = False) -> None:
        """Writes a line with its top left corner at `at`, at most `width` pixels wide."""
        shown = self.fitted(text, size, width)
        stroke = max(1, size // 24) if bold else 0
        self._draw.text(at, shown, fill=colour, font=_font(size), stroke_width=stroke, stroke_fill=colour)

    def badge(self, right: float, top: float, text: str, size: int, colour: Colour) -> float:
        """Draws a filled box with a text in it, its right edge at `right`. Returns its left edge."""
        width = self.width_of(text, size) + 2 * size
        box = (right - width, top, right, top + 2 * size)
        self._draw.rounded_rectangle(box, radius=size // 3, fill=colour)
        self._draw.text(
            ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), text, fill=WHITE, font=_font(size), anchor="mm",
            stroke_width=1, stroke_fill=WHITE,
        )  # fmt: skip
        return box[0]

    def swatch(self, box: Rectangle, colour: Colour) -> None:
        """Fills a rectangle."""
        self._draw.rectangle(box, fill=colour)

    def paste(self, image: Image.Image, at: tuple[int, int]) -> None:
        """Puts an image on this one."""
        self.image.paste(image, at)

    def frame(self, box: Rectangle, colour: Colour) -> None:
        """Draws a thin frame around a rectangle."""
        left, top, right, bottom = box
        self._draw.rectangle((left - 1, top - 1, right, bottom), outline=colour)

    def scale_bar(self, box: Rectangle, pixels_per_mm: float, unit: str, *, dark: bool) -> None:
        """Draws a bar of a round number of mm, or of another unit, at the bottom left of a rectangle."""
        left, _, right, bottom = box
        length = _nice((right - left) / 4 / pixels_per_mm)
        end = left + 14 + length * pixels_per_mm
        if end > right - 4 or bottom - box[1] < 40:
            return
        ink, halo = (WHITE, INK) if dark else (INK, WHITE)
        y = bottom - 14
        for colour, width in ((halo, 5), (ink, 2)):
            self._draw.line((left + 14, y, end, y), fill=colour, width=width)
            for x in (left + 14, end):
                self._draw.line((x, y - 5, x, y + 5), fill=colour, width=width)
        text = f"{length:g} {unit}" if length < 10_000 or unit != "mm" else f"{length / 1000:g} m"
        self._draw.text(
            (left + 15, y - 8), text, fill=ink, font=_font(14), anchor="ls", stroke_width=2, stroke_fill=halo
        )  # fmt: skip

    # -- outlines ----------------------------------------------------------------------------------------------------

    def rectangle(self, box: Rectangle, colour: Colour, width: int = 3) -> None:
        """Draws an outline with a light edge, visible on any colour."""
        left, top, right, bottom = box
        for extra, paint in ((2, WHITE), (0, colour)):
            line = width + extra
            grown = (left - line / 2, top - line / 2, right + line / 2, bottom + line / 2)
            self._draw.rectangle(grown, outline=paint, width=line)

    def corners(self, box: Rectangle, colour: Colour) -> None:
        """Draws the corners of a box only."""
        left, top, right, bottom = box
        arm = max(4.0, min(right - left, bottom - top, 60) / 4)
        for x, y, to_x, to_y in (
            (left, top, 1, 1),
            (right, top, -1, 1),
            (left, bottom, 1, -1),
            (right, bottom, -1, -1),
        ):
            for paint, width in ((WHITE, 4), (colour, 2)):
                self._draw.line((x + to_x * arm, y, x, y, x, y + to_y * arm), fill=paint, width=width)

    def path(self, points: Sequence[Point], colour: Colour) -> None:
        """Draws a closed dashed line."""
        for start, end in zip(points, [*points[1:], *points[:1]], strict=True):
            for dash in _dashes(start, end):
                self._draw.line(dash, fill=WHITE, width=3)
                self._draw.line(dash, fill=colour, width=1)

    def contour(self, mask: Image.Image, at: tuple[int, int], colour: Colour) -> None:
        """Draws the outline of a mask, an image of mode L, whose top left corner is at `at`."""
        room = 6
        wide = Image.new("L", (mask.width + 2 * room, mask.height + 2 * room))
        wide.paste(mask, (room, room))
        inner = wide.filter(ImageFilter.MaxFilter(3))
        line, halo = (wide.filter(ImageFilter.MaxFilter(size)) for size in (7, 9))
        place = (at[0] - room, at[1] - room)
        self.image.paste(WHITE, place, ImageChops.subtract(halo, line))
        self.image.paste(colour, place, ImageChops.subtract(line, inner))

    def label(self, box: Rectangle, text: str, colour: Colour, inside: Rectangle) -> None:
        """Writes a text on a coloured ground near `box`, within `inside`, where no other label is."""
        size = 15
        text = self.fitted(text, size, inside[2] - inside[0] - 12)
        width, height = self.width_of(text, size) + 12, size + 8
        for left, top in _label_places(box, width, height, inside):
            spot = (left, top, left + width, top + height)
            if not any(_overlap(spot, other) for other in self._labels):
                break
        self._labels.append(spot)
        self._draw.rounded_rectangle(spot, radius=3, fill=colour, outline=WHITE)
        self._draw.text(
            ((spot[0] + spot[2]) / 2, (spot[1] + spot[3]) / 2), text, fill=WHITE, font=_font(size), anchor="mm"
        )


def _label_places(box: Rectangle, width: float, height: float, inside: Rectangle) -> Iterator[Point]:
    """Yields places for a label: above the box, below it, then further down and up, all within `inside`."""
    left, top, _, bottom = box
    x = min(max(left - 2, inside[0] + 2), max(inside[0] + 2, inside[2] - width - 2))
    wanted = [top - height - 6, bottom + 6]
    wanted += [bottom + 6 + step * (height + 3) for step in range(1, 40)]
    wanted += [top - 6 - step * (height + 3) for step in range(2, 40)]
    for y in wanted:
        yield x, min(max(y, inside[1] + 2), max(inside[1] + 2, inside[3] - height - 2))


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _dashes(start: Point, end: Point, dash: float = 7, gap: float = 5) -> Iterator[tuple[Point, Point]]:
    """Yields the pieces of a dashed line, at most a thousand."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = (x * x + y * y) ** 0.5
    count = min(1000, int(length / (dash + gap)) + 1)
    for number in range(count):
        begin, stop = (number * (dash + gap) / max(length, 1e-6), (number * (dash + gap) + dash) / max(length, 1e-6))
        stop = min(stop, 1.0)
        yield (start[0] + x * begin, start[1] + y * begin), (start[0] + x * stop, start[1] + y * stop)


def _nice(length: float) -> float:
    """Returns the largest of 1, 2, 5, 10, 20, 50 ... that is not above `length`, down to a thousandth."""
    best = 0.001
    power = -3
    while 10.0**power <= length and power < 9:
        best = max(float(step) * 10.0**power for step in _NICE if step * 10.0**power <= length)
        power += 1
    return best
