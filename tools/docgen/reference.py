"""The API reference: a page a module, from its source; an index of what `dicos_proto` exports.

Knows: how a page looks. A module that is added gets its page by itself.
"""

from __future__ import annotations

import ast

from . import faces
from .source import CHECKOUT, Function, Source, cell, docstring_after, first_sentence, modules, prose, unparse

_DATA = ("uid_names", "status_tables")
"""Modules that are tables and nothing else."""
_GENERATED = "<!-- Made from the source by `make docs`: edit the docstrings. -->\n"


def _sources() -> list[Source]:
    engine = [source for source in modules("dicos_proto", "dicos_proto") if source.name.split(".")[-1] not in _DATA]
    return [
        *[source for source in engine if source.path.name != "__init__.py"],
        *[
            source
            for source in modules("dicos_transports", "transports/dicos_transports")
            if source.path.name != "__init__.py" and ".cli" not in source.name
        ],
    ]


def page_of(module: str) -> str:
    """The file of a module's page, below docs/reference."""
    short = module.removeprefix("dicos_proto.").replace("dicos_transports.", "transports.")
    return f"{short}.md"


def pages() -> dict[str, str]:
    """Path -> text, the index first."""
    sources = _sources()
    made = {f"docs/reference/{page_of(source.name)}": _page(source) for source in sources}
    return {"docs/reference/index.md": _index(sources), **made}


def contents() -> list[tuple[str, str]]:
    """(module, file) of every page of the reference but the index, for the navigation."""
    return [(source.name, page_of(source.name)) for source in _sources()]


def _index(sources: list[Source]) -> str:
    package = _package()
    by_name = {source.name: source for source in sources}
    lines = [_GENERATED, "# API reference", "", "## What `dicos_proto` exports", ""]
    lines += [prose(package.doc), "", "| name | is |", "|---|---|"]
    for name in package.exported or ():
        lines.append(f"| {_link(name, package, by_name)} | {_is(name, package, by_name)} |")
    for title, prefix in (("Modules of the engine", "dicos_proto"), ("Adapters", "dicos_transports")):
        lines += ["", f"## {title}", "", "| module | is |", "|---|---|"]
        lines += [
            f"| [`{source.name}`]({page_of(source.name)}) | {first_sentence(source.doc)} |"
            for source in sources
            if source.name.startswith(prefix)
        ]
    return "\n".join(lines) + "\n"


def _package() -> Source:
    return Source("dicos_proto", CHECKOUT / "dicos_proto/__init__.py")


def _home(name: str, package: Source, by_name: dict[str, Source]) -> Source:
    """The module that defines a name, however often it is passed on."""
    source = package
    while name in source.imports:
        source = by_name[source.imports[name]]
    return source


def _link(name: str, package: Source, by_name: dict[str, Source]) -> str:
    return f"[`{name}`]({page_of(_home(name, package, by_name).name)}#{name.lower()})"


def _is(name: str, package: Source, by_name: dict[str, Source]) -> str:
    body = _home(name, package, by_name).tree.body
    for index, node in enumerate(body):
        if isinstance(node, ast.ClassDef | Function) and node.name == name:
            return first_sentence(ast.get_docstring(node) or "")
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if (
            isinstance(node, ast.Assign | ast.AnnAssign)
            and node.value
            and [ast.unparse(one) for one in targets] == [name]
        ):
            return first_sentence(docstring_after(body, index)) or cell(f"`{unparse(node.value)}`")
    raise LookupError(f"dicos_proto exports {name}, and its module does not define it")


def _page(source: Source) -> str:
    parts = [_GENERATED, f"# `{source.name}`\n", prose(source.doc) + "\n"]
    body = source.tree.body
    constants: list[str] = []
    exported = {*(source.exported or ()), *(_package().exported or ())}
    for index, node in enumerate(body):
        match node:
            case ast.ClassDef(name=name) if not name.startswith("_"):
                parts.append(_class(source, node))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("_"):
                parts.append(_function(source, node, f"## {name}"))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                text = docstring_after(body, index)
                if (text or name in exported) and not name.startswith("_"):
                    shown = source.segment(node)
                    code = f"```py\n{shown}\n```\n\n" if shown.count("\n") < 12 else ""
                    parts.append(f"## {name}\n\n{code}{prose(text)}\n")
                elif isinstance(node.value, ast.Constant) and not name.startswith("_"):
                    value = source.segment(node.value)
                    if "\n" not in value:
                        constants.append(f"| `{name}` | `{value}` |")
    if constants:
        parts.append("\n".join(["## Constants", "", "| name | value |", "| --- | --- |", *constants]) + "\n")
    return "\n".join(parts)


_SHOWN = ("asynccontextmanager", "classmethod", "contextmanager", "property")
"""Decorators that say how to call what they decorate."""


def _function(source: Source, node: Function, heading: str) -> str:
    arguments = unparse(node.args)
    result = f" -> {unparse(node.returns)}" if node.returns else ""
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    signature = f"{word} {node.name}({arguments}){result}"
    if len(signature) > 100:
        signature = f"{word} {node.name}(\n    {_split(node.args)},\n){result}"
    marks = [f"@{unparse(one)}\n" for one in node.decorator_list if unparse(one) in _SHOWN]
    return f"{heading}\n\n```py\n{''.join(marks)}{signature}\n```\n\n{prose(faces.docstring(source, node))}\n"


def _split(arguments: ast.arguments) -> str:
    """One argument a line."""
    plain = [*arguments.posonlyargs, *arguments.args]
    given: list[ast.expr | None] = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults]
    shown = [_argument(one, default) for one, default in zip(plain, given, strict=True)]
    if arguments.vararg:
        shown.append(f"*{unparse(arguments.vararg)}")
    elif arguments.kwonlyargs:
        shown.append("*")
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    shown += [_argument(one, default) for one, default in pairs]
    if arguments.kwarg:
        shown.append(f"**{unparse(arguments.kwarg)}")
    return ",\n    ".join(shown)


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return unparse(argument) + (f" = {unparse(default)}" if default else "")


def _class(source: Source, node: ast.ClassDef) -> str:
    bases = f"({', '.join(map(unparse, node.bases))})" if node.bases else ""
    parts = [
        f"## {node.name}\n",
        f"```py\nclass {node.name}{bases}\n```\n",
        prose(faces.docstring(source, node)) + "\n",
    ]
    fields = _fields(source, node)
    if fields:
        enumeration = any("Enum" in unparse(base) for base in node.bases)
        heads = "member" if enumeration else "field", "type", "value" if enumeration else "default", " "
        kept = [column for column in range(4) if any(row[column] for row in fields)]
        rows = [heads, ("---",) * 4, *fields]
        parts.append("\n".join("| " + " | ".join(row[column] for column in kept) + " |" for row in rows) + "\n")
    for member in node.body:
        made = member if isinstance(member, Function) else faces.method(source, member)
        if made is not None and faces.docstring(source, made):
            if not made.name.startswith("_"):
                parts.append(_function(source, made, f"### {node.name}.{made.name}"))
            elif made.name == "__init__":
                parts.append(_function(source, made, f"### {node.name}()"))
    return "\n".join(parts)


def _fields(source: Source, node: ast.ClassDef) -> list[tuple[str, str, str, str]]:
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
                case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                    kind = unparse(member.annotation)
                    default = unparse(member.value) if member.value else ""
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
