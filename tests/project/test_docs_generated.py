"""The pages that are made from the source are those that the source makes now."""

import builtins
import importlib
import re
from functools import cache

import pytest

from dicos_proto import Limits, Timeouts
from dicos_proto.upper_layer.machine import TABLE
from tools import docgen
from tools.docgen import reference, source, values
from tools.docgen.source import CHECKOUT, prose, uses


@cache
def pages() -> dict[str, str]:
    """Made by the first test that needs them, because that takes seconds."""
    return docgen.pages()


def test_the_generated_pages_are_current() -> None:
    made = pages()
    assert len(made) > 30
    found = {path: (CHECKOUT / path).read_text(encoding="utf-8") for path in made if (CHECKOUT / path).exists()}
    differ = [path for path, text in made.items() if found.get(path) != text]
    assert differ == [], "run python -m tools.docgen"


def test_no_page_is_left_of_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docgen, "pages", pages)
    assert docgen.stale() == []


def test_every_limit_is_explained_and_enforced() -> None:
    words = values.described("dicos_proto.limits", "Limits")
    assert list(words) == list(Limits.__slots__)
    assert all(words.values())
    where = uses(frozenset({"limits", "_limits"}), "Limits", tuple(words))
    assert [name for name, places in where.items() if not places] == []


def test_every_timeout_is_explained_and_used() -> None:
    words = values.described("dicos_proto.timers", "Timeouts")
    assert list(words) == list(Timeouts.__slots__)
    assert all(words.values())
    where = uses(frozenset({"timeouts", "_timeouts"}), "Timeouts", tuple(words))
    assert [name for name, places in where.items() if not places] == []


@pytest.mark.parametrize(
    ("docstring", "markdown"),
    [
        ("A name.  # PS3.7 9.1.1", "A name. [PS3.7 9.1.1]"),
        ("A name.  # PS3.7 9.1.1\n\nRaises nothing.", "A name. [PS3.7 9.1.1]\n\nRaises nothing."),
        ("goes out on.  # PS3.7 10.1.1. Raises `X`.", "goes out on. [PS3.7 10.1.1]. Raises `X`."),
        ("One.\n\n# PS3.8 9.3.2.2", "One. [PS3.8 9.3.2.2]"),
        ("Words.  # PS3.8 table 9-21", "Words. [PS3.8 table 9-21]"),
        ("Query.  # PS3.4 C.4.1, K, Q\n\nUser", "Query. [PS3.4 C.4.1, K, Q]\n\nUser"),
        ("An item.  # PS3.8 9.3.2.3, annex D; PS3.7 D.3.3", "An item. [PS3.8 9.3.2.3, annex D; PS3.7 D.3.3]"),
        ("Shown:\n>>> 1 + 1\n2\n\nMore.", "Shown:\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."),
        ("Closed.  # PS3.8 Evt17", "Closed. [PS3.8 Evt17]"),
        ("# no heading", "\\# no heading"),
    ],
)
def test_docstrings_become_markdown(docstring: str, markdown: str) -> None:
    assert prose(docstring) == markdown


LINE = re.compile(r"    (Sta\d+: Sta\d+ [\w ,()-]+|Sta\d+ --> Sta\d+: Evt\d+(, Evt\d+)* / (AE|DT|AR|AA)-\d+)")


def test_the_diagrams_are_of_the_table() -> None:
    """Lines that Mermaid reads, and every cell of table 9-10 in the diagram of a role that can be in it."""
    diagrams = re.findall(
        r"```mermaid\nstateDiagram-v2\n    direction LR\n(.*?)```", pages()["docs/state-machine.md"], re.S
    )
    assert len(diagrams) == 8
    lines = [line for diagram in diagrams for line in diagram.splitlines()]
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    drawn = {
        (event, start, action, end)
        for start, end, events, action in re.findall(r"(Sta\d+) --> (Sta\d+): (.*?) / (\S+)", "\n".join(lines))
        for event in events.split(", ")
    }
    table = {
        (event.name, state.name, cell.action.value, end.name)
        for (event, state), cell in TABLE.items()
        for end in (cell.state, cell.otherwise)
    }
    assert drawn == table


def test_a_tolerance_is_taken_apart() -> None:
    text = "Accepts: this. Breaks: PS3.8 9.3. Sent by: them. Why it may be allowed: it is: so. Default: off."
    parts = {"Accepts": "this.", "Breaks": "PS3.8 9.3.", "Sent by": "them.", "Why": "it is: so.", "Default": "off."}
    assert values._parts(text) == parts
    assert values._parts(text.replace("Accepts", "Lets through").replace("Sent by", "Who")) == parts


@cache
def reference_pages() -> list[reference.Page]:
    return reference.all_pages()


def text_of(page: reference.Page) -> str:
    return pages()[f"docs/reference/{page.file}"]


def test_every_package_of_the_engine_has_a_page_and_nothing_else() -> None:
    shown = {page.module for page in reference_pages() if page.module.startswith("dicos_proto")}
    named = {each.name for each in source.modules("dicos_proto")}
    assert shown <= named
    below = {name for name in named - shown if name.rpartition(".")[0] not in shown}
    assert below == {"dicos_proto", "dicos_proto.arguments", "dicos_proto.fast_init", "dicos_proto.services"}


def test_only_public_packages_of_the_adapters_have_a_page() -> None:
    shown = [page.module for page in reference_pages() if page.module.startswith("dicos_transports")]
    names = ("blocking", "trio", "asyncio", "tls", "serving", "application", "files", "addresses", "dicos")
    assert shown == [f"dicos_transports.{name}" for name in names]


def test_a_page_shows_each_name_that_its_package_exports() -> None:
    """Each name in `__all__` has a heading or a row, and the import gives the same names."""
    for needed in ("trio", "OpenSSL", "pydicom"):
        pytest.importorskip(needed)
    checked = 0
    for page in reference_pages():
        package = source.source_of(page.module)
        assert package is not None
        for name in package.exported or ():
            found = re.search(rf"^\|? ?(#+ |\[)?`?({page.module}\.)?{name}`?\b", text_of(page), re.MULTILINE)
            assert found, f"{page.module}: {name}"
            checked += 1
        if package.exported is not None:
            assert list(package.exported) == list(importlib.import_module(page.module).__all__)
    assert checked > 150


def test_a_name_has_one_section() -> None:
    """On a page with a heading for each module, two modules may use the same name for different things."""
    for page in reference_pages():
        headings = re.findall(r"^#+ .*$", text_of(page), re.MULTILINE) if len(page.sections) == 1 else []
        assert [one for one in set(headings) if headings.count(one) > 1] == [], page.module


def test_methods_of_internal_bases_are_shown_with_the_class() -> None:
    (page,) = (page for page in reference_pages() if page.module == "dicos_transports.blocking")
    for name in ("echo", "store", "abort", "identity", "requests"):
        assert re.search(rf"^### Session\.{name}$|^\| `{name}` \|", text_of(page), re.MULTILINE), name


def test_internals_have_no_section() -> None:
    text = "".join(text_of(page) for page in reference_pages())
    for name in ("PduReader", "Outbox", "Link", "BaseSession", "Driver", *INSIDE):
        assert f"# {name}\n" not in text, name
        assert not re.search(rf"^\| \[?`{name}`", text, re.MULTILINE), name


INSIDE = (
    "AFTER_KILL", "AssociationRegistry", "BREATHER", "BaseServer", "FULL", "Judge", "Listeners", "MESSAGE_TIMERS",
    "NOT_ITS_TITLE", "NoSource", "OBJECT_COST", "OUT_OF_SOMETHING", "ServerConfig", "TimerTable", "UNDECIDED",
    "bound_socket", "bytes_unread", "check_port", "informing_text", "is_listening", "judge_of", "matching",
    "misplaced_data", "network_of", "said", "say", "source_of", "verdict_of",
)  # fmt: skip
"""Names without an underscore that modules of the project import from each other, and that are not API."""


def test_every_public_name_of_a_page_says_what_it_is() -> None:
    """Each heading with a signature has a docstring below it, and each row of a table of names has a sentence."""
    checked = 0
    for page in reference_pages():
        text = text_of(page)
        headings = re.split(r"^(#+ [^\n]+)\n\n```py\n.*?\n```\n", text, flags=re.MULTILINE | re.DOTALL)
        silent = [
            heading
            for heading, after in zip(headings[1::2], headings[2::2], strict=True)
            if not after.strip() or after.strip().startswith(("#", "Options:"))
        ]
        assert silent == [], page.module
        (table, *_) = [*text.split("| name | is |\n|---|---|\n")[1:], ""]
        rows = [row for row in table.split("\n\n")[0].splitlines() if "#" in row]  # constants have values
        assert [row for row in rows if row.endswith("|  |")] == [], page.module
        checked += len(headings) // 2
    assert checked > 400


def test_nothing_private_is_shown() -> None:
    """No private name in a signature or default, no field that the caller cannot give, no type variable as a value."""
    for page in reference_pages():
        text = text_of(page)
        code = "".join(re.findall(r"^```py\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        assert re.findall(r"(?<![\w.])_[A-Za-z]\w*", code) == [], page.module
        assert "field(" not in text, page.module
        assert not re.search(r"^\| `\w{1,2}` \| `TypeVar", text, re.MULTILINE), page.module


def test_iteration_and_attributes_of_a_session_are_shown() -> None:
    for module, method in (("blocking", "iter"), ("trio", "aiter")):
        (page,) = (page for page in reference_pages() if page.module == f"dicos_transports.{module}")
        assert rf"### Session.\_\_{method}\_\_" in text_of(page)
        assert "| `association` | `Association` |" in text_of(page)


def test_no_signature_has_an_empty_parameter() -> None:
    for page in reference_pages():
        assert re.findall(r"\(\s*,.*", text_of(page)) == [], page.module


@pytest.mark.parametrize("name", ["store_into", "discard", "send_file"])
def test_each_overload_is_shown_and_the_one_docstring(name: str) -> None:
    (page,) = (page for page in reference_pages() if page.module == "dicos_transports.files")
    (section,) = re.findall(rf"^## {name}\n\n```py\n(.*?)\n```\n\n(\S.*?)$", text_of(page), re.MULTILINE | re.DOTALL)
    code, said = section
    assert said.startswith(("Makes ", "Reads ", "Sends "))
    assert code.count(f"def {name}(") == 2
    assert code.count("-> Coroutine") == 1


ADAPTERS = ("blocking", "trio", "asyncio")


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("function", "options"), [("connect", "ConnectOptions"), ("accept", "AcceptOptions"), ("serve", "ServeOptions")]
)
def test_the_options_of_a_function_are_a_table_with_an_explanation_of_each(
    adapter: str, function: str, options: str
) -> None:
    """In every adapter: the function leads to the table, which has a row with all cells for each option."""
    pytest.importorskip("trio")
    made = {page.module: page for page in reference_pages()}
    (section,) = re.findall(rf"^## {function}\n.*?(?=^## )", text_of(made[f"dicos_transports.{adapter}"]), re.M | re.S)
    (page, anchor) = re.findall(r"Options: \[`\w+`\]\((.*?)#(.*?)\)\.", section)[0]
    assert anchor == options.lower()
    text = pages()[f"docs/reference/{page or made[f'dicos_transports.{adapter}'].file}"]
    (table,) = re.findall(rf"^## {options}\n.*?(?=^## )", text, re.M | re.S)
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.M))
    named = getattr(importlib.import_module(f"dicos_transports.{adapter}"), options)
    assert set(rows) == set(named.__annotations__)
    assert [name for name, row in rows.items() if not re.fullmatch(r"`.+` \| `.+` \| [A-Z].*\.", row)] == []


def test_what_a_face_offers_is_shown_as_its_user_calls_it() -> None:
    (page,) = (page for page in reference_pages() if page.module == "dicos_transports.blocking")
    text = text_of(page)
    assert "async def" not in text
    assert "def n_create(\n    self,\n    sop_class_uid: str," in text


def test_a_class_that_users_make_shows_its_parameters() -> None:
    texts = {page.module: text_of(page) for page in reference_pages()}
    for adapter in ADAPTERS:
        assert "class Pool\n\nPool(\n    where: Address,\n" in texts[f"dicos_transports.{adapter}"]
    assert "class Application\n\nApplication(\n    aet: str" in texts["dicos_transports.application"]
    assert "Refused(code: int, comment: str" in texts["dicos_proto.services.serving"]


def test_bases_are_those_that_a_reader_can_look_up() -> None:
    shown = {one.name for page in reference_pages() for one in page.names}
    for page in reference_pages():
        for bases in re.findall(r"^class \w+\((.*)\)$", text_of(page), re.MULTILINE):
            for base in re.sub(r"\[.*\]", "", bases).split(", "):
                assert base in shown or base in FROM_ELSEWHERE or hasattr(builtins, base), f"{page.module}: {base}"


FROM_ELSEWHERE = {
    "ABC",
    "Enum",
    "Flag",
    "Generic",
    "IntEnum",
    "NamedTuple",
    "Protocol",
    "StrEnum",
    "TypedDict",
    "total=False",
}
