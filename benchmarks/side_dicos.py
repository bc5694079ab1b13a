"""One end of the benchmark of DICOS volumes: a scanner that has a numpy array, or a receiver that wants one.

    python -m benchmarks.side_dicos ours|pynetdicom scanner|receiver PORT FRAMES

The receiver prints `ready`, and once the array is there one JSON object: `at`, the monotonic clock then, `peak`, its
most memory in bytes, `base`, the memory before, and `cpu`, its processor time since then. The scanner prints `at`, when
it had the array and began, `seconds` until the answer, and the same; its `base` has the array in it.
"""

from __future__ import annotations

import json
import sys
import threading
from time import monotonic, process_time
from typing import Any

import numpy as np

from dicos_proto.dicos import CT, view
from dicos_proto.registry import uids

from .options import high_water

SIDE, SIZE = 512, 512
NEVER = threading.Event()


def volume(frames: int) -> Any:
    """Voxels that differ from slice to slice."""
    made = np.empty((frames, SIZE, SIDE), np.uint16)
    made[:] = np.arange(frames, dtype=np.uint16)[:, None, None]
    made += np.arange(SIDE, dtype=np.uint16)
    return made


def check(array: Any, frames: int) -> None:
    """Raises ValueError unless it is the array that was sent; a few voxels show it."""
    if array.shape != (frames, SIZE, SIDE) or array[-1, -1, -1] != frames - 1 + SIDE - 1 or array[1, 0, 2] != 3:
        raise ValueError("another array than was sent")


STARTED: list[float] = []
"""The processor time when the clock began."""


def start() -> int:
    """Begins to count the processor time. Returns the memory so far."""
    STARTED[:] = [process_time()]
    return high_water("self")


def tell(**values: float) -> None:
    print(json.dumps({**values, "cpu": process_time() - STARTED[0], "peak": high_water("self")}), flush=True)


def received(array: Any, frames: int, base: int) -> None:
    at = monotonic()
    check(array, frames)
    tell(at=at, base=base)


def our_receiver(port: int, frames: int) -> None:
    from dicos_proto.dicos.profile import Compression, accept_policy
    from dicos_transports.blocking import Session, StoreRequest
    from dicos_transports.blocking.server import serve
    from dicos_transports.dicos import receive

    base = start()

    def handle(session: Session) -> None:
        for request in session:
            if isinstance(request, StoreRequest):
                found = view(receive(request))
                if not isinstance(found, CT):
                    raise TypeError("not a CT")
                received(found.volume, frames, base)
            request.respond()

    with serve(("127.0.0.1", port), handle, policy=accept_policy(compression=Compression.FORBIDDEN)):
        print("ready", flush=True)
        NEVER.wait()  # until it is stopped


def our_scanner(port: int, frames: int) -> None:
    from dicos_proto.dicos.profile import Compression, Family, contexts_for
    from dicos_transports.blocking import connect
    from dicos_transports.dicos import send, stamp

    made = volume(frames)
    base, began = start(), monotonic()
    ct = CT.new(made, ooi_id="BAG-1", stamp=stamp())
    contexts = contexts_for(Family.CT, Compression.FORBIDDEN)
    with connect(("127.0.0.1", port), contexts, application_context=uids.DICOS_APPLICATION_CONTEXT_V03) as session:
        response = send(session, ct)
    if response.status:
        raise ValueError(f"status 0x{response.status:04X}")
    tell(at=began, seconds=monotonic() - began, base=base)


def pynetdicom_receiver(port: int, frames: int) -> None:
    from pynetdicom import AE, evt  # type: ignore[import-untyped]
    from pynetdicom.service_class import StorageServiceClass  # type: ignore[import-untyped]
    from pynetdicom.sop_class import register_uid  # type: ignore[import-untyped]

    register_uid(uids.DICOS_CT, "DicosCTStorage", StorageServiceClass)
    base = start()

    def store(event: Any) -> int:
        made = event.dataset
        array = np.frombuffer(made.PixelData, np.uint16).reshape(frames, SIZE, SIDE)
        received(array, frames, base)
        return 0

    ae = AE()
    ae.maximum_pdu_size = 0
    ae.add_supported_context(uids.DICOS_CT, uids.EXPLICIT_VR_LE)
    ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    print("ready", flush=True)
    NEVER.wait()


def pynetdicom_scanner(port: int, frames: int) -> None:
    from pynetdicom import AE

    from dicos_transports.dicos import stamp

    made = volume(frames)
    base, began = start(), monotonic()
    dataset = CT.new(made, ooi_id="BAG-1", stamp=stamp()).dataset
    dataset.PixelData = made.tobytes()
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(uids.EXPLICIT_VR_LE)
    ae = AE()
    ae.maximum_pdu_size = 0
    ae.add_requested_context(uids.DICOS_CT, uids.EXPLICIT_VR_LE)
    ae.dimse_timeout = ae.network_timeout = 600
    association = ae.associate("127.0.0.1", port)
    status = association.send_c_store(dataset)
    association.release()
    if status.Status:
        raise ValueError(f"status 0x{status.Status:04X}")
    tell(at=began, seconds=monotonic() - began, base=base)


ENDS = {
    ("ours", "receiver"): our_receiver,
    ("ours", "scanner"): our_scanner,
    ("pynetdicom", "receiver"): pynetdicom_receiver,
    ("pynetdicom", "scanner"): pynetdicom_scanner,
}

if __name__ == "__main__":
    ENDS[sys.argv[1], sys.argv[2]](int(sys.argv[3]), int(sys.argv[4]))
