"""Every Python block of the documentation runs, and prints what the page says; links lead somewhere.

The blocks of a page share their names, in order. The complete output of a block is in the ```text block right after it;
a block without one prints nothing. Bytes are shown in such blocks only, so all of them are checked.
"""

import doctest
import importlib
import pkgutil
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest

import dicos_proto

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DOCS = CHECKOUT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
WRITTEN = [page for page in PAGES if not page.startswith("reference/")]
SLOW = {"adapters.md": "servers and clients of every adapter", "migration.md": "pynetdicom beside it"}
NEEDS = {"adapters.md": ("trio",), "migration.md": ("pynetdicom",)}
"""Page -> the package that it needs besides pydicom; its blocks are skipped if that is not installed."""
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```\n(\s*)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEX = re.compile(r"\b[0-9a-f]{2}(?: [0-9a-f]{2}){2,}\b")


def blocks(page: str) -> list[tuple[int, str, str]]:
    """(line, code, what it prints) of each Python block."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = []
    fences = list(FENCE.finditer(text))
    for index, fence in enumerate(fences):
        if fence[2] == "python":
            after = fences[index + 1] if index + 1 < len(fences) else None
            shown = after[3] if after is not None and after[2] == "text" and after.start() == fence.end() else ""
            found.append((text.count("\n", 0, fence.start(3)) + 1, fence[3], shown))
    return found


def prose_of(page: str) -> str:
    """The page without its blocks."""
    return FENCE.sub("\n", (DOCS / page).read_text(encoding="utf-8"))


def settle_pynetdicom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its users wait for their own reactor before they ask (`settle`); nobody who reads the page wants to know."""
    settle = importlib.import_module("tests.interop.peers").settle
    association = importlib.import_module("pynetdicom.association").Association
    for name in ("send_c_echo", "send_c_store", "send_c_find", "send_c_get", "send_c_move"):
        ask = getattr(association, name)
        monkeypatch.setattr(association, name, lambda self, *words, ask=ask, **more: ask(settle(self), *words, **more))


def of(page: str) -> object:
    return pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page


@pytest.mark.parametrize("page", [of(page) for page in WRITTEN if blocks(page)])
def test_a_page_does_what_it_says(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydicom", *NEEDS.get(page, ())):
        pytest.importorskip(name, reason=f"{name} is not installed")
    if "pynetdicom" in NEEDS.get(page, ()):
        settle_pynetdicom(monkeypatch)
    monkeypatch.chdir(CHECKOUT)
    module = ModuleType("docs_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look for their annotations
    for line, code, shown in blocks(page):
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + code, str(DOCS / page), "exec"), module.__dict__)
        assert printed.getvalue() == shown, f"{page}:{line} prints something else"


@pytest.mark.parametrize("page", WRITTEN)
def test_what_a_page_shows_is_executed(page: str) -> None:
    """No block of another kind than those that are checked, no bytes in the prose that no block has."""
    text = (DOCS / page).read_text(encoding="utf-8")
    kinds = [fence[2] for fence in FENCE.finditer(text)]
    assert set(kinds) <= {"python", "text", "mermaid", "console"}
    shown = [block[2] for block in blocks(page) if block[2]]
    assert kinds.count("text") == len(shown), "a text block that no Python block prints"
    checked = " ".join(" ".join(code.split()) + " " + " ".join(printed.split()) for _, code, printed in blocks(page))
    assert [found for found in HEX.findall(prose_of(page)) if found not in checked] == []


def anchors(page: str) -> set[str]:
    """The anchors of a page: its headings, as Python-Markdown names them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        slug = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        slug = base = re.sub(r"[-\s]+", "-", slug)
        number = 0
        while slug in found:
            number += 1
            slug = f"{base}_{number}"
        found.add(slug)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall(prose_of(page)):
        if not link.startswith(("http://", "https://")):
            path, _, anchor = link.partition("#")
            target = ((DOCS / page).parent / path).resolve() if path else DOCS / page
            assert target.is_file(), f"{page} links to {link}"
            assert target.is_relative_to(DOCS), f"{page} links out of the documentation: {link}"
            if anchor:
                assert anchor in anchors(target.relative_to(DOCS).as_posix()), f"{page} links to {link}"


def test_every_page_can_be_found() -> None:
    config = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8")
    _, _, config = config.partition("\nnav:\n")
    assert sorted(re.findall(r"(\S+\.md)$", config, re.MULTILINE)) == PAGES


MODULES = [found.name for found in pkgutil.walk_packages(dicos_proto.__path__, "dicos_proto.")]


def test_the_examples_of_docstrings_are_true() -> None:
    examples = 0
    for name in MODULES:
        failed, tried = doctest.testmod(importlib.import_module(name))
        assert failed == 0, name
        examples += tried
    assert examples > 0
