"""The source of a module, parsed: names in their order, signatures, docstrings, comments beside values.

Knows: how this project writes docstrings. Must not know: which page shows them. Nothing is imported here: a page of
the reference needs no pydicom and no trio.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent

FOLDERS = {
    "dicos_proto": "dicos_proto",
    "dicos_transports": "transports/dicos_transports",
    "dicos_fuzz": "fuzz/dicos_fuzz",
}
"""Package -> the folder it is in."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One module. `name`: dotted, as it is imported."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def comments(self) -> dict[int, str]:
        """Line -> the comment at its end."""
        tokens = tokenize.generate_tokens(io.StringIO(self.path.read_text(encoding="utf-8")).readline)
        return {
            token.start[0]: token.string.lstrip("# ")
            for token in tokens
            if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip()
        }

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def segment(self, node: ast.stmt | ast.expr) -> str:
        """A statement or expression as in the source."""
        lines = self._lines[node.lineno - 1 : node.end_lineno]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"".join(lines).decode()

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @property
    def exported(self) -> tuple[str, ...] | None:
        """`__all__`, if there is one."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and [ast.unparse(one) for one in node.targets] == ["__all__"]:
                return tuple(ast.literal_eval(node.value))
        return None

    @property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Name -> (module, name there), for what is imported at the top, also for type checkers only."""
        parts = [*self.name.split("."), *(["__init__"] if self.path.name == "__init__.py" else [])]
        found = {}
        body = [*self.tree.body, *(one for node in self.tree.body if isinstance(node, ast.If) for one in node.body)]
        for node in body:
            if isinstance(node, ast.ImportFrom):
                above = parts[: len(parts) - node.level] if node.level else []
                module = ".".join([*above, *filter(None, [node.module])])
                found.update({alias.asname or alias.name: (module, alias.name) for alias in node.names})
        return found


@cache
def source_of(module: str) -> Source | None:
    """A module of this project; None for any other."""
    first, *rest = module.split(".")
    if first not in FOLDERS:
        return None
    path = CHECKOUT.joinpath(FOLDERS[first], *rest)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return Source(module, file)
    return None


def modules(package: str) -> list[Source]:
    """The public modules of a package, packages below it included, by name."""
    found = []
    root = CHECKOUT / FOLDERS[package]
    for path in sorted(root.rglob("*.py")):
        parts = [package, *path.relative_to(root).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        if not any(part.startswith("_") for part in parts):
            source = source_of(".".join(parts))
            assert source is not None
            found.append(source)
    return found


def unparse(node: ast.AST) -> str:
    """An expression as the project writes it: with double quotes."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


# -- docstrings ----------------------------------------------------------------------------------------------------

_PLACE = (
    r"(?:(?:tables?|annex|figure) )?(?:Evt\d+|[A-Z]{1,2}(?![a-z])[\d.\-]*|\d[\d.\-]*)(?<!\.)(?: table [\d.\-]+(?<!\.))?"
)
_CLAUSE = re.compile(
    rf"[ \n]*# (PS3\.\d+ {_PLACE}(?:(?:,|;| to| and) (?:PS3\.\d+ )?{_PLACE})*)(\.?)",
)


def prose(text: str) -> str:
    """A docstring as Markdown: clauses in brackets, examples as blocks, arrows and tables as they are."""
    text = _CLAUSE.sub(lambda found: f" [{found[1]}]{found[2]}", text)
    lines: list[str] = []
    code: list[str] = []
    for line in [*text.split("\n"), ""]:
        if code:
            if line.strip():
                code.append(line)
                continue
            lines += ["```pycon", *code, "```", ""]
            code = []
            continue
        if line.startswith(">>> "):
            if lines and lines[-1]:
                lines.append("")
            code = [line]
        else:
            lines.append("\\" + line if line.startswith("#") else line)
    return "\n".join(lines).strip("\n")


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line, for a table."""
    paragraph = " ".join(prose(text).split("\n\n")[0].split())
    found = re.match(r"(.+?\.)(?: [A-Z`]|$)", paragraph)
    return cell((found[1] if found else paragraph).rstrip(":"))


def cell(text: str) -> str:
    """Text for a cell of a table, on one line."""
    return " ".join(text.split()).replace("|", "\\|")


def docstring_after(body: list[ast.stmt], index: int) -> str:
    """The string under an assignment, which is its docstring; empty if there is none."""
    if index + 1 < len(body):
        match body[index + 1]:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                return "\n".join(line.strip() for line in text.strip().split("\n"))
    return ""


# -- where a field is used -----------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Place:
    """A function or class, by module and qualified name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self._short}.{self.name}" if self.name else self.module

    @property
    def _short(self) -> str:
        """The last part of the module; the last two if several modules end in that one."""
        parts = self.module.split(".")
        return ".".join(parts[-2:] if _last_parts()[parts[-1]] > 1 else parts[-1:])


@cache
def _last_parts() -> Counter[str]:
    """The number of modules that end in each name."""
    return Counter(source.name.rpartition(".")[2] for package in FOLDERS for source in modules(package))


def uses(holders: frozenset[str], owner: str, fields: tuple[str, ...]) -> dict[str, list[Place]]:
    """Field -> the places where the code reads it from an object named in `holders`, or from `owner()`, in order."""
    found: dict[str, list[Place]] = {field: [] for field in fields}
    for source in [source for package in FOLDERS for source in modules(package)]:
        finder = _Uses(source.name, holders, owner, found)
        finder.visit(source.tree)
    return found


class _Uses(ast.NodeVisitor):
    def __init__(self, module: str, holders: frozenset[str], owner: str, found: dict[str, list[Place]]) -> None:
        self._module = module
        self._holders = holders
        self._owner = owner
        self._found = found
        self._path: list[str] = []

    def _note(self, field: str) -> None:
        place = Place(self._module, ".".join(self._path))
        if field in self._found and place not in self._found[field]:
            self._found[field].append(place)

    def _inside(self, node: ast.ClassDef | Function) -> None:
        self._path.append(node.name)
        self.generic_visit(node)
        self._path.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.name != self._owner:
            self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        names = [*node.args.posonlyargs, *node.args.args]
        for name, value in zip(names[len(names) - len(node.args.defaults) :], node.args.defaults, strict=True):
            if name.arg == "limit" and isinstance(value, ast.Constant) and isinstance(value.value, str):
                self._path.append(node.name)
                self._note(value.value)  # a field that is named by a string
                self._path.pop()
        self._inside(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        match node.value:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                held = name in self._holders
            case ast.Call(func=ast.Name(id=name)):
                held = name == self._owner
            case _:
                held = False
        if held:
            self._note(node.attr)
        self.generic_visit(node)
