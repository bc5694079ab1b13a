"""Runs the mutants of functions: all tests are collected once, then each mutant runs those that reach its lines."""

from __future__ import annotations

import ast
import gc
import importlib
import os
import sys
import time
from collections.abc import Sequence
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest

from .finder import Mutant
from .processes import SPARE_SECONDS, limit_time, run_each
from .subjects import LEFT_OUT, PACKAGE, PYTEST, ROOT, TESTS, source_of


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
