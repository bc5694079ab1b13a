"""Docstrings and methods that a module takes from another one, as `dicos_transports.sessions.finished` makes them.

    echo = waited(awaiting.Session.echo)       # a method: the coroutine method of the model, without `async`
    close = passed(awaiting.Session.close)     # a method: that of the model
    @documented(opening.connect)               # a function with the docstring of the model
    __doc__ = awaiting.Answers.__doc__         # a class with the docstring of the model

Knows: how these are written. Must not know: how a page looks. Nothing is imported: a model is found in the source.
"""

from __future__ import annotations

import ast
import copy

from .source import CHECKOUT, Function, Source

_ROOTS = {"dicos_proto": CHECKOUT, "dicos_transports": CHECKOUT / "transports", "dicos_fuzz": CHECKOUT / "fuzz"}


def docstring(source: Source, node: Function | ast.ClassDef) -> str:
    """That of a function or class, its own or the one it takes from its model."""
    own = ast.get_docstring(node)
    if own is not None:
        return own
    found: ast.AST | None = None
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            match member:
                case ast.Assign(targets=[ast.Name(id="__doc__")], value=ast.Attribute(value=model, attr="__doc__")):
                    found = _model(source, model)
    else:
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Name(id="documented"), args=[model]):
                    found = _model(source, model)
    return ast.get_docstring(found) or "" if isinstance(found, Function | ast.ClassDef) else ""


def is_overload(node: Function) -> bool:
    """True for a signature without a body, before the function itself."""
    return any(ast.unparse(one) in ("overload", "typing.overload") for one in node.decorator_list)


def overloads(body: list[ast.stmt], node: Function) -> list[Function]:
    """The overloads of a function or method, among the statements around it."""
    return [one for one in body if isinstance(one, Function) and one.name == node.name and is_overload(one)]


def method(source: Source, node: ast.stmt) -> Function | None:
    """The method that an assignment in a class makes; None for any other statement."""
    match node:
        case ast.Assign(
            targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="waited" | "passed" as kind), args=[model])
        ):
            found = _model(source, model)
            if isinstance(found, Function):
                made = ast.FunctionDef(**vars(copy.deepcopy(found))) if kind == "waited" else copy.deepcopy(found)
                made.name = name
                return made
    return None


def _model(source: Source, node: ast.expr) -> ast.AST | None:
    names = ast.unparse(node).split(".")
    found = _lookup(source, names[0])
    for name in names[1:]:
        if isinstance(found, Source):
            found = _lookup(found, name)
        elif found is not None:
            found = _member(*found, name)
    return None if found is None or isinstance(found, Source) else found[1]


_Place = tuple[Source, ast.ClassDef | Function]


def _lookup(source: Source, name: str) -> Source | _Place | None:
    """Return the module, or the class or function with its module, that a name of a module stands for."""
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef | Function) and node.name == name:
            return source, node
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    parts = source.name.split(".")
                    base = [*parts[: len(parts) - node.level], *(node.module.split(".") if node.module else [])]
                    module = _module([*base, alias.name])
                    if module is not None:
                        return module
                    holder = _module(base)
                    return None if holder is None else _lookup(holder, alias.name)
    return None


def _member(source: Source, node: ast.AST, name: str) -> _Place | None:
    """A method of a class, its own or one that it inherits."""
    if not isinstance(node, ast.ClassDef):
        return None
    for member in node.body:
        if isinstance(member, Function) and member.name == name:
            return source, member
    for base in node.bases:
        found = _lookup(source, ast.unparse(base).split("[")[0])
        if isinstance(found, tuple) and (inherited := _member(*found, name)) is not None:
            return inherited
    return None


def _module(parts: list[str]) -> Source | None:
    path = _ROOTS[parts[0]].joinpath(*parts).with_suffix(".py")
    return Source(".".join(parts), path) if path.is_file() else None
