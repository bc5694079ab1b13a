"""The results: counted, and compared with the listed survivors and with the table of docs/mutation.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from .finder import Mutant
from .processes import KILLED, SURVIVED, TIMED_OUT
from .subjects import MODULES, ROOT

SURVIVORS = ROOT / "tools" / "mutation-survivors.txt"
DOCUMENT = ROOT / "docs" / "mutation.md"
RESULTS = ROOT / "build" / "mutation.txt"


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


def faults(found: set[str], known: set[str], results: dict[str, str]) -> Iterator[str]:
    """Where the survivors differ from the listed ones. `found`: the names of all mutants, run or not."""
    for name, result in results.items():
        if result == SURVIVED and name not in known:
            yield f"survives and is not listed: {name}"
    for name in sorted(known - found):
        yield f"listed and not a mutant any more: {name}"
    for name in sorted(known):
        if results.get(name, SURVIVED) != SURVIVED:
            yield f"listed and does not survive: {name}"


def outdated(mutants: Sequence[Mutant], results: dict[str, str]) -> Iterator[str]:
    """Where the table of docs/mutation.md has other numbers than a run of all mutants."""
    rows = documented()
    for name, row in counted(mutants, results).items():
        if rows.get(name) != row:
            yield f"{DOCUMENT.relative_to(ROOT)} has other numbers for {name}"
