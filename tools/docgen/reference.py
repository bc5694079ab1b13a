"""The API reference: a page for each public package, from its source; an index of what `dicos_proto` exports.

A page shows the names in `__all__` of its package. If a package has no `__all__`, the page shows the public names of
its modules. Internals get no page; the public methods that a class inherits from an internal class are shown with the
class.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import faces, fields
from .names import Name, definition
from .source import (
    Function,
    Source,
    cell,
    docstring_after,
    first_sentence,
    modules,
    prose,
    source_of,
    unparse,
)

_INTERNAL = {
    "dicos_proto": "it is the index",
    "dicos_proto.arguments": "checks of arguments, for the other modules",
    "dicos_proto.fast_init": "how events are made quickly",
    "dicos_proto.services": "each of its modules has a page",
}
"""Modules and packages of the engine without a page of their own, and why."""
_TABLES = {"uid_names", "status_tables"}
"""Modules that are tables and nothing else."""
_BY_NAME = {"dicos_proto.conversation": {"flows", "planning"}, "dicos_proto.dicos": {"profile"}}
"""Package -> modules that users import by their name, and that `__all__` need not have."""
_ADAPTERS = ("blocking", "trio", "asyncio", "tls", "serving", "application", "files", "addresses", "dicos")
"""The public packages and modules of `dicos_transports`, in order."""
_FUZZ = ("faults", "grammar", "tree", "conversation", "finding", "captures")
"""The public packages and modules of `dicos_fuzz`, in order."""
_GENERATED = "<!-- Made from the source by `make docs`: edit the docstrings. -->\n"
_MADE_BY_USERS = {"Pool"}
"""Classes whose constructor is shown although the docstring leaves parameters to that of another class."""
_TABLE_FROM = 6
"""Names from which a page has a table of them."""
_SPECIAL = frozenset({"__aiter__", "__iter__", "__next__"})
"""Special methods that are shown where they have a docstring."""
_VARIABLES = """In signatures, `T`, `S`, `P` and `Op` are type variables. `T`: the type of a result, or of the
items of an iterable. `S`: a session. `P`: the operation behind a request, a `services.performing.ProviderOperation` or
a class below it. `Op`: the operation that gives the answers, such as `services.query.Find` or `services.retrieve.Move`.
"""


@dataclass(frozen=True)
class Page:
    """One page: sections of (module or None, the names it shows). `doc`: its first words."""

    module: str
    doc: str
    sections: tuple[tuple[Source | None, tuple[Name, ...]], ...]

    @property
    def names(self) -> list[Name]:
        return [one for _, names in self.sections for one in names]

    @property
    def file(self) -> str:
        return page_of(self.module)


def page_of(module: str) -> str:
    """The file of a page, below docs/reference."""
    short = module.removeprefix("dicos_proto.").replace("dicos_transports.", "transports.")
    short = short.replace("dicos_fuzz.", "fuzz.")
    return f"{short}.md"


def _public(source: Source) -> tuple[Name, ...]:
    """The public names of a module: its `__all__`, or every name that it defines without an underscore."""
    names = source.exported
    if names is None:
        defined = [node for node in source.tree.body if isinstance(node, ast.ClassDef | Function)]
        constants = [node.targets[0] for node in source.tree.body if isinstance(node, ast.Assign)]
        constants += [node.target for node in source.tree.body if isinstance(node, ast.AnnAssign)]
        constants = [one for one in constants if not _is_variable(source, one)]
        found = [node.name for node in defined] + [one.id for one in constants if isinstance(one, ast.Name)]
        names = tuple(name for name in found if not name.startswith("_"))
    definitions = [definition(source, name) for name in dict.fromkeys(names)]
    own = [one for one in definitions if one is not None and (source.exported or one.source.name == source.name)]
    return tuple(sorted(own, key=lambda one: (one.source.name, one.index)))


def _is_variable(source: Source, target: ast.expr) -> bool:
    """True for a type variable."""
    one = definition(source, target.id) if isinstance(target, ast.Name) else None
    match one.node if one is not None else None:
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec"))):
            return True
    return False


def _api() -> Iterator[Source]:
    """The packages and modules that get a page, in order."""
    engine = [source for source in modules("dicos_proto") if source.name not in _INTERNAL]
    for source in engine:
        parts = source.name.split(".")
        if len(parts) == 2 or parts[1] == "services":
            yield source
    for name in _ADAPTERS:
        adapter = source_of(f"dicos_transports.{name}")
        assert adapter is not None, name
        yield adapter
    for name in _FUZZ:
        part = source_of(f"dicos_fuzz.{name}")
        assert part is not None, name
        yield part


def _sections(source: Source) -> tuple[tuple[Source | None, tuple[Name, ...]], ...]:
    if source.path.name != "__init__.py":
        return ((None, _public(source)),)
    below = [source_of(f"{source.name}.{path.stem}") for path in sorted(source.path.parent.glob("[!_]*.py"))]
    within = [one for one in below if one is not None and one.name.rpartition(".")[2] not in _TABLES]
    exported = source.exported
    if exported is None:
        return tuple((one, _public(one)) for one in within)
    names = ((None, _public(source)),) if _public(source) else ()
    named = {*exported, *_BY_NAME.get(source.name, ())}
    return (*names, *((one, _public(one)) for one in within if one.name.rpartition(".")[2] in named))


def all_pages() -> list[Page]:
    """Every page except the index."""
    return [Page(source.name, source.doc, _sections(source)) for source in _api()]


def pages() -> dict[str, str]:
    """Path -> text, the index first.

    A name that several packages export is shown on the page of the one that defines it, or else of the first.
    """
    shown: dict[tuple[str, str], str] = {}
    texts = {}
    made = all_pages()
    for own in (True, False):
        for page in made:
            for one in page.names:
                if not own or f"{one.source.name}.".startswith(f"{page.module}."):
                    shown.setdefault(one.key, page.file)
    for page in made:
        texts[f"docs/reference/{page.file}"] = _page(page, shown)
    return {"docs/reference/index.md": _index(made, shown), **texts}


def contents() -> list[tuple[str, str]]:
    """(module, file) of every page of the reference except the index, for the navigation."""
    return [(page.module, page.file) for page in all_pages()]


def _link(one: Name, shown: dict[tuple[str, str], str], here: str = "") -> str:
    page = shown.get(one.key)
    if page is None:
        return f"`{one.name}`"
    anchor = "" if _is_constant(one) else f"#{one.name.lower()}"
    return f"[`{one.name}`]({'' if page == here else page}{anchor})"


def _index(made: list[Page], shown: dict[tuple[str, str], str]) -> str:
    package = source_of("dicos_proto")
    assert package is not None
    lines = [_GENERATED, "# API reference", "", "## Exported by `dicos_proto`", ""]
    lines += [prose(package.doc), "", _VARIABLES, "| name | is |", "|---|---|"]
    for name in package.exported or ():
        one = definition(package, name)
        if one is None:
            raise LookupError(f"dicos_proto exports {name}, which no module defines")
        lines.append(f"| {_link(one, shown)} | {one.said} |")
    for title, prefix in (("The engine", "dicos_proto"), ("Adapters", "dicos_transports"), ("Fuzzing", "dicos_fuzz")):
        lines += ["", f"## {title}", "", "| module | is |", "|---|---|"]
        lines += [
            f"| [`{page.module}`]({page.file}) | {first_sentence(page.doc)} |"
            for page in made
            if page.module.startswith(prefix)
        ]
    return "\n".join(lines) + "\n"


def _page(page: Page, shown: dict[tuple[str, str], str]) -> str:
    parts = [_GENERATED, f"# `{page.module}`\n", prose(page.doc) + "\n"]
    if len(page.sections) > 1 or len(page.names) >= _TABLE_FROM:
        plain = {one.key: one for one in page.names if not _is_constant(one) or shown[one.key] != page.file}.values()
        rows = [f"| {_link(one, shown, page.file)} | {one.said} |" for one in plain]
        parts.append("\n".join(["| name | is |", "|---|---|", *rows]) + "\n")
    done: set[tuple[str, str]] = set()
    for module, names in page.sections:
        level = "##"
        if module is not None:
            parts.append(f"## `{module.name}`\n\n{prose(module.doc)}\n")
            level = "###"
        here = [one for one in names if shown[one.key] == page.file and one.key not in done]
        done.update(one.key for one in here)
        parts += [_named(one, level, shown) for one in here if not _is_constant(one)]
        constants = [one for one in here if _is_constant(one)]
        if constants:
            rows = [f"| `{one.name}` | `{_value(one)}` |" for one in constants]
            heading = f"{level} Constants" if module is None else f"{level} Constants of `{module.name}`"
            parts.append("\n".join([heading, "", "| name | value |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts).replace(f"]({page.file}#", "](#")


def _is_constant(one: Name) -> bool:
    """True for a value without a docstring: a row of a table is enough."""
    return isinstance(one.node, ast.Assign | ast.AnnAssign) and not docstring_after(one.source.tree.body, one.index)


def _value(one: Name) -> str:
    value = getattr(one.node, "value", None)
    match one.node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            value = values[[ast.unparse(target) for target in targets].index(one.name)]
    text = one.source.segment(value) if value else ""
    text = " ".join(text.split())
    return cell(text) if len(text) < 100 or isinstance(value, ast.BinOp) else "..."  # a union is shown whole


def _named(one: Name, level: str, shown: dict[tuple[str, str], str]) -> str:
    match one.node:
        case ast.ClassDef() as node:
            return _class(one, node, level, shown)
        case ast.FunctionDef() | ast.AsyncFunctionDef() as node:
            overloads = faces.overloads(one.source.tree.body, node)
            return _function(one.source, node, f"{level} {one.name}", shown, overloads)
        case node:
            code = fields.plain(one.source.segment(node), node)
            union = isinstance(getattr(node, "value", None), ast.BinOp)  # shown whole
            code = f"```py\n{code}\n```\n\n" if code and (union or code.count("\n") < 12) else ""
            return f"{level} {one.name}\n\n{code}{prose(docstring_after(one.source.tree.body, one.index))}\n"


_SHOWN = ("asynccontextmanager", "classmethod", "contextmanager", "property")
"""Decorators that change how a function is called."""


def _function(
    source: Source,
    node: Function,
    heading: str,
    shown: dict[tuple[str, str], str],
    overloads: Sequence[Function] = (),
) -> str:
    """A section: the signature, or each of the overloads; the docstring; where the options are, if it takes some."""
    marks = [f"@{unparse(one)}\n" for one in node.decorator_list if unparse(one) in _SHOWN]
    code = "\n\n".join(f"{''.join(marks)}{_signature(source, one, node.name)}" for one in overloads or (node,))
    parts = [heading, f"```py\n{code}\n```", prose(faces.docstring(source, node))]
    return "\n\n".join([*parts, *_options(source, node, shown)]) + "\n"


def _signature(source: Source, node: Function, name: str) -> str:
    node = fields.Public(source).visit(copy.deepcopy(node))
    result = f" -> {unparse(node.returns)}" if node.returns else ""
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{_called(f'{word} {name}', node.args, result)}"


def _called(name: str, arguments: ast.arguments, result: str) -> str:
    """On one line, if it is short; otherwise one argument a line."""
    plain = f"{name}({unparse(arguments)}){result}"
    lines = _split(arguments)
    return plain if len(plain) <= 100 or not lines else f"{name}(\n    {lines},\n){result}"


def _options(source: Source, node: Function, shown: dict[tuple[str, str], str]) -> Iterator[str]:
    """A link to the options that a function takes, or else their table."""
    match node.args.kwarg:
        case ast.arg(annotation=ast.Subscript(value=ast.Name(id="Unpack"), slice=ast.Name(id=name))):
            pages = [page for (_, shown_name), page in shown.items() if shown_name == name]
            if pages:
                yield f"Options: [`{name}`]({pages[0]}#{name.lower()})."
            else:
                one = definition(source, name)
                assert one is not None, name
                assert isinstance(one.node, ast.ClassDef), name
                family = list(fields.family(one.source, one.node, {}))
                yield fields.table(one.node, fields.rows(family)).rstrip("\n")


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


def _class(one: Name, node: ast.ClassDef, level: str, shown: dict[tuple[str, str], str]) -> str:
    source = one.source
    bases = ", ".join(dict.fromkeys(_bases(source, node, shown)))
    family = list(fields.family(source, node, {} if one.name in fields.OF_OPTIONS else shown))
    code = f"class {node.name}({bases})" if bases else f"class {node.name}"
    made = _constructor(family)
    if made is not None:
        code += f"\n\n{_called(node.name, made.args, '')}"
    parts = [f"{level} {one.name}\n", f"```py\n{code}\n```\n", prose(faces.docstring(source, node)) + "\n"]
    if made is not None:
        parts += [f"{text}\n" for text in _options(source, made, shown)]
    found = fields.rows(family)
    if found:
        parts.append(fields.table(node, found))
    members: dict[str, tuple[Source, Function, list[Function]]] = {}
    for home, ancestor in family:
        for member in ancestor.body:
            made = member if isinstance(member, Function) else faces.method(home, member)
            if made is not None and faces.docstring(home, made):
                own = made.name == "__init__" and ancestor is node
                if own or made.name in _SPECIAL or not made.name.startswith("_"):
                    members.setdefault(made.name, (home, made, faces.overloads(ancestor.body, made)))
    for home, made, overloads in members.values():
        name = "()" if made.name == "__init__" else f".{made.name}".replace("__", r"\_\_")
        parts.append(_function(home, made, f"{level}# {one.name}{name}", shown, overloads))
    return "\n".join(parts)


_INSIDE = ("ABC", "Generic", "Protocol")
"""Bases of an internal class that say nothing about the classes below it."""


def _bases(source: Source, node: ast.ClassDef, shown: dict[tuple[str, str], str]) -> Iterator[str]:
    """The bases that a reader can look up: not the internal ones, whose public members are shown with the class."""
    if node.name in fields.OF_OPTIONS:
        yield "TypedDict, total=False"
        return
    for base in node.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        one = definition(source, plain.id) if isinstance(plain, ast.Name) else None
        if one is None or one.key in shown:
            yield unparse(base)
        elif isinstance(one.node, ast.ClassDef):
            yield from (each for each in _bases(one.source, one.node, shown) if each.split("[")[0] not in _INSIDE)


def _constructor(family: list[tuple[Source, ast.ClassDef]]) -> Function | None:
    """How to make one: the `__init__` of a class that explains its parameters in its own docstring, without `self`.

    None for a class that is made by something else.
    """
    said = faces.docstring(*family[0])
    made = [
        (source, one)
        for source, node in family
        for one in node.body
        if isinstance(one, Function) and one.name == "__init__"
    ]
    for source, member in made[:1]:
        arguments = [*member.args.args[1:], *member.args.kwonlyargs]
        explained = all(f"`{each.arg}`" in said for each in arguments) or family[0][1].name in _MADE_BY_USERS
        if arguments and not ast.get_docstring(member) and explained:
            plain: Function = fields.Public(source).visit(copy.deepcopy(member))
            del plain.args.args[0]
            return plain
    return None
