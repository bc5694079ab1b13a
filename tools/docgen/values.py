"""Pages that list the fields of one class: limits, timers, tolerances."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from dataclasses import is_dataclass

from dicos_proto.limits import DEFAULT_MAX_LENGTH, SMALLEST_MAX_LENGTH, Limits
from dicos_proto.timers import Timeouts, Timer

from . import costs
from .source import CHECKOUT, Place, Source, cell, docstring_after, prose, uses

_GENERATED = "<!-- Made from the source by `make docs`: edit the docstrings. -->\n\n"


def described(module: str, name: str) -> dict[str, str]:
    """Field -> docstring, of one class, in order."""
    source = Source(module, CHECKOUT / f"{module.replace('.', '/')}.py")
    (node,) = [one for one in source.tree.body if isinstance(one, ast.ClassDef) and one.name == name]
    found = {}
    for index, member in enumerate(node.body):
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            found[member.target.id] = docstring_after(node.body, index)
    return found


def _places(places: list[Place]) -> str:
    return ", ".join(f"`{place}`" for place in places) or "nowhere"


def limits() -> str:
    """docs/limits.md"""
    words = described("dicos_proto.limits", "Limits")
    where = uses(frozenset({"limits", "_limits"}), "Limits", tuple(words))
    values = Limits()
    rows = [
        f"| `{name}` | {_number(getattr(values, name))} | {cell(prose(text))} | {_places(where[name])} |"
        for name, text in words.items()
    ]
    return (
        _GENERATED
        + _LIMITS.format(
            rows="\n".join(rows),
            default=_number(DEFAULT_MAX_LENGTH),
            smallest=SMALLEST_MAX_LENGTH,
            peer=Limits().peer_max_length,
        )
        + costs.section()
    )


_LIMITS = """# Limits

Bound the memory and time that a peer can take. Every length, count and depth that a peer supplies is compared with a
field of [`Limits`](reference/limits.md#limits) before anything is allocated or looped over. Pass a `Limits` value to
`Association.requestor` or `Association.acceptor`; it applies to that association.

The place decides what happens beyond a limit:

- **In a PDU or a command set**, it is a fault of the peer: the event is a `ProviderAbort` whose error names the limit
  and both numbers, and an A-ABORT is already queued.
- **In a data set that is read whole** (`attributes`, `collected`), the function that reads it raises `DataSetTooLong`
  or `ValueError`, and the association goes on. A server answers with 0xA700 or 0x0213.
- **In a data set that is decoded, inflated or converted**, the function that does it raises `DataSetError`. The
  association goes on.
- **`parked`**: the request is answered with 0x0213 and its data set is skipped, or the peer has to wait.
- **`received_ahead`, `received_pieces`, `queued`** are high-water marks: the peer or the flow waits.
- **`outgoing_pdu`** limits this side: longer data goes into several PDUs. A Maximum Length below **`peer_max_length`**
  rejects the association.

The first kind, with the header of a PDU:

```python
from dicos_proto import Association, Limits

provider = Association.acceptor(limits=Limits(associate_pdu=1000))
provider.receive_data(bytes.fromhex("01 00 00 00 10 00"))  # the header of an A-ASSOCIATE-RQ of 4096 bytes
error = provider.next_event().error
print(error)
print(error.limit, error.seen, error.allowed)
print(provider.data_to_send()[0].hex(" "))
```

```text
A-ASSOCIATE-RQ too long (limit associate_pdu: 4096 seen, 1000 allowed) [PS3.8 9.3.1]
associate_pdu 4096 1000
07 00 00 00 00 04 00 00 00 00
```

The engine does not wait for the body: the header alone decides. The source in the A-ABORT is the service user, as AA-1
requires, the action of Evt19 in Sta2 ([state machine](state-machine.md#table-9-10)).

The table has the defaults of `Limits()`. The last column names every function that reads the field.

| field | default | bounds, and the attack it stops | read in |
|---|--:|---|---|
{rows}

The Maximum Length [PS3.8 D.1] is not a field: it is negotiated. This side advertises `DEFAULT_MAX_LENGTH`, {default}
bytes, by default, and refuses a longer P-DATA-TF at its header. With `Tolerance.over_max_length`, it refuses only one
that is longer than twice the Maximum Length and longer than 1 MiB. A peer's Maximum Length is 0 (unlimited) or at
least `peer_max_length`, {peer} bytes by default; an association with a smaller one is rejected. `peer_max_length`
itself is at least `SMALLEST_MAX_LENGTH`, {smallest} bytes: less carries no message.
"""


def _number(value: int) -> str:
    return f"{value:,}"


def timers() -> str:
    """docs/timers.md"""
    words = described("dicos_proto.timers", "Timeouts")
    where = uses(frozenset({"timeouts", "_timeouts"}), "Timeouts", tuple(words))
    values = Timeouts()
    rows = [
        f"| `{name}` | {getattr(values, name):g} | {cell(prose(text))} | {_places(where[name])} |"
        for name, text in words.items()
    ]
    phases = ", ".join(f"`{timer.name}`" for timer in Timer)
    return _GENERATED + _TIMERS.format(rows="\n".join(rows), phases=phases)


_TIMERS = """# Timers

Bound every wait for a peer. The engine has no clock: `deadline(now)` returns the next deadline and its reason, and you
pass the time in with `handle_timeout(now)`. Both take seconds on a clock of your choice.

- Call `deadline(now)` before each wait: a timer armed since the last call starts at that `now`.
- Call `handle_timeout(now)` after each wait, before you pass received bytes to the engine, even if the wait ended
  early. The time between the two calls is the peer's, and from it the engine computes the peer's rate
  (`minimum_rate`).

A passed deadline takes effect in `next_event`, after the bytes received before it are parsed: a late clock never loses
bytes that arrived in time.

```python
from dicos_proto import Association, Timeouts

provider = Association.acceptor(timeouts=Timeouts(artim=5.0))
print(provider.deadline(now=100.0))
provider.handle_timeout(now=104.0)  # the wait ended early: no deadline has passed
print(provider.next_event())
provider.handle_timeout(now=105.0)
print(provider.next_event().error)
print(provider.next_event(), provider.wants_close)
```

```text
Deadline(at=105.0, why='ARTIM: waiting for the whole A-ASSOCIATE-RQ')
None
ARTIM: waiting for the whole A-ASSOCIATE-RQ: nothing within 5 s
Closed() True
```

The table has the defaults of `Timeouts()`, in seconds, or in bytes a second for `minimum_rate`; None waits forever. The
last column names every function that reads the field.

| field | default | runs | used in |
|---|--:|---|---|
{rows}

The engine's timers are {phases} (`dicos_proto.timers.Timer`). Only ARTIM comes from the standard [PS3.8 9.1.5]: when
it expires, the connection is closed. When IDLE expires, the engine sends an A-RELEASE-RQ, and the event is `Idle`.
When another one expires, the local user gives up: the engine sends an A-ABORT, source service user, and
`ProviderAbort` carries a `DeadlineExceeded`. `connect` and `write_stall` are for adapters: the engine makes no
connections and does not know when the peer reads.

```python
from dicos_proto import AcceptPolicy, AssociateRequest, negotiate, propose
from dicos_proto.registry import uids

request = AssociateRequest(called_aet="ARCHIVE", calling_aet="SCANNER", contexts=propose([uids.VERIFICATION]))
provider = Association.acceptor(timeouts=Timeouts(idle=20.0))
provider.receive_data(b"".join(Association.requestor(request).data_to_send()))
provider.send(negotiate(provider.next_event(), AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,))))
provider.data_to_send()

provider.next_event()  # None: nothing more has come, so the wait for a request begins
print(provider.deadline(now=0.0))
provider.handle_timeout(now=20.0)
print(provider.next_event())
print(b"".join(provider.data_to_send()).hex(" "), provider.state.name)
print(provider.deadline(now=20.0))
```

```text
Deadline(at=20.0, why='idle: waiting for a request')
Idle(error=DeadlineExceeded('idle: waiting for a request: nothing within 20 s'))
05 00 00 00 00 04 00 00 00 00 Sta7
Deadline(at=50.0, why='release: waiting for the A-RELEASE-RP')
```
"""


def tolerances() -> str:
    """docs/tolerances.md"""
    if importlib.util.find_spec("dicos_proto.tolerance") is None:
        return _GENERATED + "# Tolerances\n\nEvery deviation from the standard is refused.\n"
    module = importlib.import_module("dicos_proto.tolerance")
    words = described("dicos_proto.tolerance", "Tolerance")
    sets = {
        name: [flag for flag in module.CLAUSES if getattr(value, flag)]
        for name, value in vars(module).items()
        if name.isupper() and is_dataclass(value) and type(value).__name__ == "Tolerance"
    }
    rows = []
    for name in module.CLAUSES:
        part = _parts(words[name])
        inside = ", ".join(f"`{one}`" for one, flags in sets.items() if name in flags)
        rows.append(
            f"| `{name}` | {part['Accepts']} | {part['Breaks']} | {part['Sent by']} | {part['Why']} | {inside} |"
        )
    source = Source("dicos_proto.tolerance", CHECKOUT / "dicos_proto/tolerance.py")
    notes = []
    for index, node in enumerate(source.tree.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in sets:
            flags = ", ".join(f"`{flag}`" for flag in sets[node.target.id]) or "no flag"
            said = cell(prose(docstring_after(source.tree.body, index)))
            notes.append(f"| `{node.target.id}` | {said} | {flags} |")
    return _GENERATED + _TOLERANCES.format(rows="\n".join(rows), sets="\n".join(notes), doc=prose(source.doc))


def _parts(text: str) -> dict[str, str]:
    """The parts of a docstring by heading: `Accepts`, `Breaks`, `Sent by`, `Why`, `Default`."""
    text = re.sub(r"^Lets through: ", "Accepts: ", " ".join(text.split())).replace("Who: ", "Sent by: ")
    found = re.split(r"(Accepts|Breaks|Sent by|Why it may be allowed|Default): ", text)
    part = {
        heading.split(" it ")[0]: cell(said.strip()) for heading, said in zip(found[1::2], found[2::2], strict=True)
    }
    return {"Accepts": "", "Breaks": "", "Sent by": "", "Why": "", **part}


_TOLERANCES = """# Tolerances

{doc}

```python
from dicos_proto import AssociateRequest, Association, Tolerance, propose
from dicos_proto.registry import uids

request = AssociateRequest(called_aet="ARCHIVE", calling_aet="SCANNER", contexts=propose([uids.VERIFICATION]))
sent = b"".join(Association.requestor(request).data_to_send())
sent = sent.replace(b"1.2.840.10008.1.1", b"1.2.840.010008.11", 1)  # a component that begins with 0
for tolerance in (Tolerance(), Tolerance(uid_leading_zeros=True)):
    provider = Association.acceptor(tolerance=tolerance)
    provider.receive_data(sent)
    event = provider.next_event()
    print(type(event).__name__, provider.state.name)
    print((event.name, event.detail) if tolerance.uid_leading_zeros else event.error)
print(type(provider.next_event()).__name__, len(provider.terms.deviations))
```

```text
ProviderAbort Sta13
abstract syntax '1.2.840.010008.11' has a component that begins with 0 [PS3.5 9.1]
Deviation Sta2
('uid_leading_zeros', "abstract syntax '1.2.840.010008.11' has a component that begins with 0")
AssociateRequest 1
```

Flows skip these events; `Association.terms.deviations` lists the accepted deviations.

## Flags

| flag | accepts | breaks | sent by | why it may be allowed | in |
|---|---|---|---|---|---|
{rows}

## A peer that is recognized

`AUTOMATIC`, which is `--tolerance auto` of the `dicos` command, is `FIELD` for every peer but one: a peer that is
recognized as Stratovan's toolkit gets what `STRATOVAN` accepts as well, on that association only. It takes all of the
signs and a violation:

- **It asks for an association:** an application context name of DICOS, a context with the extended transfer syntax,
  and its implementation class UID or version name. Its first violation is usually that class UID, or else a joined data
  set or a short A-ABORT.
- **It answers:** an application context name of DICOS, and the Maximum Length, class UID and version name of the
  request, sent back as its own. Its first violation is usually the length of an accepted context.

A peer that only breaks the same rule is refused, by the same name as without it. The event of the violation says which
toolkit it is (`Deviation.recognized`), and so does the log, once for each association. The signs are a value,
`Toolkit`: `STRICT.recognizing(STRATOVAN_TOOLKIT)` is strict with everybody else.

```python
from dicos_proto import AUTOMATIC, STRICT
from dicos_proto.upper_layer.recognition import STRATOVAN_TOOLKIT

print([toolkit.name for toolkit in AUTOMATIC.toolkits])
print(STRICT.recognizing(STRATOVAN_TOOLKIT).names())
```

```text
["Stratovan's toolkit"]
()
```

## Sets

| set | is for | flags |
|---|---|---|
{sets}
"""
