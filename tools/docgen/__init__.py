"""The pages of docs/ that are made from the source, and what other pages quote of it.

`pages()` gives each page as (path below the checkout, text); `python -m tools.docgen` writes them all and takes away
those whose module is gone. What is generated is never edited by hand: `tests/test_docs_generated.py` compares.
"""

from __future__ import annotations

from pathlib import Path

from . import machine, quoted, reference, values

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def pages() -> dict[str, str]:
    """Path -> what it is to hold, in order."""
    made = {
        "docs/limits.md": values.limits(),
        "docs/timers.md": values.timers(),
        "docs/tolerances.md": values.tolerances(),
        "docs/state-machine.md": machine.page(),
        **reference.pages(),
    }
    return made | quoted.pages(CHECKOUT, made)


def stale() -> list[Path]:
    """Pages of the reference that no module stands behind any more."""
    wanted = {CHECKOUT / path for path in pages()}
    return sorted(path for path in (CHECKOUT / "docs/reference").glob("*.md") if path not in wanted)


def write() -> list[str]:
    """Bring every page up to date; the paths of those that were not."""
    changed = []
    for path, text in pages().items():
        file = CHECKOUT / path
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            changed.append(path)
    for file in stale():
        file.unlink()
        changed.append(str(file.relative_to(CHECKOUT)))
    return changed
