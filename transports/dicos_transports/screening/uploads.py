"""The places of uploads, some of them for each address, and the pace that an upload must keep.

Knows: addresses, seconds. Must not know: HTTP, scans. Invariant: one address never has all places, and none that does
not send keeps its place for longer than `START` seconds.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeVar

from ..sessions.offloading import in_trio

__all__ = ["EACH", "PLACES", "NoPlace", "Pace", "Places", "TooSlow"]

T = TypeVar("T")

PLACES: Final = 32
"""Most uploads at a time. Stops: clients that take all descriptors."""
EACH: Final = 8
"""Most uploads at a time from one address. Stops: one client that takes all places."""
START: Final = 10.0
"""Seconds that an upload may take whatever its rate. Stops: uploads that stall and keep their places."""
SLOWEST: Final = 64 * 1024
"""Bytes that an upload must send in each further second, on average."""
_NETWORK: Final = 64
"""Bits of an IPv6 address that count: one host may have all the others."""


class NoPlace(Exception):
    """All places are taken. The text says whose."""


class TooSlow(Exception):
    """An upload that does not keep its pace."""


class Places:
    """The places of uploads."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """A place for the client at this address, for as long as the block lasts. Raises `NoPlace`."""
        address = _group(client)
        if self._taken.total() >= PLACES:
            raise NoPlace(f"{PLACES} uploads are running; try again")
        if self._taken[address] >= EACH:
            raise NoPlace(f"{EACH} uploads from this address are running; try again")
        self._taken[address] += 1
        try:
            yield
        finally:
            self._taken[address] -= 1
            if not self._taken[address]:
                del self._taken[address]


def _group(client: str) -> str:
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if address.version == 6:
        return str(ipaddress.ip_network((int(address), _NETWORK), strict=False))
    return client


class Pace:
    """The pace of one upload, which begins now."""

    def __init__(self) -> None:
        self._begun = monotonic()
        self._bytes = 0

    def came(self, size: int) -> None:
        """This number of bytes has come."""
        self._bytes += size

    async def keep(self, receive: Callable[[], Awaitable[T]]) -> T:
        """Waits for the next piece for as long as the pace allows. Raises `TooSlow`."""
        left = max(0.0, self._begun + START + self._bytes / SLOWEST - monotonic())
        if in_trio():
            import trio

            with trio.move_on_after(left):
                return await receive()
            raise TooSlow
        import asyncio

        try:
            async with asyncio.timeout(left):
                return await receive()
        except TimeoutError:
            raise TooSlow from None
