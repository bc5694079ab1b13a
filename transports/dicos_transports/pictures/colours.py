"""Screening pseudo-colours: orange for organic, green for mixed, blue for metal, as operators of X-ray machines know
them.

A CT has densities, so the colour follows the density of the densest voxel along a ray:

| density in g/cm3 | colour | for example |
|---|---|---|
| 0 to 0.2 | white, shading to orange | air, foam |
| 0.2 to 1.8 | orange | clothes, water, food, explosives |
| 1.8 to 3.3 | green | glass, aluminium, salt |
| above 3.3 | blue, darker with density | steel, copper, lead |

The more mass there is along a ray, the more the colour covers the white ground, so that one sees through a shell.

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

__all__ = ["BODY", "DENSITY", "attenuation", "body", "coloured", "density", "opacity"]

Picture = NDArray[np.float32]
Stops = tuple[tuple[float, tuple[int, int, int]], ...]

DENSITY: Final[Stops] = (
    (0.00, (255, 255, 255)),
    (0.05, (255, 246, 232)),
    (0.25, (252, 206, 140)),
    (0.90, (246, 152, 44)),
    (1.35, (224, 110, 8)),
    (1.75, (190, 88, 8)),
    (2.00, (108, 160, 52)),
    (2.70, (24, 116, 48)),
    (3.30, (16, 104, 112)),
    (3.90, (36, 90, 188)),
    (6.00, (20, 48, 150)),
    (9.00, (8, 16, 70)),
    (20.0, (2, 4, 24)),
)
"""Density in g/cm3 -> red, green, blue. Values between two stops are between their colours."""
BODY: Final[Stops] = ((0.0, (18, 20, 26)), (0.5, (122, 126, 136)), (1.0, (248, 248, 250)))
"""Part of the brightest value -> grey, for images of persons."""
KNOWN_UNITS: Final = ("HU", "MHU")
"""The units that are densities."""
_RELATIVE_TOP: Final = 4.0
_THICKEST: Final = 2.2
"""The exponent by which the ground loses light where most mass is."""
_METAL_COVERS: Final = ((0.0, 0.0), (1.8, 0.15), (3.3, 0.65), (5.0, 0.95))
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


def coloured(values: Picture, stops: Stops, opacity: Picture | None = None) -> NDArray[np.uint8]:
    """Returns an image of shape (height, width, 3). `opacity`: 0 to 1, how much of the white ground is covered."""
    points, colours = [at for at, _ in stops], np.array([colour for _, colour in stops], np.float32)
    image = np.stack([np.interp(values, points, colours[:, channel]) for channel in range(3)], axis=-1)
    if opacity is not None:
        image = 255 - (255 - image) * opacity[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def opacity(dense: Picture, mean: Picture) -> Picture:
    """Returns how much of the ground the things along each ray cover, 0 to 1: the more, the more mass there is. So thin
    shells are seen through; metal covers by itself. `mean`: the mean density along each ray."""
    thick = mean * np.float32(_THICKEST / max(float(np.percentile(mean, 98)), 1e-6))
    points, covers = zip(*_METAL_COVERS, strict=True)
    metal = np.interp(dense, points, covers).astype(np.float32)
    found: Picture = 1 - (1 - metal) * np.exp(-thick)
    return found


def body(values: Picture) -> Picture:
    """Returns values as parts of the brightest, for `BODY`."""
    low, high = (float(one) for one in np.percentile(values, (0.5, 99.8)))
    found: Picture = np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return found
