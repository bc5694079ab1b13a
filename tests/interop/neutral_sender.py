"""pynetdicom as a sender of unchanged files; it prints the outcome of each as JSON.

    python -m tests.interop.neutral_sender < paths

For each line `PORT PATH` on standard input, it opens an association that proposes only the context of the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config


def send(port: int, path: str) -> dict[str, object]:
    meta = read_file_meta_info(path)
    ae = AE(ae_title="NEUTRAL")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port)
    if not association.is_established:
        # If no context is accepted, pynetdicom aborts.
        return {"accepted": False, "status": None}
    try:
        status = association.send_c_store(Path(path))
        return {"accepted": True, "status": status.Status if "Status" in status else None}
    except Exception as error:
        return {"accepted": True, "status": None, "error": f"{type(error).__name__}: {error}"}
    finally:
        association.release()


if __name__ == "__main__":
    _config.STORE_SEND_CHUNKED_DATASET = True  # the bytes of the file, neither decoded nor encoded
    for line in sys.stdin:
        port, _, path = line.rstrip("\n").partition(" ")
        try:
            told = send(int(port), path)
        except Exception as error:
            told = {"accepted": False, "status": None, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)
