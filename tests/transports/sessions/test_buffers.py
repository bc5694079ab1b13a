"""Memory is never reused while a caller still has a view of it; a write of many buffers writes all of them."""

import socket
import threading
from collections.abc import Callable
from random import Random

import pytest

from dicos_proto.conversation.flows import Need
from dicos_proto.timers import Deadline, Timeouts
from dicos_proto.wire import Buffer
from dicos_transports.buffers import Buffers
from dicos_transports.sessions.channel import IOV_MAX, JOINED, Channel

SIZE = 4096


def use(buffers: Buffers, seed: int, faults: list[str]) -> None:
    """Fill buffers, keep some views of them for a while, and look whether these stay as they were."""
    random = Random(seed)
    kept: list[tuple[memoryview, bytes]] = []
    for _ in range(1000):
        buffer = buffers.free()
        if len(buffer) != SIZE:
            faults.append(f"{len(buffer)} bytes")
        view = buffer[: random.randint(1, SIZE)]
        content = random.randbytes(len(view))
        view[:] = content
        at = random.randrange(len(view))
        kept += [(view, content), (view[at:], content[at:])]
        del buffer, view
        while len(kept) > random.randrange(12):
            left, was = kept.pop(random.randrange(len(kept)))
            if left != was:
                faults.append("changed while it was kept")
            del left


@pytest.mark.parametrize("kept", [0, 1, 3, 20])
def test_views_that_are_kept_stay_as_they_are_in_every_thread(kept: int) -> None:
    buffers = Buffers(SIZE, kept)
    faults: list[str] = []
    threads = [threading.Thread(target=use, args=(buffers, seed, faults)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_view_in_another_thread_keeps_its_buffer() -> None:
    buffers = Buffers(SIZE, 3)
    first = buffers.free()
    taken: list[memoryview] = []
    thread = threading.Thread(target=lambda: taken.append(buffers.free()))
    thread.start()
    thread.join()
    second = buffers.free()
    used = {id(view.obj) for view in (first, second, taken[0])}
    assert len(used) == 3
    first.release()
    third = buffers.free()
    assert id(third.obj) in used
    assert third.obj is not second.obj


def test_threads_that_wait_hold_no_buffer() -> None:
    """A thousand associations that were busy once share what one of them needs."""
    buffers = Buffers(SIZE, 3)
    used: set[int] = set()
    keep: list[object] = []

    def work() -> None:
        view = buffers.free()
        used.add(id(view.obj))
        keep.append(view.obj)

    for _ in range(50):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(used) == 1


class Source:
    """A wire that sends what it is given."""

    wants_read = True
    wants_close = False

    def __init__(self) -> None:
        self.queue: list[bytes | memoryview] = []

    @property
    def bytes_queued(self) -> int:
        return sum(map(len, self.queue))

    def receive_data(self, data: Buffer) -> None:
        raise NotImplementedError

    def receive_eof(self) -> None:
        raise NotImplementedError

    def data_to_send(self) -> list[bytes | memoryview]:
        taken, self.queue = self.queue, []
        return taken

    def deadline(self, now: float) -> Deadline | None:
        return None

    def handle_timeout(self, now: float) -> None: ...


KINDS: tuple[Callable[[bytes], bytes | memoryview], ...] = (bytes, memoryview, lambda data: memoryview(bytearray(data)))
SHAPES = {
    "tiny": ((1, 2, 12), 3000),
    "small": ((0, 12, 100, 2000), 50),
    "large": ((12, 70_000), 4),
    "around what is joined": ((JOINED - 12, 12), 2),
    "beyond what is joined": ((JOINED, 1), 2),
    "more than one write takes": ((100,), 2 * IOV_MAX + 1),
}


@pytest.mark.parametrize("room", [2048, 16_384, 1 << 20])
@pytest.mark.parametrize(("sizes", "most"), SHAPES.values(), ids=SHAPES)
def test_all_that_is_queued_arrives_in_order_however_little_is_taken_at_a_time(
    sizes: tuple[int, ...], most: int, room: int
) -> None:
    random = Random(room)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        theirs.setblocking(False)
        wire = Source()
        channel = Channel(ours, wire, Timeouts())
        sent, arrived = bytearray(), bytearray()
        left = 12
        while left or wire.queue or channel.writing:
            if left:
                left -= 1
                for number in range(random.randint(1, most)):
                    content = random.randbytes(sizes[number % len(sizes)])
                    sent += content
                    wire.queue.append(random.choice(KINDS)(content))
            if random.random() < 0.5:
                channel.flush()
            else:
                channel.begin(Need.DRAIN)
            while random.random() < 0.7:
                try:
                    arrived += theirs.recv(random.choice((100, 5000, 100_000)))
                except BlockingIOError:
                    break
        assert channel.bytes_sent == len(sent)
        while len(arrived) < len(sent):
            arrived += theirs.recv(1 << 20)
        assert arrived == sent
