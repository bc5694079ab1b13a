"""The structure of the project, counted from its source: rooms, floors, arrows, circles, lines and public members.

    .venv/bin/python tools/structure.py [--root CHECKOUT] [--arrows] [--members]

A room is a package, or a module that stands in none. An arrow from one room to another says that the first imports the
second, once, however often; imports inside functions and under `if TYPE_CHECKING` count. A room stands one floor above
the highest one it imports. Rooms that reach each other form a circle, stand on one floor, and are a fault.

Reads source and imports nothing of the project, so that it can be pointed at an older checkout.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
TREES = {
    "dicos_proto": "dicos_proto",
    "dicos_transports": "transports/dicos_transports",
    "dicos_fuzz": "fuzz/dicos_fuzz",
    "dicos_conformance": "conformance/dicos_conformance",
}
FORMER = "_moved"
"""The folder of former module names, which is not part of the structure."""
LONG = 450
"""Lines of code beyond which a module needs a reason."""
CLASSES = ("Association", "UpperLayer", "Exchange", "Session", "BaseSession", "Server", "Pool")

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Project:
    """The modules of a checkout."""

    root: Path

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Dotted name -> file. The module of a package itself ends in `.__init__`."""
        return {
            ".".join([name, *path.relative_to(self.root / folder).with_suffix("").parts]): path
            for name, folder in TREES.items()
            for path in sorted((self.root / folder).rglob("*.py"))
            if FORMER not in path.parts
        }

    @cached_property
    def imports(self) -> dict[str, frozenset[str]]:
        """Module -> the modules of both trees that it imports."""
        found = {}
        for module, path in self.modules.items():
            tree = ast.parse(path.read_text("utf-8"))
            targets = {target for node in ast.walk(tree) for target in self._targets(node, module)}
            found[module] = frozenset(targets - {module})
        return found

    def _targets(self, node: ast.AST, module: str) -> Iterator[str]:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from self._named(alias.name)
            case ast.ImportFrom(names=names, level=level, module=target):
                inside = module.split(".")
                relative = [*inside[: len(inside) - level], *([target] if target else [])]
                base = ".".join(relative) if level else target or ""
                for alias in names:
                    yield from self._named(f"{base}.{alias.name}") or self._named(base)

    def _named(self, name: str) -> list[str]:
        return [one for one in (name, f"{name}.__init__") if one in self.modules]

    def closure(self, start: set[str]) -> set[str]:
        """All that these modules import, directly or not, themselves included."""
        return start.union(*(reachable(self.imports, one) for one in start))

    @cached_property
    def code(self) -> Graph:
        """The graph of modules, without the packages' own, which only pass names on."""
        return {
            one: {to for to in targets if not to.endswith("__init__")}
            for one, targets in self.imports.items()
            if not one.endswith("__init__")
        }

    @cached_property
    def rooms(self) -> Graph:
        """The graph of rooms. The module of a whole tree exports it, and does not count as a room."""
        graph: dict[str, set[str]] = {}
        for module, targets in self.imports.items():
            if module.count(".") > 1 or not module.endswith("__init__"):
                others = {room(to) for to in targets if not is_top(to)}
                graph.setdefault(room(module), set()).update(others - {room(module)})
        return graph


def is_top(module: str) -> bool:
    """Returns True for the module of a whole tree: `dicos_proto.__init__`."""
    return module.count(".") == 1 and module.endswith("__init__")


def room(module: str) -> str:
    """`dicos_proto.dimse` for each module of that package; a module that stands in no package is its own room."""
    return ".".join(module.split(".")[:2])


def reachable(graph: Mapping[str, set[str] | frozenset[str]], start: str) -> set[str]:
    """The nodes that can be reached from this one by at least one arrow."""
    seen: set[str] = set()
    left = set(graph.get(start, ()))
    while left:
        one = left.pop()
        seen.add(one)
        left |= graph.get(one, set()) - seen
    return seen


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """The groups of nodes that reach each other."""
    reach = {node: reachable(graph, node) for node in graph}
    groups = {tuple(sorted(other for other in reach[node] if node in reach.get(other, set()))) for node in graph}
    return sorted(groups - {()})


def floors(graph: Graph) -> dict[str, int]:
    """Node -> its floor; 1 is the ground. Nodes of one circle share a floor."""
    reach = {node: reachable(graph, node) for node in graph}
    found: dict[str, int] = {}

    def floor(node: str) -> int:
        if node not in found:
            below = {to for to in reach[node] if node not in reach[to]}
            found[node] = 1 + max(map(floor, below), default=0)
        return found[node]

    for node in graph:
        floor(node)
    return found


def public_members(source: str, name: str) -> list[str]:
    """The public names that the body of this class, and `self.name = ...` in its `__init__`, give it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return sorted({found for found in _members(node) if not found.startswith("_")})
    return []


def _members(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        match item:
            case ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found):
                yield found
                if found == "__init__":
                    yield from _assigned(item)
            case ast.AnnAssign(target=ast.Name(id=found)) | ast.Assign(targets=[ast.Name(id=found)]):
                yield found


def _assigned(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                yield target.attr


def code_lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def report(project: Project, *, arrows: bool, members: bool) -> Iterator[str]:
    for tree in TREES:
        graph = {
            one: {to for to in targets if to.startswith(tree)}
            for one, targets in project.rooms.items()
            if one.startswith(tree)
        }
        at = floors(graph)
        lines = Counter({room(one): 0 for one in graph})
        for module, path in project.modules.items():
            if not is_top(module) and module.startswith(tree):
                lines[room(module)] += code_lines(path)
        count = sum(map(len, graph.values()))
        yield f"{tree}: {len(graph)} rooms on {max(at.values())} floors, {count} arrows, {sum(lines.values())} lines"
        for level in sorted(set(at.values()), reverse=True):
            names = sorted((one for one in graph if at[one] == level), key=lambda one: -lines[one])
            yield f"  floor {level:2}  " + ", ".join(f"{one.removeprefix(tree + '.')} {lines[one]}" for one in names)
        for circle in circles(graph):
            yield "  circle of rooms: " + ", ".join(circle)
        for circle in circles({one: to for one, to in project.code.items() if one.startswith(tree)}):
            yield "  circle of modules: " + ", ".join(circle)
        if arrows:
            for one in sorted(graph):
                yield f"  {one.removeprefix(tree + '.')} -> " + ", ".join(
                    sorted(to.removeprefix(tree + ".") for to in graph[one])
                )
    long = {module: code_lines(path) for module, path in project.modules.items() if code_lines(path) > LONG}
    yield f"modules over {LONG} lines: " + (", ".join(f"{one} {size}" for one, size in sorted(long.items())) or "none")
    upper = {one for one in project.modules if ".upper_layer" in one}
    dimse = {one for one in project.closure(upper) if one.startswith("dicos_proto.dimse")}
    yield f"modules of dimse in the closure of upper_layer: {len(dimse)}"
    for name in CLASSES:
        for module, path in project.modules.items():
            found = public_members(path.read_text("utf-8"), name)
            if found:
                yield f"{module}.{name}: {len(found)} public members" + (f": {', '.join(found)}" if members else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--root", type=Path, default=CHECKOUT, help="the checkout to read (default: this one)")
    parser.add_argument("--arrows", action="store_true", help="print which rooms each room imports")
    parser.add_argument("--members", action="store_true", help="name the public members of the central classes")
    options = parser.parse_args()
    for line in report(Project(options.root.resolve()), arrows=options.arrows, members=options.members):
        print(line)


if __name__ == "__main__":
    main()
