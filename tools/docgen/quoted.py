"""Quotes in hand-written pages, each a file between markers; and the reference in mkdocs.yml.

After `<!-- from docs/examples/x.py -->` the next Python block of a page is that file.
"""

from __future__ import annotations

import re
from pathlib import Path

from .reference import contents

_QUOTED = re.compile(r"(<!-- from (\S+) -->\n\n```python\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_NAVIGATION = re.compile(r"(?<=# made by docgen:\n).*?(?=^ *# end\n)", re.DOTALL | re.MULTILINE)


def pages(checkout: Path, made: dict[str, str]) -> dict[str, str]:
    """Path -> text of each page that quotes a file and is not in `made`, and of mkdocs.yml."""
    found = {}
    for file in sorted((checkout / "docs").rglob("*.md")):
        path = str(file.relative_to(checkout))
        text = file.read_text(encoding="utf-8")
        if path not in made and _QUOTED.search(text):
            found[path] = _QUOTED.sub(lambda quote: quote[1] + (checkout / quote[2]).read_text(encoding="utf-8"), text)
    text = (checkout / "mkdocs.yml").read_text(encoding="utf-8")
    entries = "".join(f"      - {module}: reference/{page}\n" for module, page in contents())
    return {**found, "mkdocs.yml": _NAVIGATION.sub(lambda _: entries, text)}
