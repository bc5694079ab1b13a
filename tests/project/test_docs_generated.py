"""The pages that are made from the source are those that the source makes now."""

import re
from functools import cache

import pytest

from dicos_proto import Limits, Timeouts
from dicos_proto.upper_layer.machine import TABLE
from tools import docgen
from tools.docgen import source, values
from tools.docgen.source import CHECKOUT, prose, uses


@cache
def pages() -> dict[str, str]:
    """Made once, by the first test that needs them: making them takes seconds, which collection would spend in vain."""
    return docgen.pages()


def test_the_generated_pages_are_current() -> None:
    made = pages()
    assert len(made) > 90
    found = {path: (CHECKOUT / path).read_text(encoding="utf-8") for path in made if (CHECKOUT / path).exists()}
    differ = [path for path, text in made.items() if found.get(path) != text]
    assert differ == [], "python -m tools.docgen writes them anew"


def test_no_page_is_left_of_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docgen, "pages", pages)
    assert docgen.stale() == []


def test_every_limit_is_explained_and_enforced() -> None:
    words = values.described("dicos_proto.limits", "Limits")
    assert list(words) == list(Limits.__slots__)
    assert all(words.values())
    where = uses(frozenset({"limits", "_limits"}), "Limits", tuple(words))
    assert [name for name, places in where.items() if not places] == []


def test_every_timeout_is_explained_and_used() -> None:
    words = values.described("dicos_proto.timers", "Timeouts")
    assert list(words) == list(Timeouts.__slots__)
    assert all(words.values())
    where = uses(frozenset({"timeouts", "_timeouts"}), "Timeouts", tuple(words))
    assert [name for name, places in where.items() if not places] == []


@pytest.mark.parametrize(
    ("docstring", "markdown"),
    [
        ("A name.  # PS3.7 9.1.1", "A name. [PS3.7 9.1.1]"),
        ("A name.  # PS3.7 9.1.1\n\nRaises nothing.", "A name. [PS3.7 9.1.1]\n\nRaises nothing."),
        ("goes out on.  # PS3.7 10.1.1. Raises `X`.", "goes out on. [PS3.7 10.1.1]. Raises `X`."),
        ("One.\n\n# PS3.8 9.3.2.2", "One. [PS3.8 9.3.2.2]"),
        ("Words.  # PS3.8 table 9-21", "Words. [PS3.8 table 9-21]"),
        ("Query.  # PS3.4 C.4.1, K, Q\n\nUser", "Query. [PS3.4 C.4.1, K, Q]\n\nUser"),
        ("An item.  # PS3.8 9.3.2.3, annex D; PS3.7 D.3.3", "An item. [PS3.8 9.3.2.3, annex D; PS3.7 D.3.3]"),
        ("Shown:\n>>> 1 + 1\n2\n\nMore.", "Shown:\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."),
        ("Closed.  # PS3.8 Evt17", "Closed. [PS3.8 Evt17]"),
        ("# no heading", "\\# no heading"),
    ],
)
def test_docstrings_become_markdown(docstring: str, markdown: str) -> None:
    assert prose(docstring) == markdown


LINE = re.compile(r"    (Sta\d+: Sta\d+ [\w ,()-]+|Sta\d+ --> Sta\d+: Evt\d+(, Evt\d+)* / (AE|DT|AR|AA)-\d+)")


def test_the_diagrams_are_of_the_table() -> None:
    """Lines that Mermaid reads, and every cell of table 9-10 in the diagram of a role that can be in it."""
    diagrams = re.findall(
        r"```mermaid\nstateDiagram-v2\n    direction LR\n(.*?)```", pages()["docs/state-machine.md"], re.S
    )
    assert len(diagrams) == 8
    lines = [line for diagram in diagrams for line in diagram.splitlines()]
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    drawn = {
        (event, start, action, end)
        for start, end, events, action in re.findall(r"(Sta\d+) --> (Sta\d+): (.*?) / (\S+)", "\n".join(lines))
        for event in events.split(", ")
    }
    table = {
        (event.name, state.name, cell.action.value, end.name)
        for (event, state), cell in TABLE.items()
        for end in (cell.state, cell.otherwise)
    }
    assert drawn == table


def test_a_tolerance_is_taken_apart() -> None:
    text = "Lets through: this. Breaks: PS3.8 9.3. Who: them. Why it may be allowed: it is: so. Default: off."
    parts = {"Lets through": "this.", "Breaks": "PS3.8 9.3.", "Who": "them.", "Why": "it is: so.", "Default": "off."}
    assert values._parts(text) == parts


def test_the_reference_has_every_module_of_the_engine() -> None:
    found = source.modules("dicos_proto", "dicos_proto")
    named = {each.name for each in found if each.path.name != "__init__.py"}
    shown = {path.removeprefix("docs/reference/").removesuffix(".md") for path in pages()}
    left_out = {name for name in named if name.removeprefix("dicos_proto.") not in shown}
    assert left_out == {"dicos_proto.registry.uid_names", "dicos_proto.registry.status_tables"}
