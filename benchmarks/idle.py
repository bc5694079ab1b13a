"""Many idle associations in one process, and the cost for the server.

    python -m benchmarks.idle PORT COUNT        opens and holds them

The server is `side_ours` in a trio loop. Each association is established and has done one C-ECHO.
"""

from __future__ import annotations

import resource
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from dicos_proto.association import Association
from dicos_proto.dimse.events import Event, MessageStart
from dicos_proto.dimse.types import CEchoRequest
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from .options import Options
from .processes import Child
from .results import Idle

COUNT: Final = 1000
WATCHED: Final = 4.0
"""The seconds during which the server's processor time is counted."""
SETTLE: Final = 0.5
"""Seconds before that."""


def measure(folder: Path, *, quick: bool) -> Idle:
    """Raises `Failed`."""
    count, seconds = (50, 0.2) if quick else (COUNT, WATCHED)
    with ExitStack() as stack:
        server = stack.enter_context(Child(Options(loop=True).command("ours", "scp"), {}, str(folder)))
        command = [sys.executable, "-m", "benchmarks.idle", str(server.port()), str(count)]
        holder = stack.enter_context(Child(command, {}, str(folder)))
        while "held" not in holder.output():
            holder.check()
            time.sleep(0.01)
        time.sleep(SETTLE)
        before = _processor(server.pid)
        time.sleep(seconds)
        used = _processor(server.pid) - before
        return Idle(count=count, memory=_memory(server.pid), processor=used, seconds=seconds)


def _processor(pid: int) -> float:
    """Seconds of processor time a process has used: all its threads, to the nanosecond."""
    used = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        used += int((thread / "schedstat").read_text().split()[0])
    return used / 1e9


def _memory(pid: int) -> int:
    """PSS: the process's own memory, and its share of memory shared with other processes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def hold(port: int, count: int) -> None:
    """Open the associations, and hold them until the process is ended."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, count + 100), most))
    held = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        asked = AssociateRequest(called_aet="PROVIDER", calling_aet="USER", contexts=propose([uids.VERIFICATION]))
        association = Association.requestor(asked)
        _exchange(sock, association)
        echo = CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION)
        association.send(MessageStart(context=1, command=echo))
        _exchange(sock, association)
        held.append(sock)
    print("held", flush=True)
    while True:
        time.sleep(60)


def _exchange(sock: socket.socket, association: Association) -> Event:
    sock.sendall(b"".join(association.data_to_send()))
    while (event := association.next_event()) is None:
        association.receive_data(sock.recv(65_536))
    return event


if __name__ == "__main__":
    match sys.argv[1:]:
        case [port, count]:
            hold(int(port), int(count))
        case _:
            sys.exit(__doc__)
