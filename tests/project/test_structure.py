"""The structure of both packages: no circles, an upper layer that knows no DIMSE, modules that fit on a few pages.

Imports are read from the source: those of functions and of `if TYPE_CHECKING` count too.
"""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TREES = {"dicos_proto": ROOT / "dicos_proto", "dicos_transports": ROOT / "transports/dicos_transports"}
FORMER = "_moved"


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file; a package's own is its name with `.__init__`."""
    return {
        ".".join([name, *path.relative_to(root).with_suffix("").parts]): path
        for name, root in TREES.items()
        for path in sorted(root.rglob("*.py"))
        if FORMER not in path.parts
    }


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of both trees that a module imports."""
    tree = ast.parse(modules()[module].read_text("utf-8"))
    return frozenset({target for node in ast.walk(tree) for target in _targets(node, module)} - {module})


def _targets(node: ast.AST, module: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _named(alias.name)
        case ast.ImportFrom(names=names, level=level, module=target):
            inside = module.split(".")
            base = ".".join([*inside[: len(inside) - level], *([target] if target else [])]) if level else target or ""
            for alias in names:
                yield from _named(f"{base}.{alias.name}") or _named(base)


def _named(name: str) -> list[str]:
    return [one for one in (name, f"{name}.__init__") if one in modules()]


def room(module: str) -> str:
    """The package of a module: `dicos_proto.dimse`; a module that stands in none is a room of its own."""
    parts = module.split(".")
    return ".".join(parts[:2])


def closure(start: set[str]) -> set[str]:
    seen: set[str] = set()
    left = set(start)
    while left:
        module = left.pop()
        seen.add(module)
        left |= imports(module) - seen
    return seen


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of nodes that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = set(graph[start])
        while left:
            one = left.pop()
            seen.add(one)
            left |= graph[one] - seen
        return seen

    reach = {node: reached(node) for node in graph}
    return sorted({tuple(sorted(other for other in reach[node] if node in reach[other])) for node in graph} - {()})


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
    assert circles({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize("tree", TREES)
def test_no_module_is_in_a_circle_of_imports(tree: str) -> None:
    graph = {one: {to for to in imports(one) if not to.endswith("__init__")} for one in modules()}
    assert [one for one in circles(graph) if one[0].startswith(tree)] == []


@pytest.mark.parametrize("tree", TREES)
def test_no_package_is_in_a_circle_of_imports(tree: str) -> None:
    graph: dict[str, set[str]] = {room(one): set() for one in modules()}
    for one in modules():
        if one.count(".") > 1 or not one.endswith("__init__"):  # what the whole package exports is above all of it
            graph[room(one)] |= {room(to) for to in imports(one)} - {room(one)}
    assert [one for one in circles(graph) if one[0].startswith(tree)] == []


def test_the_upper_layer_knows_no_dimse() -> None:
    upper = {one for one in modules() if one.startswith("dicos_proto.upper_layer.")}
    assert len(upper) > 8
    assert {one for one in closure(upper) if one.startswith("dicos_proto.dimse")} == set()


@pytest.mark.parametrize("package", ["sessions", "blocking", "trio", "asyncio", "serving"])
def test_modules_of_the_adapters_fit_on_a_few_pages(package: str) -> None:
    found = {one: path for one, path in modules().items() if room(one) == f"dicos_transports.{package}"}
    assert len(found) > 3
    assert [one for one, path in found.items() if path.read_text("utf-8").count("\n") > 450] == []


@pytest.mark.parametrize(
    "former", sorted(path for root in TREES.values() for path in (root / FORMER).glob("[a-z]*.py"))
)
def test_former_names_of_modules_still_work(former: Path) -> None:
    package = former.parents[1].name
    old = importlib.import_module(f"{package}.{former.stem}")
    said = ast.get_docstring(ast.parse(former.read_text("utf-8"))) or ""
    new = importlib.import_module(said.split("`")[3])
    shared = {name for name in vars(new) if not name.startswith("__")}
    assert shared <= vars(old).keys() or former.stem == "events"
    assert all(getattr(old, name) is getattr(new, name) for name in shared & vars(old).keys())
