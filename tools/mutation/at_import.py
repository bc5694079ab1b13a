"""Runs the mutants of what is run at import: the module is imported from a changed tree, in a process of its own."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from types import CodeType

import pytest

from .finder import Mutant
from .processes import limit_time, run_each
from .subjects import AT_IMPORT, PACKAGE, PYTEST, ROOT, source_of


class MutantLoader(importlib.machinery.SourceFileLoader, importlib.abc.MetaPathFinder):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._tree, self.path, "exec")


def passes(mutant: Mutant, tree: ast.Module) -> bool:
    mutant.swap()
    path = str(source_of(mutant.module))
    loader = MutantLoader(f"{PACKAGE}.{mutant.module}", path, ast.fix_missing_locations(tree))
    sys.meta_path.insert(0, loader)
    limit_time(60)
    files = [str(ROOT / "tests" / name) for name in AT_IMPORT[mutant.module]]
    return pytest.main([*PYTEST, *files]) == pytest.ExitCode.OK


def run_at_import(mutants: Sequence[Mutant], trees: Mapping[str, ast.Module], jobs: int) -> dict[str, str]:
    """Name -> result. The other libraries that the tests use are imported first, once for all processes."""
    print(f"{len(mutants)} mutants of what is run at import", flush=True)
    for heavy in ("hypothesis.stateful", "numpy", "pydicom", "pynetdicom"):
        importlib.import_module(heavy)
    gc.freeze()
    return run_each(mutants, jobs, lambda mutant: passes(mutant, trees[mutant.module]))
