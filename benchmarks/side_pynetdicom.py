"""Both ends of pynetdicom, each in a process of its own, as its documentation does it.

    python -m benchmarks.side_pynetdicom scp MAX_PDU                      answers and keeps nothing; says `port N`
    python -m benchmarks.side_pynetdicom store PORT MAX_PDU PATH... | echo PORT COUNT

Files are sent in chunks as they lie on disk and received data sets are not decoded: its fastest way.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from time import perf_counter

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

DICOS_CT = "1.2.840.10008.5.1.4.1.1.501.1"
EXPLICIT_VR_LE = "1.2.840.10008.1.2.1"
STORED = (str(CTImageStorage), DICOS_CT)


def scp(max_pdu: int) -> None:
    _config.UNRESTRICTED_STORAGE_SERVICE = (
        True  # it knows DICOS SOP classes by name, but does not serve them as storage
    )
    ae = AE()
    ae.maximum_pdu_size = max_pdu
    for each in STORED:
        ae.add_supported_context(each, EXPLICIT_VR_LE)
    ae.add_supported_context(Verification)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, lambda event: 0x0000)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    print("port", server.socket.getsockname()[1] if server and server.socket else 0, flush=True)
    signal.pause()


def store(port: int, max_pdu: int, paths: list[str]) -> None:
    _config.STORE_SEND_CHUNKED_DATASET = True
    ae = AE()
    ae.maximum_pdu_size = max_pdu
    for each in STORED:
        ae.add_requested_context(each, EXPLICIT_VR_LE)
    begun = perf_counter()
    association = ae.associate("127.0.0.1", port, max_pdu=max_pdu)
    for path in paths:
        if association.send_c_store(Path(path)).Status:
            sys.exit("not stored")
    association.release()
    print(json.dumps({"seconds": perf_counter() - begun}))


def echo(port: int, count: int) -> None:
    ae = AE()
    ae.add_requested_context(Verification)
    begun = perf_counter()
    association = ae.associate("127.0.0.1", port)
    for _ in range(count):
        if association.send_c_echo().Status:
            sys.exit("not successful")
    association.release()
    print(json.dumps({"seconds": perf_counter() - begun}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["scp", max_pdu]:
            scp(int(max_pdu))
        case ["store", port, max_pdu, *paths]:
            store(int(port), int(max_pdu), paths)
        case ["echo", port, count]:
            echo(int(port), int(count))
        case _:
            sys.exit(__doc__)
