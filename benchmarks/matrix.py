"""The measured rows, in groups: each row has two ends, and the objects that one sends to the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["raw", "ours", "dcmtk", "pynetdicom"]
KINDS: Final[tuple[Kind, ...]] = ("raw", "ours", "dcmtk", "pynetdicom")
TITLES: Final = {"raw": "bare sockets", "ours": "dicos-proto", "dcmtk": "DCMTK", "pynetdicom": "pynetdicom"}
LATE: Final = 0.005
"""The delay of answers in the group *late*, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table. `count`: objects of `size`, or C-ECHOs. `nagle`: DCMTK as installed, without TCP_NODELAY=1.

    `full`: True for a row that only the full matrix has.
    """

    group: str
    client: Kind
    server: Kind
    size: str
    count: int
    window: int = 1
    pdu: int = 131_072
    disk: bool = False
    tls: bool = False
    associations: int = 1
    loop: bool = False
    nagle: bool = False
    late: float = 0.0
    full: bool = False

    @property
    def name(self) -> str:
        """The unique name of the row."""
        parts = [self.group, self.size, self.client if self.client == self.server else f"{self.client}-{self.server}"]
        for told, what in (
            (self.window > 1, f"w{self.window}"), (self.pdu != 131_072, f"{self.pdu >> 10}k"), (self.disk, "disk"),
            (self.tls, "tls"), (self.associations > 1, f"a{self.associations}"), (self.loop, "loop"),
            (self.nagle, "nagle"), (self.late > 0, "late"),
        ):  # fmt: skip
            if told:
                parts.append(what)
        return "/".join(parts)

    @property
    def title(self) -> str:
        ends = TITLES[self.client] if self.client == self.server else f"{TITLES[self.client]} -> {TITLES[self.server]}"
        told = [
            f"window {self.window}" if self.window > 1 or (self.client == "ours" and self.size in SMALL) else "",
            f"PDUs of {self.pdu >> 10} KiB" if self.pdu != 131_072 or self.group == "pdu" else "",
            f"{self.associations} at once" if self.group == "associations" else "",
            "server in one trio loop" if self.loop else "",
            "Nagle" if self.nagle else "",
        ]
        return ", ".join([ends, *(one for one in told if one)])

    @property
    def unit(self) -> str:
        """The unit of rates."""
        return "/s" if self.size in SMALL else "MB/s"

    @property
    def start(self) -> tuple[object, ...]:
        """The properties that start-up depends on: rows with the same ones share the run that measures it."""
        return (self.client, self.server, self.tls, self.associations, self.loop, self.nagle, self.late,
                self.size == "echo")  # fmt: skip


SMALL: Final = ("1k", "4k", "32k", "echo")
GROUPS: Final = {
    "sink": "Objects to a sink, one association, by size",
    "pdu": "300 MB to a sink, by PDU size",
    "disk": "Files from disk to files on disk",
    "tls": "The same to a sink, over TLS",
    "associations": "Objects of 1 kB over many associations at once",
    "nagle": "Objects of 1 kB, with peers that use Nagle's algorithm",
    "late": "Objects of 1 kB, to a peer whose answers come 5 ms late",
    "echo": "C-ECHO, one after another",
}


def rows(*, full: bool) -> list[Row]:
    """All rows, or those of the usual matrix."""
    return [row for row in _rows() if full or not row.full]


def _rows() -> Iterator[Row]:
    for size, count, slow, later in (
        ("1k", 6000, 3000, False), ("4k", 6000, 3000, True), ("32k", 3000, 1500, True),
    ):  # fmt: skip
        yield Row(group="sink", size=size, count=count, client="raw", server="raw", full=later)
        for window, times in ((1, 1), (8, 2), (32, 3)):
            extra = later or window == 8
            yield Row(group="sink", size=size, count=count * times, client="ours", server="ours", window=window,
                      full=extra)  # fmt: skip
        yield Row(group="sink", size=size, count=slow, client="dcmtk", server="dcmtk", full=later)
        yield Row(group="sink", size=size, count=40, client="pynetdicom", server="pynetdicom", full=later)
    for size, many, few in (("500k", 600, 40), ("300m", 1, 1), ("2g", 1, 1)):
        later = size == "2g"
        yield Row(group="sink", size=size, count=many, client="raw", server="raw", full=later)
        yield Row(group="sink", size=size, count=many, client="ours", server="ours", full=later)
        if size == "500k":
            yield Row(group="sink", size=size, count=many, client="ours", server="ours", window=32, full=True)
        yield Row(group="sink", size=size, count=many, client="dcmtk", server="dcmtk", full=later)
        if not later:
            yield Row(group="sink", size=size, count=few, client="pynetdicom", server="pynetdicom")
    for pdu in (16_384, 131_072, 1_048_576):
        yield Row(group="pdu", size="300m", count=1, client="ours", server="ours", pdu=pdu)
        if pdu <= 131_072:  # the longest that DCMTK supports
            yield Row(group="pdu", size="300m", count=1, client="dcmtk", server="dcmtk", pdu=pdu)
        yield Row(group="pdu", size="300m", count=1, client="pynetdicom", server="pynetdicom", pdu=pdu, full=True)
    for size, count, window in (("4k", 500, 1), ("4k", 500, 32), ("500k", 40, 1), ("300m", 1, 1), ("2g", 1, 1)):
        later = size in ("2g", "500k")
        if window == 1:
            yield Row(group="disk", size=size, count=count, client="raw", server="raw", disk=True, full=later)
        yield Row(group="disk", size=size, count=count, client="ours", server="ours", window=window, disk=True,
                  full=later)  # fmt: skip
        if window == 1:
            yield Row(group="disk", size=size, count=count, client="dcmtk", server="dcmtk", disk=True, full=later)
            if size != "2g":
                few = 40 if size == "4k" else count
                yield Row(group="disk", size=size, count=few, client="pynetdicom", server="pynetdicom", disk=True,
                          full=True)  # fmt: skip
    yield Row(group="tls", size="300m", count=1, client="raw", server="raw", tls=True)
    yield Row(group="tls", size="300m", count=1, client="ours", server="ours", tls=True)
    yield Row(group="tls", size="300m", count=1, client="dcmtk", server="dcmtk", tls=True)
    yield Row(group="tls", size="300m", count=1, client="pynetdicom", server="pynetdicom", tls=True, full=True)
    yield Row(group="tls", size="4k", count=3000, client="raw", server="raw", tls=True, full=True)
    for window in (1, 32):
        yield Row(group="tls", size="4k", count=3000 * (1 + (window > 1)), client="ours", server="ours", tls=True,
                  window=window, full=True)  # fmt: skip
    yield Row(group="tls", size="4k", count=2000, client="dcmtk", server="dcmtk", tls=True, full=True)
    for many in (1, 8, 64):
        yield Row(group="associations", size="1k", count=4000, client="ours", server="ours", associations=many)
        yield Row(group="associations", size="1k", count=4000, client="ours", server="ours", associations=many,
                  loop=True, full=many != 8)  # fmt: skip
        yield Row(group="associations", size="1k", count=4000, client="dcmtk", server="dcmtk", associations=many)
    yield Row(group="nagle", size="1k", count=1000, client="ours", server="dcmtk", nagle=True)
    yield Row(group="nagle", size="1k", count=1000, client="dcmtk", server="ours", nagle=True)
    yield Row(group="nagle", size="1k", count=40, client="dcmtk", server="dcmtk", nagle=True)
    yield Row(group="nagle", size="1k", count=40, client="pynetdicom", server="dcmtk", nagle=True)
    yield Row(group="nagle", size="1k", count=40, client="dcmtk", server="pynetdicom", nagle=True)
    for window in (1, 8, 32):
        yield Row(group="late", size="1k", count=200 * window, client="ours", server="ours", window=window, late=LATE)
    yield Row(group="late", size="1k", count=200, client="dcmtk", server="dcmtk", late=LATE)
    for kind in KINDS:
        yield Row(group="echo", size="echo", count=200 if kind == "pynetdicom" else 6000, client=kind, server=kind)
