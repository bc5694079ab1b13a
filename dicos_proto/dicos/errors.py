"""The errors of DICOS objects.

Each text names the attribute, what was seen and what is allowed. It never has a value of an attribute in it, because
those may be a passenger's. Sizes, counts and names of SOP classes are not.
"""

from __future__ import annotations

from ..data.elements import shown
from .attributes import name_of

__all__ = ["BadValue", "DicosError", "NotDicos", "PixelError", "named"]


class DicosError(Exception):
    """A data set that is not what its view expects. Base class of the errors of this package.

    `tag`: the attribute that the error is about, None if it is about the whole data set.
    """

    def __init__(self, text: str, tag: int | None = None) -> None:
        super().__init__(text if tag is None else f"{named(tag)}: {text}")
        self.tag = tag


class NotDicos(DicosError):
    """A data set of another SOP class than the view is for."""


class BadValue(DicosError):
    """An attribute that is missing or has a value that cannot be used."""


class PixelError(DicosError):
    """Pixel data that is missing, in an encoding that is not native, or does not fit the attributes that describe
    it."""


def named(tag: int) -> str:
    """Returns the DICOS name and the tag of an attribute.

    >>> named(0x00100020), named(0x43000902)
    ('OOI ID (0010,0020)', 'Effective Energy (4300,0902)')
    """
    return f"{name_of(tag)} {shown(tag)}"
