"""A case: a rule of the standard in our words, a script that tries it, and what each reaction of the peer means.

Knows: steps, reactions, profiles. Must not know: media, reports.

A script is a generator: it yields steps (`steps`) and returns the `Reaction` of the peer. It says nothing about right
and wrong: the case has the strict reaction, the lenient ones with the reason why they are tolerable, and everything
else fails. A script may raise `Unimplemented` and `Inconclusive`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .profile import Profile
from .reactions import Pattern, Reaction
from .steps import Scene

__all__ = ["Case", "Inconclusive", "Judged", "Lenient", "Role", "Script", "Unimplemented", "Verdict"]

Script = Callable[[Profile], Scene[Reaction]]


class Role(Enum):
    """The role of the peer that is tested."""

    PROVIDER = "provider"  # it listens: an SCP
    USER = "user"  # it calls: an SCU


class Judged(Enum):
    """The part of the peer that a case judges."""

    UPPER_LAYER = "upper layer"
    APPLICATION = "application"


class Verdict(Enum):
    """The outcome of a case."""

    PASS = "PASS"
    NON_STRICT = "NON-STRICT"
    FAIL = "FAIL"
    INFO = "INFO"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INCONCLUSIVE = "INCONCLUSIVE"


class Unimplemented(Exception):
    """The peer does not offer what the case needs; the text says what."""


class Inconclusive(Exception):
    """The case could not be brought to its stimulus, or time or network disturbed it; the text says how."""


@dataclass(frozen=True, slots=True)
class Lenient:
    """A reaction that is not strict, and why it is tolerable."""

    pattern: Pattern
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test case.

    `id`: group prefix and a short name, upper case, stable for ever: `ARQ-VERSION-0`. `title`: one line, without a full
    stop. `clauses`: ids of `clauses.toml`, such as `8:9.3.2-protocol-version`, or a bare section, `8:9.3.2`. `rule`:
    the rule in our own words. `stimulus`: what the tester does. `strict`: the reaction by the letter. `lenient`:
    tolerable ones. `failure`: what a failure means, for the report. `judges`: which part of the peer. `needs`: services
    that the peer must offer, as in `Profile.services`. `wants`: for a user, the operation that it is started for, such
    as "C-ECHO"; empty for any. `tags`: for the selection. `opt_in`: the group that must be asked for: "timers" or
    "resources"; empty for the normal run. `seconds`: what it takes against a good peer, about, for the plan.
    `informs`: it has no right and wrong; its verdict is INFO.
    """

    id: str
    title: str
    group: str
    role: Role
    clauses: tuple[str, ...]
    rule: str
    stimulus: str
    script: Script
    strict: Pattern
    lenient: tuple[Lenient, ...] = ()
    failure: str = ""
    judges: Judged = Judged.UPPER_LAYER
    needs: tuple[str, ...] = ()
    wants: str = ""
    tags: frozenset[str] = frozenset()
    opt_in: str = ""
    seconds: float = 0.1
    informs: bool = False
