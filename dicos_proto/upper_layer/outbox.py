"""The bytes that wait to be sent: ready buffers, and runs of bytes that are cut into P-DATA-TF as they are taken.

Knows: the layout of a P-DATA-TF of one PDV, and what a buffer costs beside its bytes. Must not know: states, messages.

Invariants: PDUs are taken complete, in the order in which they were put; `Outbox.queued` is the number of bytes that
all of them have on the wire. Memory is in proportion to these bytes for any Maximum Length of the peer: a run is kept
by reference until it is taken, the memory that one take adds is bounded, and many small buffers are joined.
"""

from __future__ import annotations

import struct
from typing import final

from ..limits import OBJECT_COST
from ..wire import Buffer
from .pdu_types import PduType

P_DATA_HEAD = struct.Struct(">BxLLBB")
"""A P-DATA-TF header and its one PDV's: type, PDU length, PDV length, context, control header."""
HEAD_SIZE = P_DATA_HEAD.size
_P_DATA_TF = PduType.P_DATA_TF.value
_LAST_BIT = 2  # PS3.8 E.2

SMALL = 1024
"""Buffers below this many bytes are joined where they crowd; a run shorter than this is cut at once."""
CROWD = 512
"""Buffers that may wait before the small ones among them are joined."""
INTERLEAVED_BELOW = 256
"""Fragments below this many bytes are joined with their headers, column by column; a view and two list slots for each
would cost more than its bytes."""


@final
class Run:
    """Bytes to be sent as more than one P-DATA-TF, on one context: `fragment` bytes each, the rest in the last one."""

    __slots__ = ("_at", "_context", "_fragment", "_full", "_head", "_kind", "_view", "size")

    def __init__(self, context: int, kind: int, data: Buffer, fragment: int, *, last: bool) -> None:
        """`kind`: the message control header, without the bit for the last fragment; `last`: the end of `data` gets
        that bit. `data` is longer than `fragment`."""
        self._view = memoryview(data)
        self._fragment = fragment
        self._full = (len(data) - 1) // fragment  # the PDUs before the last one
        self._at = 0
        self._context = context
        self._kind = kind | _LAST_BIT if last else kind
        self._head = P_DATA_HEAD.pack(_P_DATA_TF, fragment + 6, fragment + 2, context, kind)
        self.size = len(data) + HEAD_SIZE * (self._full + 1)
        """Bytes on the wire that are not yet cut."""

    def cut(self, taken: list[bytes | memoryview], room: int) -> None:
        """Append PDUs: at least one, and no more once they have filled `room` bytes, what the objects cost included."""
        fragment, view, at = self._fragment, self._view, self._at
        each = fragment + HEAD_SIZE
        if self._full:
            if fragment < INTERLEAVED_BELOW:
                count = min(self._full, room // each + 1)
                room -= count * each
                taken.append(_interleave(self._head, bytes(view[at : at + count * fragment]), fragment))
            else:
                count = min(self._full, room // (each + OBJECT_COST) + 1)
                room -= count * (each + OBJECT_COST)
                head = self._head
                for start in range(at, at + count * fragment, fragment):
                    taken.append(head)
                    taken.append(view[start : start + fragment])
            self._full -= count
            self._at = at = at + count * fragment
            self.size -= count * each
            if room <= 0 or self._full:
                return
        rest = len(view) - at
        taken.append(P_DATA_HEAD.pack(_P_DATA_TF, rest + 6, rest + 2, self._context, self._kind))
        taken.append(view[at:])
        self.size = 0


def _interleave(head: bytes, data: bytes, fragment: int) -> memoryview:
    """Each `fragment` bytes of `data` with `head` before them, by one assignment for each column of the result."""
    count = len(data) // fragment
    step = fragment + HEAD_SIZE
    out = bytearray(count * step)
    for index, value in enumerate(head):
        out[index::step] = bytes((value,)) * count
    for index in range(fragment):
        out[HEAD_SIZE + index :: step] = data[index::fragment]
    return memoryview(out)


Outgoing = bytes | memoryview | Run


class Outbox:
    """The bytes of one association that wait to be sent."""

    __slots__ = ("_buffers", "_crowd", "_most", "queued", "runs")

    def __init__(self, most: int) -> None:
        """`most`: about how many bytes of runs are cut for one `take`."""
        self._most = most
        self._buffers: list[Outgoing] = []
        self._crowd = CROWD
        self.queued = 0
        """Bytes on the wire that wait to be taken. Only this object changes it."""
        self.runs = 0
        """Runs among them, which may be more than one `take`. Only this object changes it."""

    def add(self, buffers: list[Outgoing], size: int) -> None:
        """Put whole PDUs, `size` bytes in all; if one of the buffers is a `Run`, it is the last."""
        mine = self._buffers
        mine += buffers
        self.queued += size
        if size > SMALL and type(buffers[-1]) is Run:  # none is smaller
            self.runs += 1
        if len(mine) > self._crowd:
            self._join()

    def take(self) -> list[bytes | memoryview]:
        """Takes everything that waits, or about `most` bytes of it if there are runs. Returns an empty list if nothing
        is left."""
        if not self.runs:
            # Without a run there are only buffers.
            taken: list[bytes | memoryview] = self._buffers  # type: ignore[assignment]
            self._buffers = []
            self.queued = 0
            return taken
        taken = []
        size = done = 0
        for one in self._buffers:
            if isinstance(one, Run):
                before = one.size
                one.cut(taken, max(self._most - size, 0))
                size += before - one.size
                if one.size:
                    break
                self.runs -= 1
            else:
                taken.append(one)
                size += len(one)
            done += 1
            if size >= self._most:
                break
        del self._buffers[:done]
        self.queued -= size
        return taken

    def drop_runs(self) -> None:
        """Discards the first run and all that follows it. There has to be a run.

        Only complete PDUs remain, and no message with a gap that looks complete."""
        at = size = 0
        while not isinstance(one := self._buffers[at], Run):
            size += len(one)
            at += 1
        del self._buffers[at:]
        self.queued = size
        self.runs = 0

    def _join(self) -> None:
        """Small buffers cost more than their bytes: join those that follow each other."""
        joined: list[Outgoing] = []
        small: list[bytes | memoryview] = []
        for one in self._buffers:
            if not isinstance(one, Run) and len(one) < SMALL:
                small.append(one)
                continue
            if small:
                joined.append(b"".join(small))
                small.clear()
            joined.append(one)
        if small:
            joined.append(b"".join(small))
        self._buffers = joined
        self._crowd = max(CROWD, 2 * len(joined))
