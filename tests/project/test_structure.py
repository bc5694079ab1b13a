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
SPLIT = {
    "pdu": """ANSWER ASSOCIATE_FIXED Abort AssociateAccept AssociateReject AssociateRequest COMMAND_BIT
        CommonExtendedNegotiation Context ContextAnswer ContextResult ExtendedNegotiation HEADER ITEM_HEADER
        ITEM_LENGTH_MAX LAST_BIT OperationsWindow PDU_LENGTH_MAX PDV_HEADER PData PROTOCOL_VERSION Pdu PduType Pdv
        ProposedContext REJECT_REASONS RejectResult RejectSource ReleaseRequest ReleaseResponse RoleSelection T
        UserIdentity UserIdentityResponse UserIdentityType UserInformation check_context_id check_header
        check_pdv_length decode decode_body decode_title encode encode_title fault_of_title is_title""",
    "negotiation": """AcceptPolicy Agreement IdentityPolicy IdentityVerdict Preference PresentationContext
        RefusedContext Roles UNCOMPRESSED X agree negotiate number_contexts propose propose_roles""",
    **dict.fromkeys(("storing", "part10", "part10_writer", "answering"), ""),
    "exchange": """Answer Data DataSetTooLong Exchange Feed Holder Incoming NoRoom Operation STARVED T ask check_free
        inquire next_piece next_request read_answer read_data request_here respond response_to skip_data""",
}
"""Former modules that are several now, with the public names that they had: all of these are still found in them."""


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
"""What the lines "Must not know" say, as far as imports can tell: of all that a module imports, directly or not."""


@pytest.mark.parametrize("module", MUST_NOT_KNOW)
def test_a_module_does_not_know_what_it_says_it_must_not(module: str) -> None:
    known = {one.removeprefix("dicos_proto.") for one in closure({f"dicos_proto.{module}"})} - {module}
    forbidden = MUST_NOT_KNOW[module].split()
    assert {one for one in known for other in forbidden if one == other or one.startswith(f"{other}.")} == set()


LONG = {
    "dicos_proto.data.elements": "one walker",
    "dicos_proto.data.transcode": "one walker",
    "dicos_proto.dimse.types": "the messages of PS3.7, a table",
    "dicos_proto.registry.uid_names": "a table",
    "dicos_proto.services.retrieve": "C-MOVE and C-GET, both sides",
    "dicos_proto.services.ups": "the states and requests of PS3.4 annex CC, both sides",
}


@pytest.mark.parametrize("module", [one for one in modules() if one.startswith("dicos_proto.")])
def test_a_module_of_the_engine_fits_on_a_few_pages_or_says_why_not(module: str) -> None:
    assert module in LONG or len(modules()[module].read_text("utf-8").splitlines()) <= 450


@pytest.mark.parametrize(
    "former", sorted(path for root in TREES.values() for path in (root / FORMER).glob("[a-z]*.py"))
)
def test_former_names_of_modules_still_work(former: Path) -> None:
    package = former.parents[1].name
    old = importlib.import_module(f"{package}.{former.stem}")
    said = ast.get_docstring(ast.parse(former.read_text("utf-8"))) or ""
    new = importlib.import_module(said.split("`")[3])
    shared = set(getattr(new, "__all__", [name for name in vars(new) if not name.startswith("_")]))
    assert shared <= vars(old).keys() or former.stem in {"events", *SPLIT}
    assert all(getattr(old, name) is getattr(new, name) for name in shared & vars(old).keys())
    assert set(SPLIT.get(former.stem, "").split()) <= vars(old).keys()
