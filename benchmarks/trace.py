"""`dicos trace` on a large capture file: its rate and its memory, for lines, JSON lines and a page.

    python -m benchmarks.trace WORDS...        runs `dicos trace WORDS...`, and prints its processor time and peak

The file is made on the spot, in a temporary folder: one association with C-STOREs of 0.5 MB, in PDUs of 16 KiB, in
Ethernet frames. Each command runs in a process of its own, which reports its processor time, so that another process
that holds a core does not count, and the most memory that it had.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

from dicos_fuzz.captures import Recorder
from dicos_proto import AssociateRequest, ReleaseRequest, ReleaseResponse, encode
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CStoreRequest, CStoreResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import negotiate, propose
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.cli import main as dicos

from .options import high_water
from .processes import Child
from .workloads import Files

NAME: Final = "trace"
MEGABYTES: Final = 200
"""Bytes of the file, in 10^6."""
QUICK: Final = 4
OBJECT: Final = 524_288
PDU: Final = 16_384
LIMIT: Final = 600.0
"""The seconds that one command may take."""
BEGUN: Final = 1_700_000_000_000_000_000
MILLISECOND: Final = 1_000_000
OUTPUTS: Final = (
    ("lines", ("--brief",)),
    ("lines with all fields", ()),
    ("JSON lines", ("--json",)),
    ("a page, and one line for each association", ("-q", "--html", os.devnull)),
)
CONTEXT: Final = 1


@dataclass(slots=True, kw_only=True)
class Traced:
    """One kind of output. `size`: bytes of the file. `seconds`, `walls`, `peaks`: of each round."""

    output: str
    size: int
    objects: int
    seconds: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)


def make(path: Path, megabytes: int) -> int:
    """Writes the capture file. Returns how many objects it holds."""
    asked = AssociateRequest(
        calling_aet="USER", called_aet="PROVIDER", contexts=propose([uids.CT_IMAGE_STORAGE], (uids.IMPLICIT_VR_LE,))
    )
    granted = negotiate(asked, AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,)))
    data = b"".join(_data_pdus(bytes(range(256)) * (OBJECT // 256)))
    count, at = 0, BEGUN
    with path.open("wb") as file:
        recorder = Recorder(file)
        recorder.send(0, at, encode(asked), by_client=True)
        recorder.send(0, at, encode(granted), by_client=False)
        while file.tell() < megabytes * 1_000_000:
            count, at = count + 1, at + 10 * MILLISECOND
            uid, number = f"1.2.3.{count}", count % 65_536
            request = CStoreRequest(
                message_id=number, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid=uid
            )
            response = CStoreResponse(
                message_id_being_responded_to=number, affected_sop_class_uid=uids.CT_IMAGE_STORAGE,
                affected_sop_instance_uid=uid, status=0,
            )  # fmt: skip
            command = _pdu(encode_command(request, has_data=True), command=True, last=True)
            recorder.send(0, at, command + data, by_client=True)
            answer = _pdu(encode_command(response, has_data=False), command=True, last=True)
            recorder.send(0, at + MILLISECOND, answer, by_client=False)
        recorder.send(0, at + 2 * MILLISECOND, encode(ReleaseRequest()), by_client=True)
        recorder.send(0, at + 3 * MILLISECOND, encode(ReleaseResponse()), by_client=False)
        for by_client in (True, False):
            recorder.end(0, at + 4 * MILLISECOND, by_client=by_client)
    return count


def _data_pdus(data: bytes) -> Iterator[bytes]:
    step = PDU - 6
    for start in range(0, len(data), step):
        yield _pdu(data[start : start + step], command=False, last=start + step >= len(data))


def _pdu(data: bytes, *, command: bool, last: bool) -> bytes:
    """A P-DATA-TF with one PDV [PS3.8 9.3.5]."""
    return struct.pack(">BxLLBB", 4, len(data) + 6, len(data) + 2, CONTEXT, command | last << 1) + data


def measure(folder: Path, rounds: int, *, quick: bool, megabytes: int = MEGABYTES) -> list[Traced]:
    """Runs every command `rounds` times. Raises `Failed`, `NoSpace`."""
    megabytes = QUICK if quick else megabytes
    Files(folder).check(megabytes * 1_000_000)
    path = folder / "large.pcapng"
    objects = make(path, megabytes)
    size = path.stat().st_size
    found = [Traced(output=output, size=size, objects=objects) for output, _ in OUTPUTS]
    try:
        for _ in range(rounds):
            for one, (_, words) in zip(found, OUTPUTS, strict=True):
                command = [sys.executable, "-m", "benchmarks.trace", *words, str(path)]
                with Child(command, {}, str(folder)) as child:
                    told = json.loads(child.ended(LIMIT).output)
                one.seconds.append(told["seconds"])
                one.walls.append(told["wall"])
                one.peaks.append(told["peak"])
    finally:
        path.unlink()
    return found


def report(found: Sequence[Traced]) -> Iterator[str]:
    """Markdown."""
    first = found[0]
    yield "### `dicos trace` on a large file"
    yield ""
    size = f"{first.size / 1e6:,.0f} MB"
    yield f"A capture file of {size} with {first.objects:,} objects of 0.5 MB, read in processor time"
    yield "of one core, without the start of the process. The rate is that of the best round, because other work on the"
    yield "machine only slows a round down; the memory is the most of the process in any round."
    yield ""
    yield "| output | MB/s | processor time | slowest round | memory |"
    yield "|---|--:|--:|--:|--:|"
    for one in found:
        best, worst = min(one.seconds), max(one.seconds)
        rate = one.size / 1e6 / best
        yield f"| {one.output} | {rate:,.0f} | {best:.2f} s | {worst:.2f} s | {max(one.peaks) / 1e6:,.0f} MB |"
    yield ""


def plain(found: Sequence[Traced]) -> list[dict[str, object]]:
    """For --json."""
    return [asdict(one) for one in found]


def main(words: Sequence[str]) -> int:
    """Runs the command, with its lines thrown away."""
    begun, used = perf_counter(), process_time()
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        status = dicos(["trace", *words])
    seconds, wall = process_time() - used, perf_counter() - begun
    print(json.dumps({"seconds": seconds, "wall": wall, "peak": high_water("self")}))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
