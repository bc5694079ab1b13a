"""Both ends of this implementation, each in a process of its own.

python -m benchmarks.side_ours scp MAX_PDU [FOLDER]       discards, or stores into FOLDER; says `port N`
python -m benchmarks.side_ours store PORT MAX_PDU PATH... | echo PORT COUNT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

from dicos_proto import uids
from dicos_proto.negotiation import UNCOMPRESSED, AcceptPolicy, propose
from dicos_transports import part10, storing
from dicos_transports.blocking import EchoRequest, Session, StoreRequest, connect


def scp(max_pdu: int, folder: Path | None) -> None:
    from dicos_transports.blocking_server import serve  # the client has no use for it

    contexts = dict.fromkeys(uids.STORAGE_SOP_CLASSES, uids.TRANSFER_SYNTAXES)
    policy = AcceptPolicy(contexts=contexts | {uids.VERIFICATION: UNCOMPRESSED}, max_length=max_pdu)

    def handle(session: Session) -> None:
        for request in session:
            match request:
                case EchoRequest():
                    request.respond()
                case StoreRequest() if folder is not None:
                    storing.store_into(folder, request, overwrite=True)
                case StoreRequest():
                    storing.discard(request)
                case _:
                    pass

    with serve(("127.0.0.1", 0), handle, policy=policy) as server:
        print("port", server.port, flush=True)
        server.wait()


def store(port: int, max_pdu: int, paths: list[str]) -> None:
    files = [part10.inspect(Path(path)) for path in paths]
    (batch,) = storing.plan(files)
    begun = perf_counter()
    with connect(("127.0.0.1", port), batch.contexts, max_length=max_pdu) as session:
        for file in batch.files:
            response = storing.send_file(session, file)
            if response.status:
                sys.exit(f"status 0x{response.status:04X}")
    print(json.dumps({"seconds": perf_counter() - begun}))


def echo(port: int, count: int) -> None:
    begun = perf_counter()
    with connect(("127.0.0.1", port), propose([uids.VERIFICATION])) as session:
        for _ in range(count):
            if session.echo().status:
                sys.exit("not successful")
    print(json.dumps({"seconds": perf_counter() - begun}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["scp", max_pdu, *folder]:
            scp(int(max_pdu), Path(folder[0]) if folder else None)
        case ["store", port, max_pdu, *paths]:
            store(int(port), int(max_pdu), paths)
        case ["echo", port, count]:
            echo(int(port), int(count))
        case _:
            sys.exit(__doc__)
