"""A process that carries 1 GiB through the engine and holds itself to a ceiling; `test_memory` runs it.

`python -m tests.association.memory_child pair 16384`: from one association to another that takes PDUs of this
Maximum Length.
`python -m tests.association.memory_child pdv`: to one association, as one PDV in one PDU, its headers written by hand.
`python -m tests.association.memory_child hold`: the same, and what arrives is kept: the ceiling does not let it.

It prints what arrived and by how much its peak grew. The ceiling is also the system's: what asks for more address
space than that gets a MemoryError.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
import zlib
from collections.abc import Iterator
from hashlib import shake_128
from pathlib import Path

from dicos_proto.dimse.events import Event, MessageData
from dicos_proto.dimse.types import CStoreRequest
from tests.pair import CT, Lone, Pair, command, data, policy, start

CEILING = 64 << 20
TOTAL = 1 << 30
BLOCK = shake_128(b"a data set").digest(1 << 20)
STORE = CStoreRequest(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def memory(name: str) -> int:
    """VmSize or VmHWM of this process, in bytes."""
    return memory_of("self", name)


def memory_of(process: int | str, name: str) -> int:
    """The same of any process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


class Sink:
    """Counts and sums up what arrives; keeps none of it unless told to."""

    def __init__(self, kept: list[bytes] | None = None) -> None:
        self._kept = kept
        self.size = self.checksum = self.pieces = self.longest = self.complete = 0

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, MessageData):
                assert not self.complete
                self.size += len(event.data)
                self.checksum = zlib.crc32(event.data, self.checksum)
                self.pieces += 1
                self.longest = max(self.longest, len(event.data))
                self.complete += event.last
                if self._kept is not None:
                    self._kept.append(bytes(event.data))


def through_a_pair(max_length: int, sink: Sink) -> None:
    pair = Pair.established(answer=policy(max_length=max_length), record=False)
    pair.user.send(start(3, STORE, has_data=True))
    for index in range(TOTAL // len(BLOCK)):
        pair.user.send(data(3, BLOCK, last=index + 1 == TOTAL // len(BLOCK)))
        sink.take(pair.events(pair.provider))


def one_pdv(sink: Sink) -> None:
    lone = Lone.provider(answer=policy(max_length=0))
    sink.take(lone.feed(command(3, STORE, has_data=True)))
    for chunk in _stream():
        sink.take(lone.feed(chunk))


def _stream() -> Iterator[bytes]:
    yield struct.pack(">BxLLBB", 4, TOTAL + 6, TOTAL + 2, 3, 2)
    for _ in range(TOTAL // len(BLOCK)):
        yield BLOCK


def main() -> None:
    mode, *numbers = sys.argv[1:]
    before = memory("VmHWM")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + CEILING, hard))
    sink = Sink([] if mode == "hold" else None)
    if mode == "pair":
        through_a_pair(int(numbers[0]), sink)
    else:
        one_pdv(sink)
    expected = 0
    for _ in range(TOTAL // len(BLOCK)):
        expected = zlib.crc32(BLOCK, expected)
    seen = {name: value for name, value in vars(sink).items() if name != "_kept"}
    print(json.dumps({**seen, "expected": expected, "grown": memory("VmHWM") - before}))


if __name__ == "__main__":
    main()
