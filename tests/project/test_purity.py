"""The law of the engine, checked on its source: no I/O, no clock, no randomness, imports that point down.

`breaches(source, module)` is the checker; the tests run it over every file of the engine, and over small
sources that break one rule each, so that a checker that sees nothing fails too.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "dicos_proto"
ENGINE = Path(__file__).resolve().parent.parent.parent / PACKAGE

# Lowest first: a module imports only what stands before its own package, or in it, without a cycle.
ORDER = [
    "errors",
    "arguments",
    "fast_init",
    "limits",
    "tolerance",
    "registry",
    "timers",
    "wire",
    "upper_layer",
    "dimse",
    "association",
    "conversation",
    "dissect",
    "data",
    "services",
    "dicos",
]
PACKAGES = {"registry", "upper_layer", "dimse", "conversation", "data", "services", "dicos"}
# Former names of modules: each says where its module is now.
FORMER = "_moved"

# Packages above the core may use these, and nothing else outside the standard library.
ABOVE_THE_CORE = {"data", "services", "dicos"}
DATA_SET_LIBRARIES = {"pydicom", "numpy", "imagecodecs"}

# fmt: off
WORLD = {
    "socket", "ssl", "select", "selectors", "threading", "asyncio", "trio", "time", "random", "os",
    "subprocess", "logging", "tempfile", "pathlib",
}
# Other doors to the same rooms: what those are made of, and what imports by name.
BACK_DOORS = {
    "_asyncio", "_io", "_posixsubprocess", "_random", "_socket", "_ssl", "_thread", "_threading_local",
    "anyio", "atexit", "builtins", "concurrent", "contextvars", "ctypes", "fcntl", "glob", "importlib",
    "mmap", "multiprocessing", "nt", "ntpath", "pkgutil", "posix", "posixpath", "pty", "queue", "runpy",
    "sched", "secrets", "shutil", "signal", "socketserver", "uuid",
}
# fmt: on
BANNED = WORLD | BACK_DOORS

FORBIDDEN_NAMES = {"open", "exec", "eval", "compile", "__import__", "__builtins__"}
# It writes an `__init__` out of the names of fields, as `dataclasses` itself does.
ALLOWED = {("fast_init", "exec")}
FORBIDDEN_CALLS = {"print", "input", "breakpoint", "globals"}
# io.open, gzip.open, Path.open; datetime.now, date.today.
FORBIDDEN_METHODS = {"open", "open_code", "now", "utcnow", "today"}


def breaches(source: str, module: str) -> list[str]:
    """Returns the breaches of the law in `source` of `module`, a dotted name below the package ("": its `__init__`)."""
    return [
        f"{module or '__init__'}.py:{node.lineno}: {fault}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt | ast.expr)
        for fault in _faults(node, module)
    ]


def _faults(node: ast.stmt | ast.expr, module: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _import_faults(alias.name, None, module)
        case ast.ImportFrom(names=names):
            for alias in names:
                yield from _import_faults(_absolute(node, module), alias.name, module)
        case ast.Name(id=name) if name in FORBIDDEN_NAMES and (module, name) not in ALLOWED:
            yield f"uses {name}"
        case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
            yield f"calls {name}()"
        case ast.Call(func=ast.Attribute(attr=name)) if name in FORBIDDEN_METHODS:
            yield f"calls .{name}()"


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """The dotted name that `from X import ...` means by X, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    inside = [PACKAGE, *module.split(".")] if module else [PACKAGE, "__init__"]
    return ".".join([*inside[: len(inside) - node.level], *([node.module] if node.module else [])])


def _import_faults(name: str, member: str | None, module: str) -> Iterator[str]:
    """`import name`, or `from name import member`."""
    top, _, rest = name.partition(".")
    if top in BANNED:
        yield f"imports {name}"
    elif top == PACKAGE:
        yield from _layer_faults(rest or member or "", module)
    elif top not in sys.stdlib_module_names and not (
        module.partition(".")[0] in ABOVE_THE_CORE and top in DATA_SET_LIBRARIES
    ):
        yield f"imports {name}, which is not in the standard library"
    elif member in FORBIDDEN_NAMES | FORBIDDEN_METHODS:
        yield f"imports {name}.{member}"


def _layer_faults(target: str, module: str) -> Iterator[str]:
    """`target` is the dotted name below the package that `module` imports."""
    importer, imported = module.partition(".")[0], target.partition(".")[0]
    if not module or importer == FORMER or (importer == imported and importer in PACKAGES):
        return
    if imported not in ORDER:
        yield f"imports {PACKAGE}{'.' + imported if imported else ''}, which is not a module in ORDER"
    elif importer in ORDER and ORDER.index(imported) >= ORDER.index(importer):
        yield f"imports upward: {imported} is not below {importer}"


def modules() -> dict[str, Path]:
    """Every module of the engine by its dotted name below the package."""
    found = {}
    for path in sorted(ENGINE.rglob("*.py")):
        parts = path.relative_to(ENGINE).with_suffix("").parts
        name = ".".join(parts)
        found["" if name == "__init__" else name] = path
    return found


def test_the_engine_is_found() -> None:
    assert {"registry.uids", "errors", "services.storage"} <= modules().keys()


@pytest.mark.parametrize("module", modules(), ids=lambda module: module or "__init__")
def test_a_module_keeps_the_law(module: str) -> None:
    assert breaches(modules()[module].read_text("utf-8"), module) == []


def test_every_module_has_its_place_in_the_order() -> None:
    top_level = {module.partition(".")[0] for module in modules()} - {"", FORMER}
    assert top_level - set(ORDER) == set(), "a new module needs a place in ORDER"
    nested = {module.partition(".")[0] for module in modules() if "." in module}
    assert nested <= PACKAGES | {FORMER}


def test_the_order_names_each_module_once() -> None:
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("banned", sorted(WORLD))
@pytest.mark.parametrize(
    "form",
    [
        "import {0}",
        "import {0} as harmless",
        "import math, {0}",
        "import {0}.sub",
        "from {0} import thing",
        "from {0} import *",
        "from {0}.sub import thing as other",
        "def f():\n    import {0}",
        "if TYPE_CHECKING:\n    from {0} import thing",
        "try:\n    import {0}\nexcept ImportError:\n    pass",
    ],
)
def test_the_checker_sees_a_banned_import(form: str, banned: str) -> None:
    # Even in the one package that may use libraries of others.
    for module in ("upper_layer.machine", "dicos.ct", ""):
        assert breaches(form.format(banned), module) != []


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os')",
        "f = __import__",
        "import importlib",
        "from importlib import import_module",
        "import builtins",
        "__builtins__['open']",
        "import _socket",
        "open('x')",
        "with open('x') as f: pass",
        "f = open",
        "import io\nio.open('x')",
        "from io import open",
        "from io import open as o",
        "import gzip\ngzip.open('x')",
        "exec('1')",
        "eval('1')",
        "compile('1', '', 'eval')",
        "print('x')",
        "input()",
        "globals()['open']",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.date.today()",
        "import uuid",
    ],
)
def test_the_checker_sees_other_ways_out(source: str) -> None:
    assert breaches(source, "upper_layer.machine") != []


@pytest.mark.parametrize("library", ["pydicom", "numpy", "numpy.typing", "h11", "dicos_transports", "dicos_fuzz"])
def test_the_checker_sees_a_library_in_the_core(library: str) -> None:
    for module in ("registry.uids", "conversation.flows", "dissect", ""):
        assert breaches(f"import {library}", module) != []
        assert breaches(f"from {library} import thing", module) != []


def test_only_data_set_libraries_are_allowed_above_the_core() -> None:
    for module in ("data.datasets", "services.storage", "dicos.ct"):
        assert breaches("import pydicom\nfrom numpy.typing import NDArray", module) == []
        assert breaches("import h11", module) != []
        assert breaches("from dicos_transports import blocking", module) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("upper_layer.pdu", "from dicos_proto.dimse.types import Command"),
        ("upper_layer.pdu", "from dicos_proto import dimse"),
        ("upper_layer.pdu", "from dicos_proto import association"),
        ("upper_layer.pdu", "import dicos_proto.dimse"),
        ("upper_layer.pdu", "import dicos_proto.dimse.types as t"),
        ("upper_layer.pdu", "from ..dimse.types import Command"),
        ("upper_layer.pdu", "from .. import dimse"),
        ("upper_layer.pdu", "from .. import errors, dimse"),
        ("wire", "from dicos_proto.wire import Wire"),
        ("errors", "from dicos_proto.limits import Limits"),
        ("data.datasets", "from dicos_proto.services.storage import store"),
        ("services.storage", "from dicos_proto.dicos.ct import CT"),
        ("services.storage", "from ..dicos import ct"),
        ("services.storage", "from .. import dicos"),
        ("services.storage", "from ..dicos.ct import CT"),
        ("services.__init__", "from ..dicos import ct"),
    ],
)
def test_the_checker_sees_an_upward_import(module: str, source: str) -> None:
    assert any("upward" in fault for fault in breaches(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("wire", "import dicos_proto"),
        ("wire", "from dicos_proto import Association"),
        ("wire", "from . import Association"),
        ("dicos.ct", "from .. import Association"),
        ("upper_layer.pdu", "from dicos_proto.helpers import thing"),
        ("upper_layer.pdu", "from ..helpers import thing"),
        ("upper_layer.pdu", "from .._moved.uids import thing"),
    ],
)
def test_the_checker_sees_an_import_that_has_no_place_in_the_order(module: str, source: str) -> None:
    assert any("not a module in ORDER" in fault for fault in breaches(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "upper_layer.machine",
            "from __future__ import annotations\nimport struct, enum\nfrom dataclasses import dataclass",
        ),
        ("upper_layer.machine", "from dicos_proto.errors import Malformed\nfrom dicos_proto import limits"),
        ("upper_layer.machine", "from ..errors import Malformed\nfrom . import events"),
        ("services.storage", "from .verification import echo\nfrom dicos_proto.services import query"),
        ("services.__init__", "from .storage import store\nfrom . import query\nfrom ..conversation.flows import Flow"),
        ("services.storage", "from ..conversation.flows import Flow\nfrom ..registry import status"),
        ("dicos.ct", "from .tags import CT\nfrom ..services.storage import store"),
        ("", "from dicos_proto.dicos import ct\nfrom .association import Association\nfrom .registry import uids"),
        ("_moved.uids", "import dicos_proto.registry.uids"),
        ("wire", "def f(state, time, now):\n    return state.open, time, deadline(now)"),
        ("wire", "import re\nre.compile('x')"),
        ("wire", '"""Never calls open() or exec()."""'),
    ],
)
def test_the_checker_lets_lawful_source_pass(module: str, source: str) -> None:
    assert breaches(source, module) == []


def test_a_breach_says_where_it_is() -> None:
    assert breaches("import math\nimport socket", "wire") == ["wire.py:2: imports socket"]


def test_importing_the_core_loads_neither_libraries_nor_the_network() -> None:
    heavy = {"asyncio", "logging", "numpy", "pydicom", "selectors", "socket", "ssl", "subprocess", "trio"}
    above = {"", FORMER, *ABOVE_THE_CORE}
    core = [f"{PACKAGE}.{module}" for module in modules() if module.partition(".")[0] not in above]
    # -I and -S keep what this interpreter's site packages load at start-up out of the picture.
    code = (
        f"import sys; sys.path.insert(0, {str(ENGINE.parent)!r}); import {PACKAGE}, {', '.join(core)};"
        f"print(*sorted(set(sys.modules) & {heavy!r}))"
    )
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
