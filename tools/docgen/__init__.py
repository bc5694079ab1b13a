"""The pages of docs/ that are made from the source, and the quotes of the source in other pages.

`pages()` maps the path of each page below the checkout to its text. `python -m tools.docgen` writes all of them, and
removes pages whose module is gone. Do not edit generated pages: `tests/project/test_docs_generated.py` compares them.
"""

from __future__ import annotations

from pathlib import Path

from . import machine, quoted, reference, values

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def pages() -> dict[str, str]:
    """Path -> text, in order."""
    made = {
        "docs/limits.md": values.limits(),
        "docs/timers.md": values.timers(),
        "docs/tolerances.md": values.tolerances(),
        "docs/state-machine.md": machine.page(),
        **reference.pages(),
    }
    return made | quoted.pages(CHECKOUT, made)


def stale() -> list[Path]:
    """Pages of the reference whose package is gone."""
    wanted = {CHECKOUT / path for path in pages()}
    return sorted(path for path in (CHECKOUT / "docs/reference").glob("*.md") if path not in wanted)


def write() -> list[str]:
    """Write every page. Returns the paths of those that have changed."""
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
