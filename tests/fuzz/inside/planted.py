"""Faults that are planted in the code under test, to see that the oracles of a target notice them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dicos_fuzz.inside.target import OracleFailure
from dicos_fuzz.inside.targets import TARGETS

__all__ = ["Planted"]


class Planted:
    """A fault that a target has to see, and does not see once it is gone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def found_by(self, name: str, tape: bytes, said: str, mend: Callable[[], object] | None = None) -> None:
        """`mend` puts away what the fault has left."""
        try:
            with pytest.raises(OracleFailure, match=said):
                TARGETS[name].run(tape)
        finally:
            self.patch.undo()
            if mend is not None:
                mend()
        TARGETS[name].run(tape)
