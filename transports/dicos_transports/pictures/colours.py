"""Screening pseudo-colours: orange for organic, green for mixed, blue for metal, as operators of X-ray machines know
them.

A CT has densities, so the colour follows the density of the densest voxel along a ray:

| density in g/cm3 | colour | for example |
|---|---|---|
| 0 to 0.2 | white, shading to orange | air, foam |
| 0.2 to 1.8 | orange | clothes, water, food, explosives |
| 1.8 to 3.3 | green | glass, aluminium, salt |
| above 3.3 | blue, darker with density | steel, copper, lead |

Densities come from the rescaled values: of HU as 1 + value / 1000, of MHU as value / 1000. In other units, and in raw
data, the 99.9th percentile counts as 4 g/cm3, so that the colours are relative. A DX has one value for each ray, which
thick organic things and thin metal share: its colour follows the attenuation, -ln(value / brightest), and is relative
too: 0 to 0.5 white to orange, 1.5 green, 3 and more blue.

Knows: numbers and colours. Must not know: files, threats.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BODY", "DENSITY", "attenuation", "body", "coloured", "density"]

Picture = NDArray[np.float32]
Stops = tuple[tuple[float, tuple[int, int, int]], ...]

DENSITY: Final[Stops] = (
    (0.00, (255, 255, 255)),
    (0.08, (252, 248, 240)),
    (0.30, (250, 214, 160)),
    (0.90, (243, 156, 55)),
    (1.35, (214, 112, 18)),
    (1.75, (190, 112, 22)),
    (2.00, (108, 164, 62)),
    (2.70, (36, 128, 60)),
    (3.30, (28, 112, 120)),
    (3.90, (44, 98, 190)),
    (6.00, (24, 52, 150)),
    (9.00, (8, 16, 66)),
    (20.0, (2, 4, 24)),
)
"""Density in g/cm3 -> red, green, blue. Values between two stops are between their colours."""
BODY: Final[Stops] = ((0.0, (18, 20, 26)), (0.5, (122, 126, 136)), (1.0, (248, 248, 250)))
"""Part of the brightest value -> grey, for images of persons."""
KNOWN_UNITS: Final = ("HU", "MHU")
"""The units that are densities."""
_RELATIVE_TOP: Final = 4.0
_ATTENUATION_TO_DENSITY: Final = ((0.0, 0.0), (0.5, 0.9), (1.0, 1.4), (1.5, 2.2), (2.2, 3.0), (3.0, 4.5), (6.0, 12.0))


def density(values: Picture, unit: str, top: float | None = None) -> Picture:
    """Returns densities in g/cm3 of values in `unit`; `top`: the value that counts as 4 g/cm3 in an unknown unit, by
    default the 99.9th percentile."""
    low = {"HU": -1000.0, "MHU": 0.0}.get(unit, min(0.0, float(values.min())))
    one = 1000.0
    if unit not in KNOWN_UNITS:
        top = float(np.percentile(values, 99.9)) if top is None else top
        one = max(top - low, 1e-6) / _RELATIVE_TOP
    found: Picture = np.maximum((values - np.float32(low)) / np.float32(one), np.float32(0))
    return found


def attenuation(values: Picture, *, dark_is_dense: bool) -> Picture:
    """Returns the densities that the colours of a DX stand for; `dark_is_dense`: low values are dense."""
    low, high = float(values.min()), float(np.percentile(values, 99.8))
    if dark_is_dense:
        floor = max(high, 1e-6) * 1e-3
        found = -np.log(np.clip(values, floor, None) / max(high, floor))
    else:
        found = (values - low) * np.float32(3.5 / max(float(values.max()) - low, 1e-6))
    points, densities = zip(*_ATTENUATION_TO_DENSITY, strict=True)
    dense: Picture = np.interp(np.maximum(found, 0), points, densities).astype(np.float32)
    return dense


def coloured(values: Picture, stops: Stops, shade: Picture | None = None) -> NDArray[np.uint8]:
    """Returns an image of shape (height, width, 3). `shade`: 0 to 1, how much of the colour's light is taken away."""
    points, colours = [at for at, _ in stops], np.array([colour for _, colour in stops], np.float32)
    image = np.stack([np.interp(values, points, colours[:, channel]) for channel in range(3)], axis=-1)
    if shade is not None:
        image *= 1 - np.clip(shade, 0, 1)[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def body(values: Picture) -> Picture:
    """Returns values as parts of the brightest, for `BODY`."""
    low, high = (float(one) for one in np.percentile(values, (0.5, 99.8)))
    found: Picture = np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return found
