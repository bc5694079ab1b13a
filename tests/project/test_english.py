"""The lint for English finds each pattern that it forbids, and passes good sentences."""

from pathlib import Path

import pytest

from tools import english

BAD = [
    ("of", "Of a message its context."),
    ("of", "Reads it. Of what is left nothing is kept."),
    ("of", "Of its three fields the first."),
    ("what", "What became known."),
    ("what", "A title. What it is called by."),
    ("whether", "Whether that was all."),
    ("who", "Who asks is answered."),
    ("how", "How many are kept."),
    ("its", "Its port."),
    ("as", "As `step`, for one request."),
    ("; whether", "Does it now; whether that was all."),
    ("; whether", "Does it now;\nwhether that was all."),
    ("whoever", "Left to whoever reads it."),
    ("whatever", "Ignores whatever comes."),
    ("told", "The user is told why."),
    ("told", "Peers are not told."),
    ("told", "It tells of a fault."),
    ("so many", "A run of bytes that is so long."),
    ("let through", "What the flag lets through."),
    ("let through", "Nothing else is let through."),
    ("let through", "They let it through."),
    ("who", "Given to who asks."),
    ("manieth", "The how manieth it is."),
    ("none", "Raises ValueError for one that is none."),
    ("whole", "A header that is not whole."),
    ("anew", "Then all begins anew."),
    ("but for", "All but for the first."),
    ("come upon", "The event it came upon."),
    ("become of", "A record of what became of each."),
    ("of its", "A request of its."),
    ("said to be", "Counters are said to be fewer."),
    ("what comes", "Reads what comes."),
    ("otherwise", "Peers that do otherwise."),
    ("is no", "Raises ValueError if it is no UID."),
    ("looked at", "Decoded when it is looked at."),
    ("read over", "The body is read over."),
    ("as it lies", "Sent as it lies on disk."),
    ("say", "A folder, say, is a source."),
    ("somebody", "An event for somebody else."),
    ("good order", "Released in good order."),
    ("nothing but", "It holds nothing but bytes."),
    ("for ever", "None waits for ever."),
    ("clause mark", "Reads a PDU.  # PS3.8 9.3"),
]
GOOD = """Reads a PDU and returns True if it is complete [PS3.8 9.3].

Of course `let_through` and `told` are names. What is it? Whose turn is it? How many are there? The rate is so
low that nothing arrives. A wait lasts as long as the peer sends. Its port is the first argument. Everything
goes through a tunnel. There is no limit. It is no longer there. The peer has nothing to say. Memory stays
flat whatever the size. As in h11, one call reads one event. The whole PDU is read. Tell the peer.
"""


def rules(kind: english.Kind, text: str) -> list[str]:
    lines = tuple(enumerate(text.split("\n"), 1))
    return [one.rule for one in english.findings("x.py", [english.Text(kind=kind, lines=lines)])]


@pytest.mark.parametrize(("rule", "text"), BAD)
def test_each_pattern_is_found(rule: str, text: str) -> None:
    assert rule in rules("docstring", text)


def test_each_rule_has_an_example() -> None:
    assert {rule.name for rule in english.RULES} == {rule for rule, _ in BAD}


@pytest.mark.parametrize("kind", ["docstring", "comment", "message", "markdown"])
def test_good_sentences_pass(kind: english.Kind) -> None:
    assert rules(kind, GOOD) == []


def test_a_clause_in_a_comment_needs_no_brackets() -> None:
    assert rules("comment", "PS3.8 9.3") == []
    assert rules("comment", "# PS3.8 9.3") == []


SOURCE = '''"""A module."""

LIMIT = 3  # what comes is counted
"""Octets.

Whether they are checked.
"""
# A comment of two lines, of which the second is
# told apart.


def ask(name: str) -> str:
    """Ask.  # PS3.7 9.1"""
    whoever = "whoever"
    return f"the peer {name} is told so {whoever}" "."
'''


def test_docstrings_comments_and_messages_are_read_and_code_is_not(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(SOURCE)
    found = [(one.line, one.rule) for one in english.check(tmp_path / "x.py", "x.py")]
    assert found == [(3, "what comes"), (6, "whether"), (8, "told"), (13, "clause mark"), (15, "told")]


PAGE = """# What is new

It is new. What is more, [it](what-comes.md) runs: `whoever`.

- Whether it runs.
- Runs.

| a | b |
|---|---|
| one | Of a kind. |

```python
print("whoever")  # whoever comes
```

```console
$ whoever
```
"""


def test_prose_and_python_of_markdown_are_read_and_other_code_is_not(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text(PAGE)
    found = [(one.line, one.rule) for one in english.check(tmp_path / "x.md", "x.md")]
    assert found == [(3, "what"), (5, "whether"), (10, "of"), (13, "whoever")]
    (tmp_path / "x.md").write_text("<!-- Made from the source by `make docs` -->\n\nWhoever.\n")
    assert english.check(tmp_path / "x.md", "x.md") == []


def test_a_finding_says_where_and_what_to_write() -> None:
    (one,) = english.findings("x.py", [english.Text(kind="comment", lines=((7, "left to whoever reads it"),))])
    assert str(one) == "x.py:7: 'whoever' (whoever): write 'the caller', 'the peer', 'code that ...'"


def test_an_exception_needs_a_reason() -> None:
    assert english.allowed(["# a comment", "", "a.py: Told: a name"]) == {("a.py", "told"): "a name"}
    with pytest.raises(ValueError, match="has no reason"):
        english.allowed(["a.py: told:"])


@pytest.mark.slow  # `make quick` runs the tool itself
@pytest.mark.no_cover  # no code of the engine runs
def test_the_project_meets_it(capsys: pytest.CaptureFixture[str]) -> None:
    status = english.main([])
    assert status == 0, capsys.readouterr().out


def test_findings_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.md").write_text("It is told.\n")
    assert english.main([str(tmp_path), "--count"]) == 0
    assert capsys.readouterr().out == f"folder\n     1 {tmp_path}\nrule\n     1 told\n     1 in all\n"
    assert english.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path}/x.md:1: 'is told' (told): ")
