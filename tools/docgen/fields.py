"""The tables of the reference: fields of a class, members of an enumeration, options of a function."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

from . import faces
from .names import definition
from .source import Source, cell, docstring_after, prose, source_of, unparse

OF_OPTIONS = {
    "ConnectOptions": ("dicos_transports.sessions.opening", "connect"),
    "RequestOptions": ("dicos_transports.sessions.opening", "connect"),
    "AcceptOptions": ("dicos_transports.sessions.opening", "accept"),
    "ServeOptions": ("dicos_transports.serving.options", "ServerConfig"),
    "ApplicationServeOptions": ("dicos_transports.serving.options", "ServerConfig"),
}
"""A class of options -> the module and name of the function or class whose defaults these are."""

Row = tuple[str, str, str, str]


def table(node: ast.ClassDef, fields: list[Row]) -> str:
    """The fields of a class, the members of an enumeration or the options of a function."""
    enumeration = any("Enum" in unparse(base) for base in node.bases)
    head = "member" if enumeration else "option" if node.name.endswith("Options") else "field"
    heads = head, "type", "value" if enumeration else "default", " "
    kept = [column for column in range(4) if any(row[column] for row in fields)]
    rows = [heads, ("---",) * 4, *fields]
    return "\n".join("| " + " | ".join(row[column] for column in kept) + " |" for row in rows) + "\n"


def rows(classes: list[tuple[Source, ast.ClassDef]]) -> list[Row]:
    """The fields of a class and its bases, those of the bases first."""
    fields = {row[0]: row for home, ancestor in reversed(classes) for row in _fields(home, ancestor)}
    if classes[0][1].name in OF_OPTIONS:
        defaults = _defaults(*OF_OPTIONS[classes[0][1].name])
        for name, (_, kind, _, said) in fields.items():
            fields[name] = (name, kind, defaults.get(name, ""), said)
    return list(fields.values())


def _defaults(module: str, name: str) -> dict[str, str]:
    """Keyword, as a row of a table names it -> its default, of a function or a class of values."""
    source = source_of(module)
    assert source is not None, module
    one = definition(source, name)
    assert one is not None, name
    match one.node:
        case ast.FunctionDef(args=arguments) | ast.AsyncFunctionDef(args=arguments):
            pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            return {f"`{each.arg}`": _code(_shown(source, default)) for each, default in pairs if default is not None}
        case ast.ClassDef(body=body):
            return {
                f"`{unparse(each.target)}`": _code(_shown(source, each.value))
                for each in body
                if isinstance(each, ast.AnnAssign) and each.value is not None
            }
    raise LookupError(f"{module}.{name} has no defaults")


class Public(ast.NodeTransformer):
    """Puts in place of a private name of a module its value, and in place of a private type variable a public one."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def visit_Name(self, node: ast.Name) -> ast.expr:
        one = definition(self._source, node.id) if is_private(node) else None
        match one.node if one is not None else None:
            case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
                return ast.Name(id=node.id.removeprefix("_"), ctx=node.ctx)
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value) if not has_private(value):
                return value
        return node


def is_private(node: ast.AST) -> bool:
    """True for a name that begins with an underscore."""
    return isinstance(node, ast.Name) and node.id.startswith("_")


def has_private(node: ast.AST) -> bool:
    """True if an expression has a private name somewhere."""
    return any(is_private(each) for each in ast.walk(node))


def plain(code: str, node: ast.stmt) -> str:
    """The code of a statement, with `...` for keyword arguments with private names; empty if it has others."""
    hidden = [each.value for each in ast.walk(node) if isinstance(each, ast.keyword) and has_private(each.value)]
    for value in hidden:
        code = code.replace(ast.unparse(value), "...")
    rest = ast.parse(code)
    return "" if has_private(rest) else code


def _value(value: ast.expr | None) -> ast.expr | None:
    """The default of a field, which may be written as `field(...)`."""
    match value:
        case ast.Call(func=ast.Name(id="field"), keywords=keywords):
            given = {each.arg: each.value for each in keywords}
            match given.get("default_factory"):
                case None:
                    return given.get("default")
                case ast.Name(id="dict"):
                    return ast.Dict(keys=[], values=[])
                case factory:
                    return ast.Call(func=factory, args=[], keywords=[])
    return value


def _is_inside(value: ast.expr | None) -> bool:
    """True for a field that the caller does not give: `field(init=False)`."""
    match value:
        case ast.Call(func=ast.Name(id="field"), keywords=keywords):
            return any(each.arg == "init" and ast.unparse(each.value) == "False" for each in keywords)
    return False


def _shown(source: Source, default: ast.expr) -> str:
    """A default; the value of a constant, if that is a plain one."""
    default = Public(source).visit(copy.deepcopy(default))
    if isinstance(default, ast.Name | ast.Attribute):
        name = unparse(default)
        one = definition(source, name) if isinstance(default, ast.Name) else None
        match one.node if one is not None else None:
            case ast.Assign(value=ast.Constant() as value) | ast.AnnAssign(value=ast.Constant() as value):
                return unparse(value)
        return name
    return unparse(default)


def family(
    source: Source, node: ast.ClassDef, shown: dict[tuple[str, str], str]
) -> Iterator[tuple[Source, ast.ClassDef]]:
    """The class, and those of its bases that no page shows."""
    yield source, node
    for base in node.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        one = definition(source, plain.id) if isinstance(plain, ast.Name) else None
        if one is not None and isinstance(one.node, ast.ClassDef) and one.key not in shown:
            yield from family(one.source, one.node, shown)


def _fields(source: Source, node: ast.ClassDef) -> list[Row]:
    """A row for each field or member of a class, and for each attribute of its `__init__` that has a docstring."""
    rows = []
    bodies = [node.body]
    bodies += [member.body for member in node.body if isinstance(member, ast.FunctionDef) and member.name == "__init__"]
    for body in bodies:
        for index, member in enumerate(body):
            if faces.method(source, member) is not None:
                continue
            text = docstring_after(body, index)
            comment = source.comments.get(getattr(member, "end_lineno", 0) or 0, "")
            kind = default = ""
            match member:
                case ast.AnnAssign(value=value) if _is_inside(value):
                    continue
                case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                    kind = unparse(member.annotation)
                    given = _value(member.value)
                    default = _shown(source, given) if given is not None else ""
                case ast.Assign(targets=[ast.Name(id=name)]) if not name.startswith("_"):
                    default = unparse(member.value)
                case ast.AnnAssign(target=ast.Attribute(attr=name)) if text and not name.startswith("_"):
                    kind = unparse(member.annotation)
                case ast.Assign(targets=[ast.Attribute(attr=name)]) if text and not name.startswith("_"):
                    pass
                case _:
                    continue
            said = cell(prose(text)) if text else cell(comment)
            rows.append((f"`{name}`", _code(kind), _code(default), said))
    return rows


def _code(text: str) -> str:
    return f"`{cell(text)}`" if text else ""
