"""The bounds of costs: memory by the limits in docs/limits.md, work by the number of bytes.

Work is counted in steps: the functions called if the engine is alone, else processor time divided by that of a step on
this machine at the moment.
"""

from __future__ import annotations

import struct
import time
from typing import Final

from dicos_proto.limits import Limits
from dicos_transports.serving.admission import most_bytes
from tests.cost.contents import DEFLATED, Content
from tests.cost.inputs import Input
from tests.cost.measuring import Cost, Entry

KIB, MIB = 1 << 10, 1 << 20
LIMITS: Final = Limits()
EACH: Final = most_bytes(LIMITS)
"""Most bytes that an association may hold."""
WAITING: Final = 320 * KIB
"""Bytes that a silent connection holds: a thread or a task, an association, a buffer."""
A_BYTE: Final = 16
"""Bytes of memory for each byte on the wire outside decoded data sets."""
ALLOCATOR: Final = 12 * MIB
"""Bytes of a process beyond Python's objects: partly used pages, stacks of threads, code."""
WHOLE: Final = 5
"""Bytes for each byte of a data set passed whole to a function: as received, as bytes, as a file, in pydicom."""
ELEMENT, ITEM, VALUE = 500, 1600, 450
"""Most bytes of each when pydicom has decoded it."""


def _inside(wire: int, content: Content, most: int) -> int:
    """Return the bytes of a data set from its bytes on the wire."""
    if content.syntax == DEFLATED:
        return min(most, max(LIMITS.inflate_ratio * wire, MIB))
    return min(most, wire)


def _made(wire: int, content: Content, *, of_object: bool) -> tuple[int, int, int]:
    """Return the most elements, items and values that a data set can have."""
    prefix = "object_" if of_object else ""
    inside = _inside(wire, content, LIMITS.collected if of_object else LIMITS.attributes)
    elements = items = inside // 8
    if content.syntax == DEFLATED:
        elements = items = min(items, LIMITS.inflate_unjudged_elements + LIMITS.inflate_elements * wire)
    elements, items, values = (
        min(made, getattr(LIMITS, prefix + name))
        for made, name in ((elements, "elements"), (items, "items"), (inside, "values"))
    )
    few = 100
    return (
        elements if content.made_of in ("elements", "items") else few,
        items if content.made_of == "items" else few,
        values if content.made_of == "values" else few,
    )


def decoded(wire: int, content: Content, *, of_object: bool) -> int:
    """Return the most bytes of a data set, with this size on the wire, when decoded and read."""
    elements, items, values = _made(wire, content, of_object=of_object)
    long = _inside(wire, content, LIMITS.collected if of_object else LIMITS.attributes)
    return ELEMENT * elements + ITEM * items + VALUE * values + WHOLE * long


def most_decoded(limits: Limits, *, of_object: bool) -> tuple[int, int]:
    """Return the most that the largest may take: for objects made of its parts, and for bytes."""
    prefix = "object_" if of_object else ""
    elements, items, values = (getattr(limits, prefix + name) for name in ("elements", "items", "values"))
    return (
        ELEMENT * elements + ITEM * items + VALUE * values,
        WHOLE * (limits.collected if of_object else limits.attributes),
    )


def memory(entry: Entry, given: Input, cost: Cost, size: int) -> int:
    """Return the most resident bytes of a process above idle. `size`: the requested size."""
    allowed = min(given.connections * EACH, given.connections * WAITING + A_BYTE * cost.size) + ALLOCATOR
    if given.content is not None and decodes(entry):
        allowed += decoded(cost.size // given.connections, given.content, of_object=given.operation != "find")
    if given.asked_for:
        allowed += 2 * size  # the sent data is in its memory
    return allowed


def decodes(entry: Entry) -> bool:
    return entry.name.startswith(("Application", "connect", "findscu", "datasets"))


# -- work ------------------------------------------------------------------------------------------------------------

CALLS_A_BYTE: Final = 4
CALLS_OF_CHECKING: Final = 8
CALLS_OF_DECODING: Final = 28
"""Steps for each byte of an element, an item or a value; a header has eight bytes."""
CALLS_A_PIECE: Final = 50
"""Steps for each byte if bytes are received one by one."""
CALLS_AT_ALL: Final = 20_000
STEPS_A_BYTE: Final = 40
STEPS_OF_DECODING: Final = 150
STEPS_A_CONNECTION: Final = 150_000
"""Steps of a TLS handshake."""
STEPS_AT_ALL: Final = 3_000_000


def weight(size: int, content: Content | None, *, messages: int = 1, each: int = 8) -> int:
    """Return the bytes that bound the work: those on the wire, and `each` for their inflated content."""
    if content is None or content.syntax != DEFLATED:
        return size
    return size + each * (LIMITS.inflate_unjudged_elements * messages + LIMITS.inflate_elements * size)


def a_step() -> float:
    """Return the seconds of processor time for one function call on this machine now."""
    unpack, buffer, found = struct.Struct("<HH").unpack_from, bytes(4), {}
    best = 1.0
    for _ in range(3):
        begun = time.thread_time()
        for number in range(20_000):
            found[number & 63] = unpack(buffer, 0)
        best = min(best, (time.thread_time() - begun) / 20_000)
    return best


def seconds(entry: Entry, given: Input, cost: Cost) -> float:
    """Return the most seconds of processor time of a process, on this machine now."""
    content = given.content
    decoding = content is not None and decodes(entry)
    messages = max(1, cost.size // 1500) if given.name.endswith("again") else 1
    bytes_ = weight(cost.size, content, messages=messages, each=8 if decoding else 2)
    steps = STEPS_OF_DECODING if decoding else STEPS_A_BYTE
    return a_step() * (steps * bytes_ + STEPS_A_CONNECTION * given.connections + STEPS_AT_ALL)


def exceeded(entry: Entry, given: Input, cost: Cost, size: int) -> list[str]:
    """Return what a process took too much of, or an empty text."""
    found = []
    most = memory(entry, given, cost, size)
    if cost.memory > most:
        found.append(f"{entry.name}: {given.name}: {cost.memory:,} bytes of memory for {cost.size:,}; {most:,} allowed")
    time_allowed = seconds(entry, given, cost)
    if cost.cpu > time_allowed:
        found.append(
            f"{entry.name}: {given.name}: {cost.cpu:.2f} s for {cost.size:,} bytes; {time_allowed:.2f} allowed"
        )
    return found


TRIED: Final = {
    "user": (
        "half requests", "C-STORE, items", "C-STORE, elements", "C-STORE, names", "C-STORE, deflated items",
        "C-STORE, deflated short, again", "C-FIND, items", "C-FIND as an image", "N-SET of an image", "PDVs of 1",
        "unfinished", "tags in commands", "C-ECHO flood, unread", "C-CANCEL flood", "Maximum Length 8",
        "Maximum Length 512", "Maximum Length 512, unread", "Maximum Length 0, unread", "idle",
    ),
    "provider": (
        "unknown items", "FIND, pending", "FIND, matches", "FIND, items", "FIND, deflated items", "GET, PDVs of 1",
        "GET, many, unread", "requests, unread", "STORE, Maximum Length 8", "STORE, Maximum Length 512",
        "STORE, Maximum Length 512, unread", "MOVE, pending",
    ),
    "http": ("fields", "requests, unread", "half requests"),
}  # fmt: skip
"""Inputs that the tests measure; `make cost` measures all."""
