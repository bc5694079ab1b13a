"""Targets for files: the Part 10 reader, and how a file is prepared and converted to be sent.

Knows: that every fault of a file is a `Part10Error`. Must not know: associations.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from dicos_proto.registry import uids
from dicos_proto.wire import Buffer
from dicos_transports.files.data_sets import CONVERTIBLE, convert_chunks, padded_chunks, prepare
from dicos_transports.files.part10 import CHUNK, Part10Error, Part10File, inspect, read_chunks, where
from dicos_transports.files.writer import file_header, file_name

from ...grammar.reading import read_data_set
from ...tree import Leaf, Node, Part
from ..contents import captured, data_sets
from ..places import descriptors, folder
from ..tape import Bases, Tape, raw
from ..target import Bounds, Target, Watch, check, words

__all__ = ["TARGETS"]

_CLASS, _INSTANCE = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
_CHUNKS: Final = (CHUNK, 1, 7, 100)


def _header(syntax: str) -> bytes:
    return file_header(sop_class_uid=_CLASS, sop_instance_uid=_INSTANCE, transfer_syntax=syntax, source_aet="FUZZ")


def _files() -> list[bytes]:
    """Files with meta information, and bare data sets."""
    explicit, implicit, big = _header(uids.EXPLICIT_VR_LE), _header(uids.IMPLICIT_VR_LE), _header(uids.EXPLICIT_VR_BE)
    return [
        *(explicit + one for one in data_sets()),
        *(implicit + one for one in data_sets(implicit=True)[:6]),
        *(big + one for one in data_sets(big=True)[:4]),
        *(explicit + one for one in captured("exp")),
        *data_sets()[:2],
        *data_sets(implicit=True)[:2],
    ]


def _read(file: bytes) -> Node:
    """Preamble, prefix and the elements of both groups."""
    if file[128:132] != b"DICM":
        return read_data_set(file)
    return Part("file", (Leaf("preamble", file[:128]), Leaf("prefix", file[128:132]), read_data_set(file[132:])))


_FILES: Final = Bases(_files, _read)


def _part10(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    how = tape.byte()
    given = _FILES.take(tape)
    path = folder("part10") / "file.dcm"
    path.write_bytes(given)
    before = descriptors() if how & 0x80 else 0
    try:
        file = inspect(path)
    except Part10Error as fault:
        _note(watch, fault)
        try:
            where(path)
        except Part10Error as other:
            _note(watch, other)
        return
    watch((file.transfer_syntax if file.transfer_syntax in CONVERTIBLE else "", file.data_offset == 0))
    end = file.data_offset + file.data_length
    check(0 <= file.data_offset <= end == len(given), f"a data set from {file.data_offset} to {end} of {len(given)}")
    whole = b"".join(bytes(one) for one in read_chunks(file, chunk=_CHUNKS[how & 3]))
    check(whole == given[file.data_offset :], "other bytes than those of the file")
    name = "".join(file_name(file.sop_class_uid, file.sop_instance_uid))
    check("/" not in name and name not in ("", ".", "..") and "\0" not in name, f"a file would be named {name!a}")
    _sent(file, how, watch)
    if how & 0x80:
        check(descriptors() == before, f"{descriptors()} descriptors are open; {before} were")


def _sent(file: Part10File, how: int, watch: Watch) -> None:
    """Prepares the file as for sending, in its own and in another transfer syntax."""
    try:
        prepared = prepare(file)
        watch((bool(prepared.odd), bool(prepared.odd_fragment), prepared.whole is None))
        size = sum(len(one) for one in prepared.chunks(file.transfer_syntax))
        check(size % 2 == 0 or bool(prepared.odd_fragment), f"{size} bytes, an odd number, would be sent")
    except Part10Error as fault:
        _note(watch, fault)
    to = CONVERTIBLE[(how >> 2) % 3]
    _made_of(file, convert_chunks(file, to, chunk=_CHUNKS[how & 3] + 16), watch)
    if file.transfer_syntax != uids.DEFLATED_EXPLICIT_VR_LE:
        _made_of(file, padded_chunks(file), watch)


def _made_of(file: Part10File, chunks: Iterator[Buffer], watch: Watch) -> None:
    try:
        size = sum(len(one) for one in chunks)
    except Part10Error as fault:
        _note(watch, fault)
        return
    if file.transfer_syntax != uids.DEFLATED_EXPLICIT_VR_LE:
        check(size <= 4 * file.data_length + 64, f"{file.data_length} bytes become {size}")


def _note(watch: Watch, fault: Part10Error) -> None:
    watch(("Part10Error", words(fault.reason)))
    check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")


def _made(random: Random) -> bytes:
    return raw(random.randbytes(1), _FILES.made(random))


TARGETS: Final = (
    Target(
        name="part10",
        about="a DICOM file: inspected, read, padded, converted",
        body=_part10,
        seeds=lambda: [raw(bytes((how,)), one) for one in _FILES.all for how in (0, 0x85)],
        made=_made,
        grown=lambda random: raw(random.randbytes(1), _FILES.grown(random, 60_000)),
        words=(
            b"DICM",
            b"\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0",
            b"\2\0\0\0UL\4\0",
            b"1.2.840.10008.1.2.1.99",
            b"\x02\0\x01\0OB\0\0\2\0\0\0\0\1",
            b"\x08\0\x18\0UI",
        ),
        bounds=Bounds(memory=4 << 20, memory_a_byte=64, time=300_000, time_a_byte=300),
        share=0.5,
    ),
)
