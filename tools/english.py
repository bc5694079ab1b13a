"""A lint for English: reports phrases that are hard to read, and what to write instead.

    python -m tools.english            check the project; exit status 1 if anything is found
    python -m tools.english PATH ...   check these files and folders
    python -m tools.english --count    print the number of findings by folder and by rule

It reads docstrings, comments and messages (string literals of several words) of Python files, and the prose of
Markdown files with their Python blocks. Code spans, link targets and generated pages are exempt. `RULES` has the rules.

`tools/english-allowed.txt` lists the exceptions, each with its reason.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CHECKOUT = Path(__file__).resolve().parent.parent
ALLOWED = CHECKOUT / "tools/english-allowed.txt"
ROOTS = (
    "README.md",
    "CONTRIBUTING.md",
    "dicos_proto",
    "transports",
    "fuzz",
    "docs",
    "demo",
    "benchmarks",
    "tools",
    "tests",
)
GENERATED = re.compile(r"<!-- Made from the source")
"""The mark of a page that docgen makes: its words are checked where they come from."""
SELF = frozenset({"tools/english.py", "tests/project/test_english.py"})
"""Files that must spell out the phrases that the rules forbid."""
_SHORTEST_MESSAGE = 3
"""Words from which a string literal counts as a message."""

Kind = Literal["docstring", "comment", "message", "markdown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern to avoid, and the better word. `starts` rules look at the beginning of each sentence only."""

    name: str
    pattern: re.Pattern[str]
    better: str
    starts: bool = False
    kinds: tuple[Kind, ...] = ("docstring", "comment", "message", "markdown")


def _rule(name: str, pattern: str, better: str, *, starts: bool = False, kinds: Sequence[Kind] | None = None) -> Rule:
    compiled = re.compile(pattern, 0 if starts else re.IGNORECASE)
    if kinds is None:
        return Rule(name=name, pattern=compiled, better=better, starts=starts)
    return Rule(name=name, pattern=compiled, better=better, starts=starts, kinds=tuple(kinds))


_NOT_ASKED = r"\b(?![^\n]*\?$)"
"""After the first word: the sentence is no question."""

RULES = (
    # Sentences that are fragments
    _rule("of", r"Of (a|an|the|what|its|one|two|several|both|all|each|every)\b", "name the thing first", starts=True),
    _rule("what", rf"What{_NOT_ASKED}", "a noun: 'The bytes that ...', 'The outcome of ...'", starts=True),
    _rule("whether", r"Whether\b", "'True if ...', 'Returns True if ...'", starts=True),
    _rule("who", rf"(Who|Whose)(?!:){_NOT_ASKED}", "a noun: 'The peer that ...', 'The caller'", starts=True),
    _rule("how", rf"How (many|much|long|often|large|it|the|a|its){_NOT_ASKED}", "'The number of ...'", starts=True),
    _rule("its", r"Its [\w-]+( [\w-]+)?(\.|,|;|$)", "'The peer's ...', 'The port of ...'", starts=True),
    _rule("as", r"As `", "'Like `x`, ...'", starts=True),
    # Return values
    _rule("; whether", r"; whether\b", "'. Returns True if ...'"),
    # Words that nobody else uses so
    _rule("whoever", r"\b(whoever|whomever|whosever|whosoever)\b", "'the caller', 'the peer', 'code that ...'"),
    _rule("whatever", r"\bwhatever\b(?! (the|its|their|your)\b)", "'everything that ...', 'any ...'"),
    _rule("told", r"\b(is|are|was|were|be|been|being) (not |then |also )?told\b|\b(told|tells?) of\b|\btold to who\b",
          "'reports', 'receives', 'is given', 'notifies'"),
    _rule("so many", r"\bso (many|long|much|few|large)\b(?! that\b)", "'as long as', 'this many', or the number"),
    _rule("let through", r"\blet(s|ting)? ((?!it\b)\w+ |it ){0,3}through\b", "'accept', 'allow', 'tolerate'"),
    _rule("who", r"\b(to|for|by|of|from|with) who\b", "'to the caller that ...'"),
    _rule("manieth", r"\bmanieth\b", "'ordinal', 'index'"),
    _rule("none", r"\b(that|which|or) (is|are|was|were) none\b(?! too\b)", "'not a data set', 'invalid'"),
    _rule("whole", r"\b(is|are|was|were|be|not|yet) whole\b", "'complete'"),
    _rule("anew", r"\banew\b", "'again', 'is cleared'"),
    _rule("but for", r"\bbut for\b", "'except', 'except for'"),
    _rule("come upon", r"\b(comes?|came|coming) upon\b", "'reads', 'meets', 'finds'"),
    _rule("become of", r"\b(became|becomes?) of\b", "'the outcome of', 'what happened to'"),
    _rule("of its", r"\bof its(?=[,.;:)]|$)", "'its request', 'the peer's request'"),
    _rule("said to be", r"\b(is|are|was|were) said( to be)?\b(?! (in|by) \[)", "'reports', 'states', 'is reported as'"),
    _rule("what comes", r"\bwhat (comes|came|has come|is to come)\b", "'received data', 'the next event'"),
    _rule("otherwise", r"\bdo(es)? otherwise\b", "'deviate', 'do not'"),
    _rule("is no", r"(?<!here )\b(is|are|was|were) no (?!(longer|more|less|fewer|faster|slower|need|reason)\b)",
          "'is not a ...', 'has no ...'"),
    _rule("looked at", r"\b(is|are|was|were|be|been|being) looked at\b", "'checked', 'read', 'decoded'"),
    _rule("read over", r"\bread(s|ing)? over\b", "'skips', 'discards'"),
    _rule("as it lies", r"\bas (it|they) (lies?|comes?|came|stands?)\b", "'unchanged', 'in order of arrival'"),
    _rule("say", r"(?<!to )(?<!to it )\bsay\b(?=[,.;)]| for (example|instance))", "'for example'"),
    _rule("somebody", r"\bsomebody\b", "'another caller', 'a peer', 'someone'"),
    _rule("good order", r"\bin good order\b", "'cleanly', 'by a release'"),
    _rule("nothing but", r"\bnothing but\b", "'only'"),
    _rule("for ever", r"\bfor ever\b", "'forever'"),
    # Marks
    _rule("clause mark", r"#\s*PS3\.\d", "'[PS3.8 9.3]'", kinds=("docstring", "message", "markdown")),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words of a file that people read, with the line on which each of their lines stands."""

    kind: Kind
    lines: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One phrase to replace."""

    path: str
    line: int
    rule: str
    said: str
    better: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.said!r} ({self.rule}): write {self.better}"


# -- the texts of a file -----------------------------------------------------------------------------------------------


def python_texts(source: str) -> list[Text]:
    """Docstrings (of fields, too), comments and messages, in no particular order."""
    nodes = list(ast.walk(ast.parse(source)))
    lines = source.split("\n")
    found: list[Text] = []
    docstrings: set[int] = set()
    for node in nodes:
        match node:
            case ast.Expr(value=ast.Constant(value=str()) as string):
                docstrings.add(id(string))
                numbers = range(string.lineno, (string.end_lineno or string.lineno) + 1)
                found.append(Text(kind="docstring", lines=tuple((n, _unquoted(lines[n - 1])) for n in numbers)))
    return found + _messages(nodes, docstrings) + _comments(source)


def _messages(nodes: Iterable[ast.AST], seen: set[int]) -> list[Text]:
    """String literals of several words; the values in an f-string become `{}`."""
    found = []
    for node in nodes:  # an f-string comes before its parts
        match node:
            case ast.JoinedStr(values=parts):
                seen.update(id(part) for part in parts)
                value = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
            case ast.Constant(value=str() as value) if id(node) not in seen:
                pass
            case _:
                continue
        if _is_message(value):
            lines = tuple((node.lineno + index, line) for index, line in enumerate(value.split("\n")))
            found.append(Text(kind="message", lines=lines))
    return found


def _unquoted(line: str) -> str:
    return re.sub(r"^[rR]?\"\"\"|\"\"\"$", "", line.strip())


def _is_message(value: str) -> bool:
    return len(re.findall(r"[A-Za-z]{2,}", value)) >= _SHORTEST_MESSAGE and not re.search(r"^\s*(<|\{|\[)", value)


def _comments(source: str) -> list[Text]:
    """Each run of comments on neighbouring lines is one text; a comment beside code stands alone."""
    found: list[list[tuple[int, str]]] = []
    column = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            said = token.string.lstrip("#!: ")
            alone = not token.line[: token.start[1]].strip()
            follows = bool(found) and found[-1][-1][0] == token.start[0] - 1 and token.start[1] == column
            if alone and follows:
                found[-1].append((token.start[0], said))
            else:
                found.append([(token.start[0], said)])
            column = token.start[1] if alone else -1
    return [Text(kind="comment", lines=tuple(one)) for one in found]


_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def markdown_texts(source: str) -> list[Text]:
    """The prose, one text without code blocks and marks of headings; and the texts of each Python block."""
    found = []
    for block in _PYTHON.finditer(source):
        before = source.count("\n", 0, block.start(1))
        for text in python_texts(block[1]):
            moved = tuple((before + number, line) for number, line in text.lines)
            found.append(Text(kind=text.kind, lines=moved))
    lines, fenced = [], False
    for number, line in enumerate(source.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            line = ""
        shown = "" if fenced or line.startswith("    ") else line
        shown = re.sub(r"\]\([^)]*\)", "]", re.sub(r"<!--.*?-->", "", shown))
        if shown.startswith("#"):  # "What is new" is a good heading
            shown = re.sub(r"^#+ (?=\w)", "...", shown)
        lines.append((number, shown))
    return [*found, Text(kind="markdown", lines=tuple(lines))]


# -- the rules ---------------------------------------------------------------------------------------------------------

_CODE = re.compile(r"``[^`]*``|`[^`]*`")
_START = re.compile(
    r"(?:^|\n\s*\n|\n\s*(?=[-*|] |\d+\. )|[.!?][)\"']* +|[.!?][)\"']*\n\s*|\| +|^\s*[-*] +|\n\s*[-*] +)"
)


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """(offset, words) of each sentence; ends of lines within it become spaces."""
    starts = sorted({found.end() for found in _START.finditer(text)} | {0})
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        words = " ".join(text[start:end].split())
        if words:
            lead = len(text[start:end]) - len(text[start:end].lstrip())
            yield start + lead, words.lstrip("-*| ")


def findings(path: str, texts: Iterable[Text]) -> list[Finding]:
    """Every phrase in these texts that a rule forbids."""
    found = set()
    for text in texts:
        joined = "\n".join(line for _, line in text.lines)
        hidden = _CODE.sub(lambda code: "`" + "_" * (len(code[0]) - 2) + "`", joined)
        numbers = [number for number, _ in text.lines]
        sentences = list(_sentences(hidden))
        spaced = re.sub(r"\s", " ", re.sub(r"(?<=\n) +", lambda pad: " " * len(pad[0]), hidden))
        for rule in RULES:
            if text.kind not in rule.kinds:
                continue
            if rule.starts:
                hits = [(at, one[0]) for at, words in sentences if (one := rule.pattern.match(words))]
            else:
                hits = [(one.start(), one[0]) for one in rule.pattern.finditer(spaced)]
            for at, said in hits:
                line = numbers[hidden.count("\n", 0, at)]
                found.add(
                    Finding(path=path, line=line, rule=rule.name, said=" ".join(said.split()), better=rule.better)
                )
    return sorted(found)


def check(path: Path, name: str) -> list[Finding]:
    """The findings in one file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return findings(name, python_texts(source))
    return [] if GENERATED.match(source) else findings(name, markdown_texts(source))


def allowed(lines: Iterable[str]) -> dict[tuple[str, str], str]:
    """(path, phrase) -> reason. A line is `path: phrase: reason`; one without a reason is an error."""
    found = {}
    for line in _entries(lines):
        path, phrase, reason = (part.strip() for part in (*line.split(":", 2), "", "")[:3])
        if not reason:
            raise ValueError(f"{ALLOWED.name}: {line!r} has no reason; write 'path: phrase: reason'")
        found[path, phrase.lower()] = reason
    return found


def _entries(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if line.strip() and not line.startswith("#"))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        if root.is_dir():
            yield from sorted(
                path
                for path in root.rglob("*")
                if path.suffix in {".py", ".md"} and not any(part.startswith(".") for part in path.parts)
            )
        elif root.is_file():
            yield root


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.english", description="Check the English of the project.")
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; by default the whole project")
    parser.add_argument("--count", action="store_true", help="print the number of findings by folder and by rule")
    options = parser.parse_args(arguments)
    known = allowed(_lines(ALLOWED))
    found, used = [], set()
    for path in _files(options.paths or [CHECKOUT / root for root in ROOTS]):
        full = path.resolve()
        name = str(full.relative_to(CHECKOUT)) if full.is_relative_to(CHECKOUT) else str(path)
        for one in check(path, name) if name not in SELF else []:
            key = (one.path, one.said.lower())
            used.add(key)
            if key not in known:
                found.append(one)
    if options.count:
        _print_counts(found)
        return 0
    if options.paths:
        print(*found, sep="\n", end="\n" if found else "")
        return 1 if found else 0
    complaints = [str(one) for one in found]
    complaints += [
        f"{ALLOWED.name}: {name} does not say {phrase!r} any more: remove the line"
        for name, phrase in sorted(set(known) - used)
    ]
    print(*complaints, sep="\n", end="\n" if complaints else "")
    return 1 if complaints else 0


def _print_counts(found: list[Finding]) -> None:
    for title, counts in (
        ("folder", Counter(str(Path(one.path).parent) for one in found)),
        ("rule", Counter(one.rule for one in found)),
    ):
        print(title)
        for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            print(f"{count:6} {name}")
    print(f"{len(found):6} in all")


if __name__ == "__main__":
    sys.exit(main())
