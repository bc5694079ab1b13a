"""Rules for data sets, the one engine that checks them, and its findings.

A rule says where it comes from, because the text of the standard (IIC 1) is not public:

| source | meaning |
|---|---|
| `obs` | pyDICOS 1.3.0 refuses to read an object without it, or always writes it |
| `hdr` | the published headers of the toolkit inside pyDICOS, which cite the tables of IIC 1 v03 |
| `str` | error texts of that toolkit |
| `pyd` | pydicom's dictionary of DICOS attributes |
| `PS3.3 C.7.6` and the like | the clause of DICOM that DICOS inherits |

A rule with one source is a warning, one with two or more is an error. `str` and `obs` are one source, because both are
the toolkit itself.

Knows: how rules are checked. Must not know: which object has which rules. Invariants: checking raises nothing, whatever
the data set holds; it stops after `MOST` findings; no finding has a value of an attribute in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydicom.dataset import Dataset

from .attributes import vm_of, vrs_of
from .errors import DicosError, named
from .values import element_of, has, items, numbers, texts

__all__ = ["MOST", "Finding", "Module", "Rule", "Severity", "check", "severity_of"]

MOST: Final = 1000
"""Findings that are listed. Stops: a million items that each lack everything."""
_CHECKED_ITEMS: Final = 100_000
"""Items that are checked in one data set."""
_CHECKED_VALUES: Final = 16
"""Values of one attribute that are compared with those that are allowed."""


class Severity(StrEnum):
    """How sure the rule behind a finding is."""

    ERROR = "error"
    WARNING = "warning"


def severity_of(sources: Iterable[str]) -> Severity:
    """Returns how much a rule with these sources counts.

    >>> severity_of(["obs"]), severity_of(["obs", "PS3.3 C.7.6.3"])
    (<Severity.WARNING: 'warning'>, <Severity.ERROR: 'error'>)
    """
    families = {"obs" if one == "str" else one.partition(" ")[0] for one in sources}
    return Severity.ERROR if len(families) > 1 else Severity.WARNING


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is missing or wrong.

    >>> print(Finding(0x00100020, "", "Object of Inspection", "type 1", "is missing", ("obs", "hdr")))
    error: OOI ID (0010,0020) is missing [Object of Inspection, type 1; obs, hdr]
    """

    tag: int
    path: str
    """The items that it is in, as in "(5200,9229)[1] (0018,9325)[1]", counted from 1; "" at the top."""
    module: str
    rule: str
    """Type 1, 1C or 2, "enumerated value", "value multiplicity", or the name of a cross-check."""
    text: str
    sources: tuple[str, ...]

    @property
    def severity(self) -> Severity:
        """An error if two sources agree on the rule, otherwise a warning."""
        return severity_of(self.sources)

    def __str__(self) -> str:
        where = f" in {self.path}" if self.path else ""
        origin = ", ".join(self.sources)
        return f"{self.severity}: {named(self.tag)} {self.text}{where} [{self.module}, {self.rule}; {origin}]"


Condition = Callable[[Dataset, Dataset], bool]
"""Called with the data set or item that the attribute is in, and the whole data set."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The requirements of a module on one attribute."""

    tag: int
    type: str
    """1, 1C, 2, 2C or 3 [PS3.5 7.4]."""
    sources: tuple[str, ...]
    values: frozenset[str] = frozenset()
    """The values that it may have; any if empty."""
    each: tuple[frozenset[str], ...] = ()
    """The values that the first, the second and so on may have, if they differ; any if empty."""
    values_sources: tuple[str, ...] = ()
    """Where `values` come from, if not from `sources`."""
    count: tuple[int, int | None] | None = None
    """The least and the largest number of values or items; None: as in the dictionary, one or more items."""
    when: Condition | None = None
    """When a 1C or 2C attribute is required; None: the rule only says what holds if it is there."""
    condition: str = ""
    """`when` in words, beginning with "if"."""
    least: float | None = None
    """The least that a number may be."""
    items: tuple[Rule, ...] = field(default=(), repr=False)
    """The rules for each item of a sequence."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module of DICOS or DICOM, and its rules."""

    name: str
    rules: tuple[Rule, ...]


class _Check:
    """One run over one data set."""

    def __init__(self, whole: Dataset) -> None:
        self.whole = whole
        self.left = _CHECKED_ITEMS

    def rules(self, module: str, rules: Sequence[Rule], dataset: Dataset, path: str) -> Iterator[Finding]:
        for rule in rules:
            yield from self._rule(module, rule, dataset, path)

    def _rule(self, module: str, rule: Rule, dataset: Dataset, path: str) -> Iterator[Finding]:
        def found(name: str, text: str, sources: tuple[str, ...] = rule.sources) -> Finding:
            return Finding(rule.tag, path, module, name, text, sources)

        try:
            element = element_of(dataset, rule.tag)
            inside = items(dataset, rule.tag) if element is not None and element.VR == "SQ" else ()
        except DicosError:
            yield found("value representation", "has a value that does not fit its value representation", _PS3_5)
            return
        if element is None or not has(dataset, rule.tag):
            text = self._missing(rule, dataset, present=element is not None)
            if text:
                yield found(f"type {rule.type}", text)
            return
        allowed = vrs_of(rule.tag)
        if allowed and element.VR not in allowed:
            yield found("value representation", f"is {element.VR}; {' or '.join(sorted(allowed))} is allowed", _PS3_5)
            return
        if element.VR == "SQ":
            yield from self._items(module, rule, inside, path, found)
        elif element.VR not in _BULK:
            for name, text in _values(rule, dataset, element.VR):
                yield found(name, text, rule.values_sources or rule.sources)

    def _missing(self, rule: Rule, dataset: Dataset, *, present: bool) -> str:
        """Returns which requirement a missing or empty attribute breaks, in words; "" if none."""
        needed = rule.type in ("1", "2") or (rule.type in ("1C", "2C") and self._applies(rule, dataset))
        if present and rule.type in ("1", "1C") and (needed or rule.type == "1C"):
            return "is empty"
        if not needed or present:
            return ""
        return f"is missing{' ' + rule.condition if rule.condition else ''}".replace(" if ", ", required if ")

    def _applies(self, rule: Rule, dataset: Dataset) -> bool:
        try:
            return rule.when is not None and rule.when(dataset, self.whole)
        except DicosError:  # what it depends on is a finding of its own
            return False

    def _items(
        self, module: str, rule: Rule, inside: Sequence[Dataset], path: str, found: Callable[[str, str], Finding]
    ) -> Iterator[Finding]:
        least, most = rule.count or (1, None)
        if not least <= len(inside) <= (len(inside) if most is None else most):
            yield found("number of items", f"has {len(inside)} items; {_range(least, most)} allowed")
        for index, item in enumerate(inside, 1):
            self.left -= 1
            if self.left < 0:
                return
            place = f"{path} ({rule.tag >> 16:04X},{rule.tag & 0xFFFF:04X})[{index}]".lstrip()
            yield from self.rules(module, rule.items, item, place)


def check(dataset: Dataset, modules: Iterable[Module]) -> list[Finding]:
    """Returns what the modules find in a data set, up to `MOST` findings. Raises nothing."""
    run, found = _Check(dataset), []
    for module in modules:
        for one in run.rules(module.name, module.rules, dataset, ""):
            found.append(one)
            if len(found) == MOST:
                return found
    return found


_PS3_5: Final = ("PS3.5 6.2", "obs")
_WHOLE: Final = frozenset(("IS", "SL", "SS", "SV", "UL", "US", "UV"))
_REAL: Final = frozenset(("DS", "FD", "FL"))
_BULK: Final = frozenset(("OB", "OW", "OL", "OD", "OF", "OV", "UN"))


def _values(rule: Rule, dataset: Dataset, vr: str) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with the values of an attribute that has some."""
    try:
        values = texts(dataset, rule.tag)
        least, most = rule.count or vm_of(rule.tag)
        if len(values) < least or (most is not None and len(values) > most):
            yield "value multiplicity", f"has {len(values)} values; {_range(least, most)} allowed"
        for index, value in enumerate(values[:_CHECKED_VALUES]):
            allowed = rule.each[index] if index < len(rule.each) else rule.values
            if allowed and value not in allowed:
                which = f" {index + 1}" if rule.each else ""
                yield "enumerated value", f"has another value{which} than {', '.join(sorted(allowed))}"
        found = numbers(dataset, rule.tag) if vr in _WHOLE or vr in _REAL else ()
        if rule.least is not None and any(one < rule.least for one in found):
            yield "range", f"is less than {rule.least:g}"
        if vr in _WHOLE and not all(one.is_integer() for one in found):
            yield "value representation", "is not a whole number"
    except DicosError:
        yield "value representation", "has a value that cannot be used"


def _range(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more are"
    return f"{least} {'is' if least == 1 else 'are'}" if least == most else f"{least} to {most} are"
