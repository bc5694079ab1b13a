"""Names in backticks exist: in the docstrings of both packages, of the tests and the tools, and in the guides.

Four kinds are looked up: `module.Name`, `Class.member`, `ClassName`, and in the docstring of a class also a plain
`name`. A part that is the name of several modules, or of none of the project, is skipped, and so is a class with a base
from outside. Former names are allowed where they are listed, in docs/upgrading.md.
"""

import ast
import builtins
import keyword
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tools.structure import CHECKOUT, Project

PROJECT = Project(CHECKOUT)
HELPERS = [path for folder in ("tests", "tools") for path in sorted((CHECKOUT / folder).rglob("*.py"))]
HELPERS.remove(Path(__file__).resolve())  # it has examples of such names
GUIDES = [path for path in sorted((CHECKOUT / "docs").rglob("*.md")) if path.name != "upgrading.md"]
PAGES = [*GUIDES, CHECKOUT / "README.md"]

MODULE_NAME = re.compile(r"`(?:[a-z]\w*\.)*([a-z]\w*)\.([A-Za-z_]\w*)`")
CLASS_MEMBER = re.compile(r"`(?:[a-z]\w*\.)*([A-Z]\w*)\.([a-z_]\w*)(?:\(\))?`")
CLASS_NAME = re.compile(r"`([A-Z]\w*[a-z]\w*)`")
PLAIN_NAME = re.compile(r"`([a-z_]\w*)(?:\(\))?`")
FOREIGN = {
    "CTImageStorage": "a keyword of UIDs in pydicom",
    "Connection.recv_into": "pyOpenSSL",
    "Default": "a heading in docstrings of tolerances",
    "ThreadingHTTPServer": "http.server",
    "TimeoutStopSec": "systemd",
    "app_data": "pyOpenSSL",
    "copy": "the module",
    "pickle": "the module",
    "stat": "os",
}
"""Names of others, and whose they are."""
NOT_ALONE = ("ABC", "Generic", "Protocol", "TypedDict")
"""Bases from outside that add no members to speak of."""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def names_in(node: ast.AST) -> set[str]:
    """The names that a piece of code defines, imports or has as parameters; and its strings that are names."""
    found = set()
    for each in ast.walk(node):
        match each:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
            case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
                found |= {(alias.asname or alias.name).rpartition(".")[2] for alias in aliases}
            case ast.Constant(value=str() as text) if text.isidentifier():  # a slot
                found.add(text)
    return found


@cache
def known() -> frozenset[str]:
    """Every name in the code of both packages, with those of modules."""
    modules = {part for module in PROJECT.modules for part in module.split(".")}
    return frozenset(modules.union(*(names_in(tree_of(path)) for path in PROJECT.modules.values())))


@cache
def declared() -> frozenset[str]:
    """The functions, classes, parameters and annotated fields of both packages: what a docstring may name anywhere."""
    found = {part for module in PROJECT.modules for part in module.split(".")}
    for path in PROJECT.modules.values():
        for each in ast.walk(tree_of(path)):
            match each:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(name)
                case ast.arg(arg=name) | ast.AnnAssign(target=ast.Name(id=name)):
                    found.add(name)
    return frozenset(found)


BELOW = ("dicos_proto", "dicos_transports")
"""The packages that the others stand on: their docstrings name no module of those."""


@cache
def files_named(last: str, below: bool = True) -> list[Path]:
    """The modules and packages whose name ends in this part. `below`: only those of the packages in `BELOW`."""
    return [
        path
        for name, path in PROJECT.modules.items()
        if name.removesuffix(".__init__").rpartition(".")[2] == last and (not below or name.startswith(BELOW))
    ]


@cache
def names_of(path: Path) -> frozenset[str]:
    """The names that may be looked up in a module: those of `__all__`, if it has one; of a package, also its
    modules."""
    modules = {one.stem for one in path.parent.iterdir()} if path.name == "__init__.py" else set()
    for node in tree_of(path).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value) if not modules:
                return frozenset(ast.literal_eval(value))
    return frozenset(modules | names_in(tree_of(path)))


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """The classes of both packages by name; several may share one."""
    found: dict[str, list[ast.ClassDef]] = {}
    for path in PROJECT.modules.values():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


@cache
def members(name: str) -> frozenset[str] | None:
    """The members of all classes of this name, inherited ones too; None if it is not one of the project, or has a base
    that is not."""
    if name in NOT_ALONE:
        return frozenset()
    if name not in classes():
        outside = getattr(builtins, name, None)
        return None if outside is None else frozenset(dir(outside))
    found = set()
    for node in classes()[name]:
        found |= names_in(node)
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            last = ast.unparse(plain).rpartition(".")[2]
            inherited = frozenset() if last == name else members(last)  # one of another module
            if inherited is None:
                return None
            found |= inherited
    return frozenset(found)


def stale(text: str, own: set[str] | frozenset[str] = frozenset(), *, below: bool = True) -> list[str]:
    """The references of a docstring that lead nowhere. `own`: further names that it may use. `below`: as of
    `files_named`."""
    found = [
        one[0]
        for one in MODULE_NAME.finditer(text)
        if len(files := files_named(one[1], below)) == 1 and one[2] not in names_of(files[0])
    ]
    return found + stale_classes(text, own)


def stale_classes(text: str, own: set[str] | frozenset[str]) -> list[str]:
    """Those to classes and their members: in a page, `asked.save` may be of a variable that is named like a module."""
    found = []
    for one in CLASS_MEMBER.finditer(text):
        has = members(one[1]) if one[1] in classes() else None
        if has is not None and one[2] not in has:
            found.append(one[0])
    found += [
        one[0]
        for one in CLASS_NAME.finditer(text)
        if one[1] not in known() and one[1] not in own and not hasattr(builtins, one[1])
    ]
    return [one for one in found if one.strip("`") not in FOREIGN]


def stale_in_class(node: ast.ClassDef, module: ast.Module) -> list[str]:
    """The plain names in the docstring of a class that are neither members nor names of the module or the project."""
    has = members(node.name)
    if has is None:
        return []
    top = {
        one
        for each in module.body
        if not isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for one in names_in(each)
    }
    fine = has | top | declared() | FOREIGN.keys() | set(keyword.kwlist) | set(dir(builtins))
    return [one[0] for one in PLAIN_NAME.finditer(ast.get_docstring(node) or "") if one[1] not in fine]


def docstrings(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield text


def test_stale_references_are_found() -> None:
    assert stale("`elements.Checker`, `data.elements.DataSetError`, `checker.Checker`") == ["`elements.Checker`"]
    assert stale("`adapter.nothing` is one of several, `other.nothing` none of ours") == []
    assert stale("`association.prepare` is internal, `association.Association` is not") == ["`association.prepare`"]


def test_stale_members_are_found() -> None:
    assert stale("`Received.whole` and `Request.read`, `Limits.collected`") == ["`Received.whole`"]
    assert stale("`AssociationError.with_traceback` is inherited, `Thread.nothing` is of others") == []


def test_stale_classes_are_found() -> None:
    assert stale("as `Incoming` or `Feed` sees it, an `IncomingFile`; `ValueError`") == ["`Incoming`", "`Feed`"]
    assert stale("`Incoming`", {"Incoming"}) == []


def test_stale_names_in_the_docstring_of_a_class_are_found() -> None:
    module = ast.parse(
        'class AwaitedInstances:\n    """`whirl` runs until `starved`; `outcomes()`, `STARVED`, `len`."""'
    )
    (node,) = module.body
    assert isinstance(node, ast.ClassDef)
    assert stale_in_class(node, module) == ["`whirl`"]


@pytest.mark.parametrize("module", PROJECT.modules)
def test_a_name_in_a_docstring_exists(module: str) -> None:
    tree = tree_of(PROJECT.modules[module])
    assert [one for text in docstrings(tree) for one in stale(text, below=module.startswith(BELOW))] == []
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [one for node in found for one in stale_in_class(node, tree)] == []


@pytest.mark.slow  # it parses every test and tool
@pytest.mark.parametrize("path", HELPERS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_name_in_a_docstring_of_a_test_or_tool_exists(path: Path) -> None:
    own, below = names_in(tree_of(path)), "fuzz" not in path.parts
    assert [one for text in docstrings(tree_of(path)) for one in stale(text, own, below=below)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_name_in_a_page_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert stale_classes(text, set(re.findall(r"^(?:class|def) (\w+)", text, re.MULTILINE))) == []
