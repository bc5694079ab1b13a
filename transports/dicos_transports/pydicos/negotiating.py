"""Kinds of objects as presentation contexts: what a session is asked for and answered with.

Knows: the planner of DICOS contexts. Must not know: connections.
"""

from __future__ import annotations

from dicos_proto.dicos.profile import SOP_CLASSES, Compression, Family

from ..sessions.base import BaseSession

__all__ = ["LONGEST_TIME", "LONGEST_TITLE", "compression_of", "families_without", "is_port", "is_time", "title_fault"]

LONGEST_TITLE = 16
"""Characters of an application name [PS3.5 6.2, AE]."""
LONGEST_TIME = 2**31 - 1
"""Milliseconds, as many as the original's numbers hold: 24 days."""


def title_fault(title: str) -> str:
    """Returns what is wrong with an application name, "" if nothing is."""
    if not title.strip(" "):
        return "an empty name"
    if len(title) > LONGEST_TITLE:
        return f"{len(title)} characters; at most {LONGEST_TITLE} are allowed [PS3.5 6.2]"
    if not title.isascii() or not title.isprintable() or "\\" in title:
        return f"{title!a}: printable ASCII characters without a backslash are allowed [PS3.5 6.2]"
    return ""


def is_port(number: object, least: int = 1) -> bool:
    """Returns True for a port."""
    return isinstance(number, int) and least <= number < 65536


def is_time(milliseconds: object) -> bool:
    """Returns True for a time in milliseconds: 1 to `LONGEST_TIME`."""
    return isinstance(milliseconds, int | float) and 1 <= milliseconds <= LONGEST_TIME


def compression_of(*, first: bool, never: bool) -> Compression:
    """Returns what the two switches of the original mean together."""
    if never:
        return Compression.FORBIDDEN
    return Compression.PREFERRED if first else Compression.ALLOWED


def families_without(families: Family, session: BaseSession) -> Family:
    """Returns those of the families of which the peer has accepted no SOP class."""
    accepted = {one.abstract_syntax for one in session.contexts.values()}
    missing = Family(0)
    for family, classes in SOP_CLASSES.items():
        if family in families and accepted.isdisjoint(classes):
            missing |= family
    return missing
