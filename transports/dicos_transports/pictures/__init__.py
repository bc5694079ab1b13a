"""Pictures of scans: views in screening colours, with the threats of reports on them. Needs Pillow (extra `show`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .scans import NoPicture, Scan

if TYPE_CHECKING:
    from .drawing import picture

__all__ = ["NoPicture", "Scan", "picture"]


def __getattr__(name: str) -> object:
    """Loads Pillow only for those who draw."""
    if name != "picture":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .drawing import picture

    return picture


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
