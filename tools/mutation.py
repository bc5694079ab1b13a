"""Mutation testing of the core: does a test fail when a rule of the engine is changed?

    .venv/bin/python tools/mutation.py [--jobs N] [--only TEXT] [module ...]

`module` is a dotted name within the package: `upper_layer.framing`.

Why not a ready tool: mutmut 3 leaves out everything outside functions, and `upper_layer.machine` is a table outside
functions; it leaves out properties too, and cannot leave out error texts. cosmic-ray starts pytest once a mutant, hours
in all.

A mutant of a function is a new code object given to the function itself, so every importer has it: one process collects
all tests and finds out which tests run which line (with coverage), then forks once a mutant and runs only those, the
quickest first, until one fails. A mutant of what is run at import (tables, defaults) is imported in a process of its
own, forked before anything of the project is imported, with the tests that `AT_IMPORT` names for its module.

Mutated: comparisons, `and`/`or`/`not`, conditions, arithmetic, numbers, booleans, bytes, names in strings (not
texts), members of enums, slices, arguments, elements of tuples and dicts, cells of table 9-10, the value returned, and
whole statements (left out). Not mutated: texts, annotations, decorators, `__slots__`.

The mutants that survive are compared with tools/mutation-survivors.txt, which gives the reason of each. Exit status 1:
another one survived, one that is listed did not or does not exist, or docs/mutation.md has other numbers.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "dicos_proto"
MODULES = (
    "dimse.assembly",
    "upper_layer.framing",
    "upper_layer.machine",
    "upper_layer.policy",
    "upper_layer.negotiation",
    "upper_layer.agreement",
)
SURVIVORS = ROOT / "tools" / "mutation-survivors.txt"
DOCUMENT = ROOT / "docs" / "mutation.md"
RESULTS = ROOT / "build" / "mutation.txt"

# Tests of these modules that need no peer and little time. Those left out are slow and general: they add nothing.
TESTS = (
    "association/test_association_random.py", "association/test_association_sendables.py",
    "association/test_deadlines.py", "association/test_endings.py", "association/test_tolerance.py",
    "conversation/test_conversations.py", "conversation/test_exchange.py", "conversation/test_flows.py",
    "conversation/test_planning.py", "dimse/test_messages.py", "dimse/test_messages_sizes.py",
    "upper_layer/test_extended.py", "upper_layer/test_framing.py", "upper_layer/test_framing_refused.py",
    "upper_layer/test_machine_table.py", "upper_layer/test_negotiation.py", "upper_layer/test_upper_layer_artim.py",
    "upper_layer/test_upper_layer_table.py",
)  # fmt: skip
LEFT_OUT = "not flag_changes_nothing and not any_bytes"
_NEGOTIATION = ("upper_layer/test_negotiation.py", "conversation/test_planning.py")
AT_IMPORT = {
    "dimse.assembly": (
        "dimse/test_messages.py", "dimse/test_messages_sizes.py", "conversation/test_exchange.py",
        "association/test_deadlines.py",
    ),
    "upper_layer.framing": (
        "upper_layer/test_framing.py", "upper_layer/test_framing_refused.py", "association/test_tolerance.py",
    ),
    "upper_layer.machine": ("upper_layer/test_machine_table.py", "upper_layer/test_upper_layer_table.py"),
    "upper_layer.policy": _NEGOTIATION,
    "upper_layer.negotiation": _NEGOTIATION,
    "upper_layer.agreement": _NEGOTIATION,
}  # fmt: skip
SPARE_SECONDS = 2.0
"""Processor time a test may take beyond ten times what it takes unmutated."""
MEMORY = 4 << 30

settings.register_profile(
    "mutation",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],  # a failure is enough; nobody reads it
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
PYTEST = [
    "-x", "-s", "-p", "no:cacheprovider", "-p", "no:timeout", "-p", "no:terminal",
    "-o", "addopts=--import-mode=importlib", "-W", "ignore::pytest.PytestAssertRewriteWarning",
    "--hypothesis-profile=mutation", f"--rootdir={ROOT}",
]  # fmt: skip


def source_of(module: str) -> Path:
    """The file of a module; `module` is its dotted name within the package."""
    return ROOT / PACKAGE / f"{module.replace('.', '/')}.py"


# -- mutants -----------------------------------------------------------------------------------------------------------


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


COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
DROPPED = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)
NAME = re.compile(r"[A-Za-z_]\w*")


def enums() -> dict[str, list[str]]:
    """Members of each enum of the package, by the name of its class."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
                targets = [each.targets[0] for each in node.body if isinstance(each, ast.Assign)]
                found[node.name] = [target.id for target in targets if isinstance(target, ast.Name)]
    return found


ENUMS = enums()


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
                for value in _other_values(node.value):
                    become(ast.Constant(value))
                if isinstance(node.value, str) and "\nEvt1 " in node.value:
                    for change, value in _other_tables(node.value):
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


def _other_values(value: object) -> Iterator[object]:
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
            if value > 0:
                yield value - 1
        case bytes():
            yield value[:-1] + bytes([value[-1] ^ 1]) if value else b"\0"
        case str() if NAME.fullmatch(value):
            yield value + "_"


def _other_tables(printed: str) -> Iterator[tuple[str, str]]:
    """Table 9-10 with one cell blank, filled, of another action or of another next state."""
    lines = printed.split("\n")
    actions = [name.replace("_", "-", 1) for name in ENUMS["Action"]]
    for row, line in enumerate(lines):
        event, *cells = re.finditer(r"\S+", line) if line else [None]
        for column, cell in enumerate(cells, 1):
            text = cell.group()
            if text == ".":
                others = ["AA-8>13"]
            else:
                action, _, states = text.partition(">")
                first, slash, second = states.partition("/")
                others = [
                    ".",
                    f"{actions[(actions.index(action) + 1) % len(actions)]}>{states}",
                    f"{action}>{int(first) % 13 + 1}{slash}{second}",
                ]
                if slash:
                    others.append(f"{action}>{first}/{int(second) % 13 + 1}")
            for other in others:
                changed = line[: cell.start()] + other + line[cell.end() :]
                change = f"{event.group()} Sta{column}: {text} => {other}"
                yield change, "\n".join([*lines[:row], changed, *lines[row + 1 :]])


# -- runs --------------------------------------------------------------------------------------------------------------

KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"


def run_each(mutants: Sequence[Mutant], jobs: int, child: Callable[[Mutant], bool]) -> dict[str, str]:
    """Name -> result. `child`, in a process of its own: whether all tests passed."""
    results: dict[str, str] = {}
    running: dict[int, Mutant] = {}
    waiting = list(reversed(mutants))
    began = time.monotonic()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    quiet = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(quiet, 1)
                    os.dup2(quiet, 2)
                    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                    code = 0 if child(mutant) else 1
                finally:
                    os._exit(code)
            running[pid] = mutant
        pid, status = os.wait()
        mutant = running.pop(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
            result = TIMED_OUT
        else:
            result = SURVIVED if status == 0 else KILLED
        results[mutant.name] = result
        if result == SURVIVED:
            print(f"survived: {mutant.name}", flush=True)
        if len(results) % 100 == 0:
            print(f"-- {len(results)} of {len(mutants)}, {time.monotonic() - began:.0f} s", flush=True)
    return results


def limit_time(seconds: float) -> None:
    """Limit the processor time, so that a busy machine causes no time-out: SIGPROF ends the process."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


class Session:
    """A pytest plugin that runs the mutants of functions once the tests are collected."""

    def __init__(self, mutants: Sequence[Mutant], trees: dict[str, ast.Module], jobs: int) -> None:
        self.mutants = mutants
        self.trees = trees
        self.jobs = jobs
        self.results: dict[str, str] = {}
        self.finished = False
        self._failed = ""
        self._mutated = False

    def pytest_internalerror(self, excrepr: object) -> None:
        print(excrepr, file=sys.stderr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            print(report.longreprtext, file=sys.stderr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        # A failure is enough: nobody reads its report, so none is made.
        if self._mutated and call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            os._exit(1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed = f"{report.nodeid}\n{report.longreprtext}"

    def _passes(self, items: Sequence[pytest.Item]) -> bool:
        for index, item in enumerate(items):
            following = items[index + 1] if index + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return False
        return True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        files = {name: str(source_of(name)) for name in self.trees}
        covered = coverage.Coverage(data_file=None, config_file=False, include=list(files.values()))
        took: dict[str, float] = {}
        items = {item.nodeid: item for item in session.items}
        covered.start()
        for nodeid, item in items.items():
            covered.switch_context(nodeid)
            began = time.process_time()
            if not self._passes([item]):
                covered.stop()  # one that measures memory finds that of coverage too
                self._failed = ""
                if not self._passes([item]):
                    print(f"mutation: a test fails without a mutant: {self._failed}", file=sys.stderr)
                    return True
                covered.start()
            took[nodeid] = time.process_time() - began
        covered.stop()
        data = covered.get_data()
        by_line = {name: data.contexts_by_lineno(file) for name, file in files.items()}
        print(f"{len(items)} tests, {sum(took.values()):.0f} s; {len(self.mutants)} mutants of functions", flush=True)

        def run(mutant: Mutant) -> set[str]:
            lines = by_line[mutant.module]
            return {nodeid for line in mutant.lines for nodeid in lines.get(line, ()) if nodeid}

        def child(mutant: Mutant) -> bool:
            self._mutated = True
            chosen = run(mutant)
            put(mutant, self.trees[mutant.module])
            for nodeid in sorted(chosen, key=lambda each: (took[each], each)):
                limit_time(SPARE_SECONDS + 10 * took[nodeid])
                if not self._passes([items[nodeid]]):
                    return False
            return True

        gc.collect()
        gc.freeze()
        self.results = run_each([mutant for mutant in self.mutants if run(mutant)], self.jobs, child)
        self.finished = True
        return True


def put(mutant: Mutant, tree: ast.Module) -> None:
    """Give the function the code of the mutant."""
    mutant.swap()
    code = compile(ast.fix_missing_locations(tree), str(source_of(mutant.module)), "exec")
    assert mutant.function is not None
    function(importlib.import_module(f"{PACKAGE}.{mutant.module}"), mutant.function).__code__ = find_code(
        code, mutant.function
    )


def find_code(code: CodeType, qualified: str) -> CodeType:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_qualname == qualified:
                return each
            if qualified.startswith(f"{each.co_qualname}."):
                return find_code(each, qualified)
    raise LookupError(qualified)


def function(module: ModuleType, qualified: str) -> FunctionType:
    found: object = module
    for part in qualified.split("."):
        found = vars(found)[part]
    if isinstance(found, property):
        found = found.fget
    found = getattr(found, "__func__", found)
    if not isinstance(found, FunctionType):
        raise LookupError(qualified)
    return found


class MutantLoader(importlib.machinery.SourceFileLoader, importlib.abc.MetaPathFinder):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._tree, self.path, "exec")


def run_at_import(mutant: Mutant, tree: ast.Module) -> bool:
    mutant.swap()
    path = str(source_of(mutant.module))
    loader = MutantLoader(f"{PACKAGE}.{mutant.module}", path, ast.fix_missing_locations(tree))
    sys.meta_path.insert(0, loader)
    limit_time(60)
    files = [str(ROOT / "tests" / name) for name in AT_IMPORT[mutant.module]]
    return pytest.main([*PYTEST, *files]) == pytest.ExitCode.OK


def run_functions(mutants: Sequence[Mutant], trees: dict[str, ast.Module], jobs: int) -> dict[str, str]:
    """In a process of its own, so that this one stays free of the project. Those of lines that run at import only are
    left out."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            session = Session(mutants, trees, jobs)
            files = [str(ROOT / "tests" / name) for name in TESTS]
            pytest.main([*PYTEST, "-k", LEFT_OUT, *files], plugins=[session])
            code = 0 if session.finished else 1
            with os.fdopen(writing, "w") as out:
                out.writelines(f"{result}\t{name}\n" for name, result in session.results.items())
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as found:
        results = dict(reversed(line.rstrip("\n").split("\t", 1)) for line in found)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("mutation: the tests do not run")
    return results


# -- the results -------------------------------------------------------------------------------------------------------


def listed() -> set[str]:
    if not SURVIVORS.exists():
        return set()
    lines = SURVIVORS.read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def counted(mutants: Sequence[Mutant], results: dict[str, str]) -> dict[str, tuple[int, int, int]]:
    """Module -> mutants, killed or timed out, survived. Which of the two may depend on the machine."""
    found = {}
    for module in MODULES:
        counts = Counter(results[mutant.name] for mutant in mutants if mutant.module == module)
        if counts:
            found[module] = (counts.total(), counts[KILLED] + counts[TIMED_OUT], counts[SURVIVED])
    return found


def documented() -> dict[str, tuple[int, int, int]]:
    """The same, as docs/mutation.md has it."""
    rows = re.findall(r"^\| `([\w.]+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {name: (int(total), int(killed) + int(late), int(left)) for name, total, killed, late, left in rows}


def table(mutants: Sequence[Mutant], results: dict[str, str]) -> Iterator[str]:
    """That of docs/mutation.md."""
    yield "| module | mutants | killed | timed out | survived |"
    yield "|---|---|---|---|---|"
    for module, (total, _, survived) in counted(mutants, results).items():
        late = sum(results[mutant.name] == TIMED_OUT for mutant in mutants if mutant.module == module)
        yield f"| `{module}` | {total} | {total - late - survived} | {late} | {survived} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the engine's core.")
    parser.add_argument(
        "modules", nargs="*", metavar="module", help=f"of {', '.join(MODULES)}; all where none is named"
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants with this in their name")
    parser.add_argument("--listed", action="store_true", help="only mutants that are listed as survivors")
    options = parser.parse_args()
    unknown = set(options.modules) - set(MODULES)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    os.chdir(ROOT)
    finders = {name: Finder(name) for name in MODULES if name in (options.modules or MODULES)}
    trees = {name: finder.tree for name, finder in finders.items()}
    known = listed()
    found = {mutant.name for finder in finders.values() for mutant in finder.mutants}
    vanished = sorted(name for name in known - found if name.partition(" ")[0] in finders)
    mutants = [
        mutant
        for finder in finders.values()
        for mutant in finder.mutants
        if options.only in mutant.name and (mutant.name in known or not options.listed)
    ]
    results: dict[str, str] = {}
    functions = [mutant for mutant in mutants if mutant.function]
    if functions:
        results |= run_functions(functions, trees, options.jobs)
    at_import = [mutant for mutant in mutants if mutant.name not in results]
    if at_import:
        print(f"{len(at_import)} mutants of what is run at import", flush=True)
        for heavy in ("hypothesis.stateful", "numpy", "pydicom", "pynetdicom"):
            importlib.import_module(heavy)
        gc.freeze()
        results |= run_each(at_import, options.jobs, lambda mutant: run_at_import(mutant, trees[mutant.module]))

    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("".join(f"{results[mutant.name]}\t{mutant.name}\n" for mutant in mutants))
    print(*table(mutants, results), sep="\n")
    survived = {name for name, result in results.items() if result == SURVIVED}
    new = [mutant.name for mutant in mutants if mutant.name in survived - known]
    gone = sorted(name for name in known if results.get(name, SURVIVED) != SURVIVED)
    stale = []
    if not options.modules and not options.only and not options.listed:
        gone = sorted(known - survived - set(vanished))
        stale = [name for name, row in counted(mutants, results).items() if documented().get(name) != row]
    for name in new:
        print(f"mutation: survives and is not listed: {name}", file=sys.stderr)
    for name in vanished:
        print(f"mutation: listed and not a mutant any more: {name}", file=sys.stderr)
    for name in gone:
        print(f"mutation: listed and does not survive: {name}", file=sys.stderr)
    for name in stale:
        print(f"mutation: {DOCUMENT.relative_to(ROOT)} has other numbers for {name}", file=sys.stderr)
    return 1 if new or gone or vanished or stale else 0


if __name__ == "__main__":
    sys.exit(main())
