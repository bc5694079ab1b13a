"""Memory that the sessions of one server share for data sets that are read whole.

Knows: numbers of bytes, owners. Must not know: sessions, what the bytes are.
"""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["Budget", "Holding"]


class Budget:
    """Bytes that several sessions share. May be used from several threads at once."""

    def __init__(self, size: int, each: int | None = None) -> None:
        """`each`: the most that one owner may take."""
        self.size = size
        self._left = size
        self._each = size if each is None else each
        self._owned: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, size: int, owner: str = "") -> bool:
        """Returns False, and takes nothing, if fewer are left, or fewer for this owner. An empty owner has no limit of
        its own."""
        with self._lock:
            if size > self._left or (owner and self._owned[owner] + size > self._each):
                return False
            self._left -= size
            if owner:
                self._owned[owner] += size
            return True

    def give_back(self, size: int, owner: str = "") -> None:
        """Gives back bytes that were taken."""
        with self._lock:
            self._left += size
            if owner:
                self._owned[owner] -= size
                if not self._owned[owner]:
                    del self._owned[owner]


class Holding:
    """The part of a budget that one association holds. It is a `Holder`."""

    __slots__ = ("_budget", "_owner", "held")

    def __init__(self, budget: Budget | None = None, owner: str = "") -> None:
        """Without a budget, only the limits of the association count."""
        self._budget = budget
        self._owner = owner
        self.held = 0
        """Bytes held now."""

    def hold(self, size: int) -> bool:
        """Count these bytes of a data set that is read whole; returns False if the server has no room for them."""
        if self._budget is None:
            return True
        if not self._budget.take(size, self._owner):
            return False
        self.held += size
        return True

    def let_go(self) -> None:
        """Gives all bytes back: the data set that was read into memory belongs to the handler now."""
        if self.held and self._budget is not None:
            self._budget.give_back(self.held, self._owner)
            self.held = 0
