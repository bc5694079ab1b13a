"""What a session is asked for and answered with: kinds of objects as presentation contexts.

Knows: the planner of DICOS contexts. Must not know: connections.
"""

from __future__ import annotations

from ..sessions.base import BaseSession
from .flags import KINDS, SOPCLASSUID

__all__ = ["LONGEST_TITLE", "kinds_without", "title_fault"]

LONGEST_TITLE = 16
"""Characters of an application name [PS3.5 6.2, AE]."""


def title_fault(title: str) -> str:
    """Returns what is wrong with an application name, "" if nothing is."""
    if not title.strip(" "):
        return "an empty name"
    if len(title) > LONGEST_TITLE:
        return f"{len(title)} characters; at most {LONGEST_TITLE} are allowed [PS3.5 6.2]"
    if not title.isascii() or not title.isprintable() or "\\" in title:
        return f"{title!a}: printable ASCII characters without a backslash are allowed [PS3.5 6.2]"
    return ""


def kinds_without(kinds: SOPCLASSUID, session: BaseSession) -> SOPCLASSUID:
    """Returns those of the kinds of which the peer has accepted no SOP class."""
    accepted = {one.abstract_syntax for one in session.contexts.values()}
    missing = SOPCLASSUID(0)
    for kind, classes in KINDS.items():
        if kind in kinds and accepted.isdisjoint(classes):
            missing |= kind
    return missing
