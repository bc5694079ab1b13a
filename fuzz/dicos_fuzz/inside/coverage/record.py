"""The keys that were exercised: a set for each kind, cheap to add to, united across processes, printed as a table.

Knows: the catalogue. Must not know: how things are observed (`recording`). Invariants: its memory is bounded by the
catalogue; a key that the catalogue does not have is an error of the caller.
"""

from __future__ import annotations

from collections.abc import Mapping

from .catalogue import CATALOGUE, CORE_ONLY, KINDS, UNREACHABLE

__all__ = ["Coverage"]

_WIDTH = 118


class Coverage:
    """The keys that were seen, by kind. It can be pickled, and united with others by `|=`."""

    __slots__ = ("_seen",)

    def __init__(self, seen: Mapping[str, frozenset[str]] | None = None) -> None:
        """`seen`: as returned by `seen`."""
        self._seen: dict[str, set[str]] = {kind: set() for kind in KINDS}
        for kind, keys in (seen or {}).items():
            for key in keys:
                self.note(kind, key)

    def note(self, kind: str, key: str) -> None:
        """Notes that `key` was exercised. Raises KeyError for a kind, ValueError for a key that does not exist."""
        keys = self._seen[kind]
        if key not in keys:
            if key not in _ALL[kind]:
                raise ValueError(f"{kind} {key!r} is not in the catalogue")
            keys.add(key)

    def has(self, kind: str, key: str) -> bool:
        """Returns True if this was exercised."""
        return key in self._seen[kind]

    def complete(self, kind: str) -> bool:
        """Returns True if nothing of this kind is left that could be exercised: it need not be observed any more."""
        return len(self._seen[kind]) >= _REACHABLE[kind] and not self._left(kind)

    def __ior__(self, other: Coverage) -> Coverage:
        for kind, keys in other._seen.items():
            self._seen[kind] |= keys
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coverage) and self._seen == other._seen

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __reduce__(self) -> tuple[type[Coverage], tuple[Mapping[str, frozenset[str]]]]:
        return Coverage, (self.seen(),)

    def seen(self) -> Mapping[str, frozenset[str]]:
        """Returns what was exercised, by kind."""
        return {kind: frozenset(keys) for kind, keys in self._seen.items()}

    def missing(self) -> dict[str, list[str]]:
        """Returns what was never exercised and could be, by kind, in the order of the catalogue; kinds with nothing
        missing are left out."""
        found = {kind: self._left(kind) for kind in KINDS}
        return {kind: keys for kind, keys in found.items() if keys}

    def _left(self, kind: str) -> list[str]:
        seen, never = self._seen[kind], UNREACHABLE.get(kind, {})
        return [key for key in CATALOGUE[kind] if key not in seen and key not in never]

    def report(self) -> str:
        """Returns the table: for each kind, the number exercised of all; then what was never exercised, what no public
        call reaches, and what cannot be exercised, with the reasons."""
        wide = max(map(len, KINDS))
        lines = [f"{'exercised':{wide}}  {'of all':>9}"]
        for kind in KINDS:
            all_of_it, never = CATALOGUE[kind], UNREACHABLE.get(kind, {})
            seen = sum(key in self._seen[kind] for key in all_of_it)
            more = f"  {len(never)} cannot be" if never else ""
            lines.append(f"{kind:{wide}}  {seen:>4}/{len(all_of_it):<4}{more}")
        missing = self.missing()
        lines.append("")
        lines.append("never exercised: nothing" if not missing else "never exercised:")
        for kind, keys in missing.items():
            lines += _wrapped(f"  {kind}: ", keys)
        lines += _wrapped("by no public call, on the core alone: ", CORE_ONLY.split(" "), sep=" ")
        lines.append("cannot be exercised:")
        for kind, reasons in UNREACHABLE.items():
            for reason in dict.fromkeys(reasons.values()):
                keys = [key for key, why in reasons.items() if why == reason]
                lines += _wrapped(f"  {kind}: ", keys, f": {reason}")
        return "\n".join(line.rstrip() for line in lines)


def _wrapped(head: str, keys: list[str], tail: str = "", sep: str = ", ") -> list[str]:
    """Lines of at most `_WIDTH` characters, the first one with the head."""
    lines, line = [], head
    for number, key in enumerate(keys, 1):
        text = key + (tail if number == len(keys) else sep)
        if len(line) + len(text) > _WIDTH and line.strip():
            lines.append(line)
            line = "      "
        line += text
    return [*lines, line]


_ALL = {kind: frozenset(keys) for kind, keys in CATALOGUE.items()}
_REACHABLE = {kind: len(keys) - len(UNREACHABLE.get(kind, {})) for kind, keys in CATALOGUE.items()}
