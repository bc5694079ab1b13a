"""docs/state-machine.md: the table of PS3.8 as diagrams and as it is printed, from `upper_layer.machine`."""

from __future__ import annotations

from collections.abc import Iterator

from dicos_proto.upper_layer.machine import ACTIONS, TABLE, Action, Effect, Evt, Role, State, step

from .source import CHECKOUT, Source

_TABLES = {"AE": "9-6", "DT": "9-7", "AR": "9-8", "AA": "9-9"}
_PHASES = {"AE": "Association establishment", "DT": "Data transfer", "AR": "Association release", "AA": "Abort"}
_OTHER_SIDE = {Role.REQUESTOR: {Evt.Evt5}, Role.ACCEPTOR: {Evt.Evt1, Evt.Evt2}}
"""The events that cannot occur for a role: one side opens the connection, the other waits for it."""

Arrow = tuple[State, State, Evt, Action]


def page() -> str:
    """The whole page."""
    source = Source("dicos_proto.upper_layer.machine", CHECKOUT / "dicos_proto/upper_layer/machine.py")
    words = {name: text.replace("|", "\\|") for name, text in _comments(source).items()}
    parts = [_HEAD]
    for phase, title in _PHASES.items():
        parts.append(f"## {title}\n")
        for role in Role:
            parts += [f"### {title}, {role.value}\n", _diagram(phase, role, words)]
    parts += [
        _TABLE_HEAD,
        _printed(),
        _list("States", "PS3.8 tables 9-1 to 9-5", [state.name for state in State], words),
    ]
    parts += [_list("Events", "PS3.8 table 9-10", [event.name for event in Evt], words), _actions(words), _ENGINE]
    return "\n".join(parts)


def _comments(source: Source) -> dict[str, str]:
    """Member of an enumeration -> the comment beside it."""
    lines = source.path.read_text(encoding="utf-8").split("\n")
    return {
        lines[number - 1].split("=")[0].strip(): comment
        for number, comment in source.comments.items()
        if "=" in lines[number - 1].split("#")[0]
    }


def _arrows(role: Role) -> Iterator[Arrow]:
    """Every transition that this role can make, from the states it can be in."""
    reached, waiting = {State.Sta1}, [State.Sta1]
    while waiting:
        state = waiting.pop(0)
        for event in Evt:
            if event in _OTHER_SIDE[role]:
                continue
            for acceptable in (True, False) if (event, state) == (Evt.Evt6, State.Sta2) else (True,):
                found = step(state, event, role, acceptable=acceptable)
                if found is not None:
                    yield state, found[1], event, found[0]
                    if found[1] not in reached:
                        reached.add(found[1])
                        waiting.append(found[1])


def _diagram(phase: str, role: Role, words: dict[str, str]) -> str:
    """One arrow for each pair of states and action. A semicolon would end a statement of Mermaid."""
    labels: dict[tuple[State, State], dict[Action, list[str]]] = {}
    for start, end, event, action in sorted(_arrows(role)):
        if action.value.startswith(phase):
            labels.setdefault((start, end), {}).setdefault(action, []).append(event.name)
    states = sorted({state for pair in labels for state in pair})
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f"    {state.name}: {state.name} {words[state.name].replace(';', ',')}" for state in states]
    for (start, end), actions in labels.items():
        for action, events in actions.items():
            lines.append(f"    {start.name} --> {end.name}: {', '.join(events)} / {action.value}")
    return "\n".join([*lines, "```", ""])


def _printed() -> str:
    lines = ["| | " + " | ".join(state.name for state in State) + " |", "|---|" + "---|" * len(State)]
    for event in Evt:
        cells = []
        for state in State:
            found = TABLE.get((event, state))
            if found is None:
                cells.append("")
            else:
                other = "" if found.otherwise is found.state else f" or {found.otherwise.name}"
                cells.append(f"{found.action.value}<br>{found.state.name}{other}")
        lines.append(f"| **{event.name}** | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _list(title: str, clause: str, names: list[str], words: dict[str, str]) -> str:
    rows = [f"| {name} | {words[name]} |" for name in names]
    return "\n".join([f"## {title}", "", f"[{clause}]", "", "| | |", "|---|---|", *rows, ""])


def _actions(words: dict[str, str]) -> str:
    lines = ["## Actions", "", "The effects of each action, in the order in which the engine carries them out.", ""]
    lines += ["| action | of PS3.8 table | does |", "|---|---|---|"]
    for action, effects in ACTIONS.items():
        table = _TABLES[action.value[:2]]
        said = "; ".join(words.get(effect.name, effect.name.replace("_", " ").lower()) for effect in effects)
        lines.append(f"| {action.value} | {table} | {said.replace('artim', 'ARTIM')} |")
    return "\n".join(
        [*lines, "", f"`{Effect.__name__}` in `dicos_proto.upper_layer.machine` has one member for each of these.", ""]
    )


_HEAD = """<!-- Made from the source by `make docs`: edit dicos_proto/upper_layer/machine.py. -->

# State machine

Look up what the protocol does in each state. The upper layer protocol machine of PS3.8 9.2 is data in
`dicos_proto.upper_layer.machine`, which shows table 9-10 as the standard prints it; `step` looks up a cell. The
diagrams below are made from the same table, one for each phase and role, with the states of that role. The label of
an arrow is `event / action`; the definitions follow the table.

```python
from dicos_proto.upper_layer.machine import ACTIONS, Evt, Role, State, step

action, state = step(State.Sta7, Evt.Evt12, Role.REQUESTOR)  # both sides ask for release
print(action.value, state.name)
print([effect.name for effect in ACTIONS[action]])
print(step(State.Sta1, Evt.Evt9, Role.REQUESTOR))  # a blank cell
```

```text
AR-8 Sta9
['INDICATE']
None
```
"""
_TABLE_HEAD = """## Table 9-10

Rows are events, columns are states; a blank cell is an event that cannot occur in that state. Two cells have a
choice: AE-6 goes to Sta3 if the service provider can accept the request, else to Sta13 with an A-ASSOCIATE-RJ; AR-8
goes to Sta9 on the side of the association requestor, to Sta10 on the other.
"""
_ENGINE = """## The engine and the table

- `upper_layer.core.Core` carries out the effects in their order; `Association` and `UpperLayer` each hold one.
  CONNECT, ANSWER_TRANSPORT and CLOSE belong to the adapter: you
  create a requestor when its connection is open or about to open, so Evt1 and Evt2 come together; CLOSE is
  `wants_close`.
- The engine acts on an unexpected PDU (AA-1, AA-6, AA-7, AA-8) at its header, and skips its body.
- A local primitive in a blank cell raises `LocalProtocolError`, and changes nothing.
- `Association.state` is the state as of the last event returned.
"""
