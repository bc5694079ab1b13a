"""The other values that a place of the source may have: operators, names, members of enums, cells of table 9-10."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .subjects import PACKAGE, ROOT

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
DROPPED = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)
NAME = re.compile(r"[A-Za-z_]\w*")


def enums() -> dict[str, list[str]]:
    """Members of each enum of the package, by the name of its class."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
                targets = [each.targets[0] for each in node.body if isinstance(each, ast.Assign)]
                found[node.name] = [target.id for target in targets if isinstance(target, ast.Name)]
    return found


ENUMS = enums()


def other_values(value: object) -> Iterator[object]:
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
            if value > 0:
                yield value - 1
        case bytes():
            yield value[:-1] + bytes([value[-1] ^ 1]) if value else b"\0"
        case str() if NAME.fullmatch(value):
            yield value + "_"


def other_tables(printed: str) -> Iterator[tuple[str, str]]:
    """Table 9-10 with one cell blank, filled, of another action or of another next state."""
    lines = printed.split("\n")
    actions = [name.replace("_", "-", 1) for name in ENUMS["Action"]]
    for row, line in enumerate(lines):
        event, *cells = re.finditer(r"\S+", line) if line else [None]
        for column, cell in enumerate(cells, 1):
            text = cell.group()
            if text == ".":
                others = ["AA-8>13"]
            else:
                action, _, states = text.partition(">")
                first, slash, second = states.partition("/")
                others = [
                    ".",
                    f"{actions[(actions.index(action) + 1) % len(actions)]}>{states}",
                    f"{action}>{int(first) % 13 + 1}{slash}{second}",
                ]
                if slash:
                    others.append(f"{action}>{first}/{int(second) % 13 + 1}")
            for other in others:
                changed = line[: cell.start()] + other + line[cell.end() :]
                change = f"{event.group()} Sta{column}: {text} => {other}"
                yield change, "\n".join([*lines[:row], changed, *lines[row + 1 :]])
