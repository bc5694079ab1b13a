"""The page about findings has each rule by which an id can begin, with its severities, as the source has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from dicos_fuzz.campaign import logs
from dicos_fuzz.campaign.suspects import LEAKS
from dicos_fuzz.finding import Severity

CHECKOUT = Path(__file__).parents[3]
PAGE = CHECKOUT / "docs" / "findings.md"
CAMPAIGN = CHECKOUT / "fuzz" / "dicos_fuzz" / "campaign"
MAKERS = {"Violation": "", "violation": "", "_blame": "", "_trouble": "", "_low": "low", "_medium": "medium"}
"""Functions that make a violation, with the severity that they give it. Their first argument is the rule."""
PASSED_ON = {"oracle", "LEAKS[counted]", "self._violation.oracle"}
"""Rules that are not literals: arguments of the makers, and those of `LEAKS`."""
NO_RULES = {"gone", "trouble", "violation"}
"""First arguments of methods that have the name of a maker, and make nothing."""
LOGGED = "one.kind if one.kind == 'sanitizer' else f'log-{one.kind}'"
ROW = re.compile(r"^\| `([a-z-]+)` \| (.+) \| ([a-z, ]+) \|$", re.MULTILINE)


def made() -> Iterator[tuple[ast.expr, str, ast.Call]]:
    """Each violation that the source makes: its rule, the severity of the maker, the call."""
    for path in CAMPAIGN.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
                rule = [one.value for one in node.keywords if one.arg == "oracle"] + node.args[:1]
                if name in MAKERS and rule:
                    yield rule[0], MAKERS[name], node


def severities() -> dict[str, set[str]]:
    """The rules of the source, with the severities that stand beside them; none where it is a variable."""
    found: dict[str, set[str]] = {}
    for rule, of_maker, call in made():
        if isinstance(rule, ast.Constant):
            named = re.findall(r"Severity\.([A-Z]+)", ast.unparse(call))
            found.setdefault(str(rule.value), set()).update(one.lower() for one in named)
            found[str(rule.value)] |= {of_maker} - {""}
        else:
            assert ast.unparse(rule) in {*PASSED_ON, *NO_RULES, LOGGED}
    return found


def kinds() -> set[str]:
    """The kinds of complaints in the output of a peer."""
    source = Path(logs.__file__).read_text("utf-8")
    return set(re.findall(r'_add\("([a-z-]+)"', source)) | {kind for kind, _ in logs._OTHERS}


def test_each_rule_is_on_the_page() -> None:
    outside = {*LEAKS.values(), *(one if one == "sanitizer" else f"log-{one}" for one in kinds())}
    rows = [name for name, _, _ in ROW.findall(PAGE.read_text("utf-8"))]
    assert len(rows) == len({*rows}) > 50
    assert {*rows} == {*severities(), *outside}


def test_the_severities_on_the_page_are_those_of_the_source() -> None:
    order = [one.value for one in Severity]
    by_rule = severities()
    for name, _, said in ROW.findall(PAGE.read_text("utf-8")):
        listed = said.split(", ")
        assert sorted(listed, key=order.index) == listed
        assert by_rule.get(name, set()) in (set(), {*listed}), name
