"""The exports of `dicos_proto` are complete: every type that its signatures name can be imported from it."""

import enum
import inspect
import re
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import dicos_proto

CHECKOUT = Path(__file__).resolve().parents[2]
EXPORTED = {name: getattr(dicos_proto, name) for name in dicos_proto.__all__}


def parts(annotation: object) -> Iterator[type]:
    """The classes of this project that an annotation is made of."""
    if isinstance(annotation, typing.TypeVar):
        yield from parts(annotation.__bound__)
        for each in annotation.__constraints__:
            yield from parts(each)
    elif isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if annotation.__module__.startswith("dicos_proto"):
            yield annotation
    elif isinstance(annotation, list | tuple):
        for each in annotation:
            yield from parts(each)
    else:
        for each in typing.get_args(annotation):
            yield from parts(each)


def signatures(exported: object) -> Iterator[tuple[str, object]]:
    """(where, annotation) of everything that a user of an exported object can see."""
    if isinstance(exported, type):
        for base in exported.__mro__[1:]:
            yield "base", base
        if not issubclass(exported, enum.Enum):
            yield from typing.get_type_hints(exported).items()
        for name, member in vars(exported).items():
            if name.startswith("_") and name != "__init__":
                continue
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(function):
                for parameter, annotation in typing.get_type_hints(function).items():
                    yield f"{name}({parameter})", annotation
    elif inspect.isfunction(exported):
        yield from typing.get_type_hints(exported).items()
    else:
        yield "alias", exported


@pytest.mark.parametrize("name", EXPORTED)
def test_what_a_signature_names_is_exported_too(name: str) -> None:
    missing = {
        f"{each.__module__}.{each.__qualname__} in {where}"
        for where, annotation in signatures(EXPORTED[name])
        if not where.startswith("_")
        for each in parts(annotation)
        if EXPORTED.get(each.__name__) is not each and not each.__name__.startswith("_")
    }
    assert missing == set()


def test_the_walk_sees_what_is_named() -> None:
    found = {each for _, annotation in signatures(dicos_proto.Association) for each in parts(annotation)}
    assert {dicos_proto.Idle, dicos_proto.MessageStart, dicos_proto.Tolerance, dicos_proto.Deadline} <= found


def test_each_name_is_exported_once() -> None:
    assert len(set(dicos_proto.__all__)) == len(dicos_proto.__all__)


@pytest.mark.slow  # a run of mypy each
@pytest.mark.parametrize("union", ["Event", "Sendable"])
def test_a_match_over_all_of_a_union_can_be_written(union: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy.api", reason="mypy is not installed")
    cases = [each.__name__ for each in typing.get_args(EXPORTED[union])]
    source = [
        "from typing import assert_never",
        "import dicos_proto",
        f"def name_of(event: dicos_proto.{union}) -> str:",
        "    match event:",
        *(f"        case dicos_proto.{case}():\n            return {case!r}" for case in cases),
        "        case _ as unreachable:",
        "            assert_never(unreachable)",
    ]
    assert _mypy(tmp_path, "\n".join(source) + "\n") == ""
    del source[4]  # and a case that is forgotten is found
    assert "assert_never" in _mypy(tmp_path, "\n".join(source) + "\n")


@pytest.mark.slow  # a run of mypy each
@pytest.mark.parametrize(
    ("page", "begin"),
    [("bytes-to-events.md", "def describe(event: Event)"), ("upper-layer.md", "def relay(event: UpperEvent")],
)
def test_the_match_that_a_page_shows_is_complete(page: str, begin: str, tmp_path: Path) -> None:
    """A type checker accepts it, and reports a case that is left out if the match ends in assert_never."""
    pytest.importorskip("mypy.api", reason="mypy is not installed")
    text = (CHECKOUT / "docs/embedding" / page).read_text(encoding="utf-8")
    (block,) = (one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if begin in one)
    source = block.partition("\n\n\nacceptor = ")[0] + "\n"
    assert _mypy(tmp_path, source) == ""
    if "assert_never" in source:
        shorter = re.sub(r"        case Idle\(\):.*?(?=        case )", "", source, flags=re.DOTALL)
        assert "assert_never" in _mypy(tmp_path, shorter)


@pytest.mark.slow  # a run of mypy each
def test_the_events_of_a_loop_have_their_type(tmp_path: Path) -> None:
    pytest.importorskip("mypy.api", reason="mypy is not installed")
    source = """
from typing import assert_type
import dicos_proto
for event in dicos_proto.ready_events(dicos_proto.Association.acceptor()):
    assert_type(event, dicos_proto.Event)
for part in dicos_proto.ready_events(dicos_proto.UpperLayer(dicos_proto.Role.ACCEPTOR)):
    assert_type(part, dicos_proto.UpperEvent)
"""
    assert _mypy(tmp_path, source) == ""


def _mypy(folder: Path, source: str) -> str:
    """Returns the errors that `mypy --strict` reports for a program."""
    program = folder / "program.py"
    program.write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file=", str(program)]
    done = subprocess.run([*command, f"--cache-dir={folder}"], cwd=CHECKOUT, capture_output=True, text=True)
    return done.stdout + done.stderr


def public(one: object) -> set[str]:
    return {name for name in dir(one) if not name.startswith("_")}


WIRE = {
    "wants_read", "wants_close", "receive_data", "receive_eof", "data_to_send", "deadline", "handle_timeout",
}  # fmt: skip


def test_an_association_has_sixteen_public_members() -> None:
    both_ways = {"next_event", "send", "bytes_queued"}
    assert public(dicos_proto.Association.acceptor()) == WIRE | both_ways | {
        "requestor", "acceptor", "state", "contexts", "terms", "operations",
    }  # fmt: skip


def test_an_upper_layer_alone_has_fourteen_public_members() -> None:
    both_ways = {"next_event", "send", "bytes_queued"}
    assert public(dicos_proto.UpperLayer) == WIRE | both_ways | {"role", "limits", "state", "deviations"}


def test_both_are_wires() -> None:
    assert WIRE == public(dicos_proto.Wire)


def test_no_exported_name_is_the_name_of_a_module() -> None:
    """Such a name would be the one or the other, as it was imported."""
    folders = (CHECKOUT / "dicos_proto", CHECKOUT / "dicos_proto/_moved")
    modules = {path.stem for folder in folders for path in folder.iterdir()}
    assert modules.isdisjoint(EXPORTED)


def test_a_dissector_is_loaded_by_those_who_want_one() -> None:
    code = (
        "import sys, dicos_proto; assert 'dicos_proto.dissect' not in sys.modules;"
        "from dicos_proto import Dissector; from dicos_proto.dissect import Dissector as same; assert Dissector is same"
    )
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True)
    with pytest.raises(AttributeError, match="has no attribute 'Dissecter'"):
        _ = dicos_proto.Dissecter  # type: ignore[attr-defined]


@pytest.mark.parametrize("package", [f"dicos_transports.{name}" for name in ("blocking", "trio", "asyncio")])
def test_what_is_loaded_when_it_is_asked_for_is_in_the_directory(package: str) -> None:
    """`dir`, and with it completion in a shell, also knows the names that `__getattr__` finds."""
    pytest.importorskip("trio")
    code = f"import {package} as one; missing = {{*one.__all__}} - {{*dir(one)}}; assert not missing, missing"
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True)
