"""The memory of idle acceptors, each after one C-ECHO: python -m benchmarks.side_idle traced|resident CONTEXTS COUNT

Prints JSON, each figure for one association: the bytes and the number of its objects, or the growth of VmRSS.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from pathlib import Path
from time import monotonic

from dicos_proto.association import Association
from dicos_proto.dimse.events import MessageStart
from dicos_proto.dimse.types import CEchoRequest, CEchoResponse
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, negotiate, number_contexts
from dicos_proto.upper_layer.pdu_types import AssociateRequest

from .engine.pair import policy


def said(contexts: int) -> tuple[bytes, bytes]:
    """The bytes that each requestor sends: its A-ASSOCIATE-RQ, and a C-ECHO-RQ."""
    classes = [uids.VERIFICATION, *uids.STORAGE_SOP_CLASSES][:contexts]
    proposed = number_contexts((classes[number % len(classes)], UNCOMPRESSED) for number in range(contexts))
    user = Association.requestor(AssociateRequest(called_aet="PROVIDER", calling_aet="USER", contexts=proposed))
    asked = b"".join(user.data_to_send())
    user.receive_data(b"".join(accepted(asked).data_to_send()))
    user.next_event()
    echo = CEchoRequest(message_id=1, affected_sop_class_uid=uids.VERIFICATION)
    user.send(MessageStart(context=1, command=echo))
    return asked, b"".join(user.data_to_send())


def accepted(asked: bytes) -> Association:
    """An acceptor in Sta6."""
    provider = Association.acceptor()
    provider.receive_data(asked)
    request = provider.next_event()
    if not isinstance(request, AssociateRequest):
        sys.exit(f"no A-ASSOCIATE-RQ: {request}")
    provider.send(negotiate(request, policy()))
    return provider


def idle(asked: bytes, echo: bytes) -> Association:
    provider = accepted(asked)
    provider.data_to_send()
    provider.receive_data(echo)
    event = provider.next_event()
    if not isinstance(event, MessageStart) or not isinstance(event.command, CEchoRequest):
        sys.exit(f"no C-ECHO-RQ: {event}")
    provider.send(MessageStart(context=1, command=CEchoResponse(message_id_being_responded_to=1, status=0)))
    provider.data_to_send()
    provider.next_event()
    provider.deadline(monotonic())
    return provider


def resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


def main(how: str, contexts: int, count: int) -> None:
    asked, echo = said(contexts)
    idle(asked, echo)  # objects that all acceptors share
    kept: list[Association | None] = [None] * count
    gc.collect()
    if how == "traced":
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0] if how == "traced" else resident()
    blocks = sys.getallocatedblocks()
    for number in range(count):
        kept[number] = idle(asked, echo)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0] if how == "traced" else resident()
    more = sys.getallocatedblocks() - blocks
    figures = {how: (after - before) / count}
    if how == "resident":
        figures["blocks"] = more / count
    print(json.dumps(figures))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["traced" | "resident" as how, contexts, count]:
            main(how, int(contexts), int(count))
        case _:
            sys.exit(__doc__)
