"""Frames are encoded and decoded in threads, in their order, none is lost, and few wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dicos_proto.dicos.codecs import FrameLayout
from dicos_transports.files.coding import FrameCoder, coded

SMALL = FrameLayout(rows=2, columns=2, bits_allocated=16, bits_stored=16)


@dataclass
class Work:
    """A frame whose work may wait for an event."""

    number: int
    after: threading.Event | None = None
    layout: FrameLayout = SMALL

    def run(self) -> tuple[bytes, ...]:
        if self.after is not None:
            assert self.after.wait(60)
        return (b"[%d]" % self.number,)


def joined(items: Any, threads: int) -> bytes:
    return b"".join(bytes(one) for one in coded(items, threads=threads))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("frames", range(10))
def test_all_frames_come_out_in_order(threads: int, frames: int) -> None:
    items: list[Any] = [b"head", *(Work(number) for number in range(frames)), b"tail"]
    assert joined(items, threads) == b"head" + b"".join(b"[%d]" % number for number in range(frames)) + b"tail"


def test_bytes_between_frames_keep_their_place() -> None:
    items: list[Any] = [Work(0), b"a", Work(1), b"b", b"c", Work(2)]
    assert joined(items, 2) == b"[0]a[1]bc[2]"


def test_a_slow_frame_holds_up_only_what_follows_it() -> None:
    slow = threading.Event()
    taken: list[int] = []

    def items() -> Iterator[Any]:
        for number in range(40):
            taken.append(number)
            yield Work(number, slow if number == 0 else None)

    with FrameCoder(2) as coder:
        made = coder.put(items())
        thread = threading.Thread(target=lambda: [slow.wait(0.2), slow.set()])
        thread.start()
        found = [bytes(one) for one in made] + [bytes(one) for one in coder.drain()]
        thread.join()
    assert found == [b"[%d]" % number for number in range(40)]


@pytest.mark.parametrize(("rows", "most"), [(1000, 25), (8000, 3), (15_000, 2)])
def test_fewer_large_frames_wait(rows: int, most: int) -> None:
    """In 8 threads 24 may wait, but of 128 MB two, and of 450 MB one."""
    slow = threading.Event()
    taken: list[int] = []
    large = FrameLayout(rows=rows, columns=rows, bits_allocated=16, bits_stored=16)

    def items() -> Iterator[Any]:
        for number in range(30):
            taken.append(number)
            yield Work(number, slow, large)

    with FrameCoder(8) as coder:
        made: list[bytes] = []
        thread = threading.Thread(target=lambda: made.extend(map(bytes, coder.put(items()))))
        thread.start()
        until = time.monotonic() + 60
        while len(taken) < most and time.monotonic() < until:
            time.sleep(0.005)
        thread.join(0.1)
        assert len(taken) == most
        slow.set()
        thread.join()
        made += map(bytes, coder.drain())
    assert made == [b"[%d]" % number for number in range(30)]


def test_what_a_frame_raises_is_raised() -> None:
    class Broken(Work):
        def run(self) -> tuple[bytes, ...]:
            raise ValueError("frame 3")

    with pytest.raises(ValueError, match="frame 3"):
        joined([Work(1), Work(2), Broken(3), Work(4)], 2)


def test_at_least_one_thread() -> None:
    with pytest.raises(ValueError, match="0 threads"):
        FrameCoder(0)
