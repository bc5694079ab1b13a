"""Finds all mutants of a module in its syntax tree, and names each by what it changes."""

from __future__ import annotations

import ast
import copy
import sys
from collections import Counter
from dataclasses import dataclass

from .changes import COMPARISONS, DROPPED, ENUMS, OPERATORS, other_tables, other_values
from .subjects import source_of


@dataclass
class Mutant:
    """One change: `holder.field` (or its element `index`) becomes `new`."""

    module: str
    function: str | None  # qualified name; None: run at import
    holder: ast.AST
    field: str
    index: int | None
    new: object
    lines: range  # of the statement
    name: str = ""

    def swap(self) -> None:
        """Make the change; again: undo it."""
        if self.index is None:
            old = getattr(self.holder, self.field)
            setattr(self.holder, self.field, self.new)
        else:
            sequence = getattr(self.holder, self.field)
            old = sequence[self.index]
            sequence[self.index] = self.new
        self.new = old


class Finder:
    """All mutants of one module."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.tree = ast.parse(source_of(module).read_text())
        self.mutants: list[Mutant] = []
        self._above: list[ast.AST] = []
        self._function: str | None = None
        self._lines = range(0)
        self._enums = dict(ENUMS)
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in ENUMS:
                self._enums[ast.unparse(node.targets[0])] = ENUMS[node.value.id]
        for index, node in enumerate(self.tree.body):
            self._visit(node, self.tree, "body", index, "")
        seen: Counter[str] = Counter()
        for mutant in self.mutants:
            seen[mutant.name] += 1
            if seen[mutant.name] > 1:
                mutant.name += f" #{seen[mutant.name]}"

    def _add(self, holder: ast.AST, field: str, index: int | None, new: object) -> None:
        mutant = Mutant(self.module, self._function, holder, field, index, new, self._lines)
        # Shown within an expression that says where it is.
        shown = self._above[-1]
        for node in reversed(self._above):
            shown = node
            if isinstance(node, ast.stmt) or (isinstance(node, ast.expr) and len(ast.unparse(node)) >= 16):
                break
        before = _text(shown)
        mutant.swap()
        after = _text(shown)
        mutant.swap()
        mutant.name = f"{self.module} {self._function or '(import)'}: {_difference(before, after)}"
        self.mutants.append(mutant)

    def _visit(self, node: ast.AST, holder: ast.AST, field: str, index: int | None, prefix: str) -> None:
        if isinstance(node, ast.stmt):
            if isinstance(
                node, (ast.Import, ast.ImportFrom, ast.TypeAlias if sys.version_info >= (3, 12) else ast.Import)
            ):
                return
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                return
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
                return
            self._lines = _header(node)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            self._definition(node, holder, field, index, prefix)
            return
        outer_lines = self._lines
        self._above.append(node)
        self._mutate(node, holder, field, index)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "ctx", "type_comment"):
                continue
            for at, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST):
                    self._visit(child, node, name, at, prefix)
                    self._lines = outer_lines
        self._above.pop()

    def _definition(
        self, node: ast.FunctionDef | ast.ClassDef, holder: ast.AST, field: str, index: int | None, prefix: str
    ) -> None:
        self._above.append(node)
        outer = self._function
        name = prefix + node.name
        if isinstance(node, ast.FunctionDef):
            defaults = [("defaults", node.args.defaults), ("kw_defaults", node.args.kw_defaults)]
            for which, values in defaults:
                for at, value in enumerate(values):
                    if value is not None:
                        self._visit(value, node.args, which, at, prefix)
            self._function = outer or name
        for at, child in enumerate(node.body):
            self._visit(child, node, "body", at, prefix if outer else f"{name}.")
        self._function = outer
        self._above.pop()

    def _mutate(self, node: ast.AST, holder: ast.AST, field: str, index: int | None) -> None:
        def become(new: ast.AST) -> None:
            # Shown with what holds it: the node itself is replaced.
            self._above.pop()
            self._add(holder, field, index, ast.copy_location(new, node))
            self._above.append(node)

        match node:
            case ast.Compare():
                for at, operator in enumerate(node.ops):
                    if type(operator) in COMPARISONS:
                        self._add(node, "ops", at, COMPARISONS[type(operator)]())
            case ast.BoolOp():
                self._add(node, "op", None, ast.And() if isinstance(node.op, ast.Or) else ast.Or())
                for at in range(len(node.values)):
                    left = node.values[:at] + node.values[at + 1 :]
                    become(left[0] if len(left) == 1 else ast.BoolOp(node.op, left))
            case ast.UnaryOp():
                become(node.operand)
            case ast.BinOp() | ast.AugAssign() if type(node.op) in OPERATORS:
                self._add(node, "op", None, OPERATORS[type(node.op)]())
            case ast.IfExp():
                become(node.body)
                become(node.orelse)
            case ast.Constant():
                for value in other_values(node.value):
                    become(ast.Constant(value))
                if isinstance(node.value, str) and "\nEvt1 " in node.value:
                    for change, value in other_tables(node.value):
                        become(ast.Constant(value))
                        self.mutants[-1].name = f"{self.module} table 9-10: {change}"
            case ast.Attribute(value=ast.Name(id=name), attr=member) if member in self._enums.get(name, ()):
                members = self._enums[name]
                other = members[(members.index(member) + 1) % len(members)]
                if other != member:
                    self._add(node, "attr", None, other)
            case ast.Call():
                for at in range(len(node.keywords)):
                    self._add(node, "keywords", None, node.keywords[:at] + node.keywords[at + 1 :])
                if len(node.args) > 1 and not any(isinstance(each, ast.Starred) for each in node.args):
                    self._add(node, "args", None, node.args[:-1])
            case ast.Slice():
                for part in ("lower", "upper"):
                    if getattr(node, part) is not None:
                        self._add(node, part, None, None)
            case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set() if field != "slice":
                for at in range(len(node.elts)):
                    self._add(node, "elts", None, node.elts[:at] + node.elts[at + 1 :])
            case ast.Dict():
                for at in range(len(node.keys)):
                    left = ast.Dict(node.keys[:at] + node.keys[at + 1 :], node.values[:at] + node.values[at + 1 :])
                    become(left)
            case ast.For():
                self._add(node, "iter", None, ast.copy_location(ast.Tuple([], ast.Load()), node.iter))
            case ast.Return(value=ast.expr() as value) if not _is_none(value):
                self._add(node, "value", None, ast.copy_location(ast.Constant(None), value))
        test = getattr(node, "test", None)
        if test is not None and not isinstance(test, (ast.Compare, ast.UnaryOp)):
            self._add(node, "test", None, ast.copy_location(ast.UnaryOp(ast.Not(), test), test))
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return
        if self._function and (isinstance(node, DROPPED) or (isinstance(node, ast.Return) and node.value is None)):
            self._add(holder, field, index, ast.copy_location(ast.Pass(), node))
            mutant = self.mutants[-1]
            mutant.name = f"{self.module} {self._function}: {_text(node)} => (left out)"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _header(node: ast.stmt) -> range:
    """Lines of a statement; of one that has a body, those before it."""
    body = getattr(node, "body", None)
    end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
    return range(node.lineno, max(end, node.lineno) + 1)


def _text(node: ast.AST) -> str:
    """One line; of a statement that has a body, what is before it."""
    if getattr(node, "body", None) and isinstance(node, ast.stmt):
        node = copy.copy(node)
        node.body, node.orelse = [ast.Pass()], []  # type: ignore[attr-defined]
        return ast.unparse(node).splitlines()[0]
    return " ".join(ast.unparse(ast.fix_missing_locations(node)).split())


def _difference(before: str, after: str, most: int = 30) -> str:
    """Both, long ones without what is far from where they differ."""
    prefix = _common(before, after)
    suffix = min(_common(before[::-1], after[::-1]), len(before) - prefix, len(after) - prefix)
    begin = prefix - most if len(before) > 100 and prefix > most + 5 else 0
    end = suffix - most if len(before) > 100 and suffix > most + 5 else 0
    shown = [text[begin : len(text) - end] for text in (before, after)]
    return " => ".join(f"{'...' if begin else ''}{text}{'...' if end else ''}" for text in shown)


def _common(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
