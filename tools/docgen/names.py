"""Names that the reference shows, and the statements that define them, wherever they are imported from."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from . import faces
from .source import Function, Source, cell, docstring_after, first_sentence, source_of, unparse


@dataclass(frozen=True)
class Name:
    """A public name, and the statement that defines it, perhaps as `original`."""

    name: str
    source: Source
    index: int
    original: str

    @property
    def node(self) -> ast.stmt:
        return self.source.tree.body[self.index]

    @property
    def key(self) -> tuple[str, str]:
        """The module that defines it, and its name in that module."""
        return self.source.name, self.original

    @property
    def said(self) -> str:
        """One sentence about it, for a table."""
        match self.node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() as node:
                return first_sentence(faces.docstring(self.source, node))
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                short = cell(f"`{unparse(value)}`")
                text = first_sentence(docstring_after(self.source.tree.body, self.index))
                return text or (short if len(short) < 100 else "")
            case _:
                return ""


def definition(source: Source, name: str) -> Name | None:
    """The statement that defines a name, through any number of imports; None if it is not in this project."""
    for index, node in enumerate(source.tree.body):
        match node:
            case ast.ClassDef(name=found) | ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found):
                pass
            case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)):
                pass
            case ast.Assign(targets=[ast.Tuple(elts=targets)]):
                found = name if name in map(ast.unparse, targets) else ""
            case _:
                continue
        if found == name and not (isinstance(node, Function) and faces.is_overload(node)):
            return Name(name, source, index, name)
    if name in source.imports:
        module, original = source.imports[name]
        home = source_of(module)
        if home is not None and home != source:
            there = definition(home, original)
            return replace(there, name=name) if there is not None else None
    return None
