"""The structure of both packages: no circles, an upper layer that knows no DIMSE; and modules, those of `tools` and
`benchmarks` too, that fit on a few pages.

Imports are read from the source by `tools.structure`, which also prints them.
"""

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tools.structure import CHECKOUT, FORMER, LONG, TREES, Project, circles, floors, public_members

ROOTS = [CHECKOUT / folder for folder in TREES.values()]
FORMER_NAMES = dict(line.split(": ") for line in Path(__file__).with_name("former_names.txt").read_text().splitlines())


@cache
def project() -> Project:
    return Project(CHECKOUT)


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_floors_are_counted_from_the_ground() -> None:
    assert floors({"a": {"b"}, "b": {"c", "d"}, "c": {"d"}, "d": set()}) == {"a": 4, "b": 3, "c": 2, "d": 1}


def test_public_members_are_found() -> None:
    body = "x: int; _y = 1", "def __init__(self): self.z, self._w = 1, 2", "def m(self): ..."
    assert public_members("class A:\n    " + "\n    ".join(body), "A") == ["m", "x"]
    body = "def __init__(self):\n        self.z = 1\n        self._w = 2", "z = 3"
    assert public_members("class A:\n    " + "\n    ".join(body), "A") == ["z"]


@pytest.mark.parametrize("tree", TREES)
def test_no_module_is_in_a_circle_of_imports(tree: str) -> None:
    assert sum(one.startswith(tree) for one in project().code) > 3
    assert [one for one in circles(project().code) if one[0].startswith(tree)] == []


@pytest.mark.parametrize("tree", TREES)
def test_no_package_is_in_a_circle_of_imports(tree: str) -> None:
    assert [one for one in circles(project().rooms) if one[0].startswith(tree)] == []


def test_the_upper_layer_knows_no_dimse() -> None:
    upper = {one for one in project().modules if one.startswith("dicos_proto.upper_layer.")}
    assert len(upper) > 8
    assert {one for one in project().closure(upper) if one.startswith("dicos_proto.dimse")} == set()


HELPERS = sorted(path for folder in ("tools", "benchmarks") for path in (CHECKOUT / folder).rglob("*.py"))


@pytest.mark.parametrize(
    "path", [*Project(CHECKOUT).modules.values(), *HELPERS], ids=lambda path: str(path.relative_to(CHECKOUT))
)
def test_a_module_fits_on_a_few_pages_or_says_why_not(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONG or "long because" in (ast.get_docstring(ast.parse(text)) or "")


@pytest.mark.parametrize(
    ("name", "module", "most"),
    [
        ("Association", "dicos_proto.association", 16),
        ("UpperLayer", "dicos_proto.upper_layer.layer", 14),
    ],
)
def test_the_central_classes_have_a_small_surface(name: str, module: str, most: int) -> None:
    found = public_members(project().modules[module].read_text("utf-8"), name)
    assert 10 < len(found) <= most, found


MUST_NOT_KNOW = {
    "errors": "registry upper_layer dimse timers limits tolerance",
    "limits": "registry upper_layer dimse timers errors tolerance",
    "wire": "registry upper_layer dimse association",
    "timers": "registry upper_layer dimse association",
    "tolerance": "registry upper_layer dimse association",
    "registry.uids": "errors upper_layer dimse association",
    "registry.status": "errors upper_layer dimse association",
    "registry.service_classes": "errors upper_layer dimse association",
    "upper_layer.machine": "upper_layer.pdu_types upper_layer.framing upper_layer.outbox timers",
    "upper_layer.pdu_types": "upper_layer.pdu upper_layer.cursor upper_layer.machine upper_layer.negotiation",
    "upper_layer.events": "upper_layer.pdu upper_layer.machine dimse",
    "upper_layer.cursor": "upper_layer.pdu_types upper_layer.pdu upper_layer.machine",
    "upper_layer.titles": "upper_layer.policy upper_layer.negotiation upper_layer.machine",
    "upper_layer.user_information": "upper_layer.agreement upper_layer.negotiation upper_layer.policy",
    "upper_layer.pdu": "upper_layer.machine upper_layer.agreement upper_layer.negotiation upper_layer.policy",
    "upper_layer.framing": "upper_layer.machine upper_layer.core upper_layer.negotiation upper_layer.policy",
    "upper_layer.outbox": "upper_layer.machine upper_layer.core dimse",
    "upper_layer.extended": "upper_layer.policy upper_layer.negotiation",
    "upper_layer.policy": "upper_layer.negotiation upper_layer.pdu upper_layer.machine",
    "upper_layer.agreement": "upper_layer.policy upper_layer.negotiation upper_layer.pdu upper_layer.machine",
    "upper_layer.negotiation": "upper_layer.pdu upper_layer.machine upper_layer.framing",
    "upper_layer.core": "dimse upper_layer.policy upper_layer.negotiation upper_layer.agreement",
    "upper_layer.layer": "dimse upper_layer.policy upper_layer.negotiation upper_layer.agreement",
    "upper_layer.pace": "dimse",
    "dimse.command": "dimse.types dimse.values upper_layer",
    "dimse.values": "dimse.types dimse.events upper_layer.machine",
    "dimse.types": "dimse.codec dimse.templates dimse.events upper_layer.outbox upper_layer.machine",
    "dimse.templates": "dimse.codec dimse.events",
    "dimse.codec": "dimse.events dimse.assembly upper_layer.outbox upper_layer.framing",
    "dimse.events": "dimse.assembly dimse.codec upper_layer.core association",
    "dimse.assembly": "upper_layer.machine upper_layer.framing upper_layer.core association",
    "association": "upper_layer.policy upper_layer.negotiation conversation",
    "conversation.parking": "association upper_layer.core conversation.flows",
    "conversation.planning": "association services data",
    "conversation.flows": "conversation.exchange services",
    "conversation.exchange": "services",
    "dissect": "upper_layer.machine upper_layer.core association",
}
"""The lines "Must not know" of the modules, as far as imports can tell: each module and what it must not import, even
indirectly."""


@pytest.mark.parametrize("module", MUST_NOT_KNOW)
def test_a_module_does_not_know_what_it_says_it_must_not(module: str) -> None:
    known = {one.removeprefix("dicos_proto.") for one in project().closure({f"dicos_proto.{module}"})} - {module}
    forbidden = MUST_NOT_KNOW[module].split()
    assert {one for one in known for other in forbidden if one == other or one.startswith(f"{other}.")} == set()


WORLD = "socket threading asyncio trio"
LOOPS = "asyncio trio"
MUST_NOT_IMPORT = {
    "dicos_proto.data.checker": "pydicom",
    "dicos_proto.data.deflated": "pydicom",
    "dicos_proto.data.elements": "pydicom dicos_proto.data.walker dicos_proto.data.builder",
    "dicos_proto.data.tokens": "pydicom dicos_proto.data.walker dicos_proto.data.builder",
    "dicos_proto.data.transcode": "pathlib",
    "dicos_proto.services.suboperations": "dicos_proto.dimse dicos_proto.conversation",
    "dicos_proto.services.ups_steps": "dicos_proto.association dicos_proto.conversation",
    "dicos_transports.addresses": f"{LOOPS} dicos_proto.association",
    "dicos_transports.application.answering": WORLD,
    "dicos_transports.application.asked": f"{WORLD} dicos_transports.application.answering",
    "dicos_transports.application.talking": "socket threading dicos_proto.dimse",
    "dicos_transports.cli.expecting": "socket",
    "dicos_transports.files.data_sets": "dicos_proto.association",
    "dicos_transports.files.finding": "pydicom dicos_proto.data",
    "dicos_transports.files.instances": "dicos_proto.association",
    "dicos_transports.files.receiving": "socket",
    "dicos_transports.files.sending": "socket",
    "dicos_transports.files.temporary": "pydicom dicos_proto.data",
    "dicos_transports.options": "dicos_transports.sessions.opening",
    "dicos_transports.serving.admission": f"threading {LOOPS}",
    "dicos_transports.serving.async_server": LOOPS,
    "dicos_transports.serving.conversing": f"threading {LOOPS}",
    "dicos_transports.serving.logs": "socket",
    "dicos_transports.serving.metrics": "socket http dicos_transports.blocking dicos_proto.association",
    "dicos_transports.serving.metrics_http": "prometheus_client",
    "dicos_transports.serving.reception": LOOPS,
    "dicos_transports.sessions.awaiting_pool": LOOPS,
    "dicos_transports.sessions.base": WORLD,
    "dicos_transports.sessions.base_pool": f"threading {LOOPS}",
    "dicos_transports.sessions.budget": "dicos_transports.sessions.session dicos_transports.sessions.base",
    "dicos_transports.sessions.finished": "threading dicos_transports.sessions.session",
    "dicos_transports.sessions.iterating": LOOPS,
    "dicos_transports.sessions.loop_driver": f"socket {LOOPS}",
    "dicos_transports.sessions.offloading": "dicos_transports.sessions.session dicos_transports.files",
    "dicos_transports.sessions.opening": f"socket {LOOPS}",
    "dicos_transports.sessions.pooling": WORLD,
    "dicos_transports.sessions.received": f"{WORLD} dicos_transports.sessions.running",
    "dicos_transports.sessions.running": f"{LOOPS} dicos_proto.services",
    "dicos_transports.sessions.session": f"socket {LOOPS}",
    "dicos_transports.sessions.sharing": f"socket {LOOPS}",
    "dicos_transports.tls.config": "socket dicos_proto.association",
    "dicos_transports.tls.identity": "socket",
    "dicos_transports.tls.layer": "socket dicos_proto.association",
    "dicos_transports.tls.titles": "OpenSSL",
    "dicos_transports.tls_profiles": "OpenSSL cryptography",
    "dicos_transports.tracing": "dicos_transports.sessions",
}
"""The same lines, where they name what only some modules use: what a module must not import itself, also inside a
function; others may do so for it."""


@pytest.mark.parametrize("module", MUST_NOT_IMPORT)
def test_a_module_does_not_import_what_it_says_it_must_not_know(module: str) -> None:
    tree = ast.parse(project().modules[module].read_text("utf-8"))
    known = set(project().imports[module])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            known.add(node.module or "")
    forbidden = MUST_NOT_IMPORT[module].split()
    assert {one for one in known for other in forbidden if one == other or one.startswith(f"{other}.")} == set()


def test_servers_and_sessions_import_no_runtime_besides() -> None:
    """`offloading` imports the one that runs; nothing else that a server of one adapter needs imports another."""
    start = {
        one for one in project().modules if one.startswith(("dicos_transports.serving.", "dicos_transports.sessions."))
    }
    others = ("dicos_transports.trio", "dicos_transports.asyncio", "dicos_transports.application")
    assert {one for one in project().closure(start) if one.startswith(others)} == set()


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_a_former_name_of_a_module_still_has_its_public_names(former: str) -> None:
    module = importlib.import_module(former)
    assert [name for name in FORMER_NAMES[former].split() if not hasattr(module, name)] == []


def test_modules_of_the_adapters_are_attributes_of_their_package() -> None:
    """By their names, and by the former ones, without an import of the module itself."""
    former = [name.rpartition(".")[2] for name in FORMER_NAMES if re.fullmatch(r"dicos_transports\.\w+", name)]
    code = (
        "import dicos_transports, types\n"
        f"for name in {[*former, 'blocking', 'files']!r}:\n"
        "    assert isinstance(getattr(dicos_transports, name), types.ModuleType), name\n"
        "assert dicos_transports.part10.Part10File is dicos_transports.files.Part10File\n"
        "assert not hasattr(dicos_transports, 'part11') and not hasattr(dicos_transports, '__wrapped__')\n"
    )
    assert len(former) > 20
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True)


@pytest.mark.parametrize(
    "path", sorted(path for root in ROOTS for path in (root / FORMER).glob("[a-z]*.py")), ids=lambda path: path.stem
)
def test_a_former_module_says_where_it_is_now(path: Path) -> None:
    package = path.parents[1].name
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert said.startswith(f"`{package}.{path.stem}` is `")
    assert f"{package}.{path.stem}" in FORMER_NAMES


def test_modules_are_attributes_of_the_package_as_before() -> None:
    """In a process of its own: here the former names have been imported, which sets them."""
    names = ["uids", "status", "flows", "exchange", "planning", "negotiation", "pdu", "pdu_types", "machine", "framing"]
    code = f"import dicos_proto; print([name for name in {names} if not hasattr(dicos_proto, name)])"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
