"""Both ends of pynetdicom, each in its own process, as in its documentation.

    python -m benchmarks.side_pynetdicom scp|scu JSON

Files are sent in chunks without decoding, and received data sets are discarded or written without decoding: its
fastest way.
"""

from __future__ import annotations

import signal
import ssl
from pathlib import Path
from time import perf_counter

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from .options import Options, fail, main, tell

EXPLICIT_VR_LE = "1.2.840.10008.1.2.1"


def scp(options: Options) -> None:
    ae = AE()
    ae.maximum_pdu_size = options.pdu
    ae.maximum_associations = 200
    ae.add_supported_context(CTImageStorage, EXPLICIT_VR_LE)
    ae.add_supported_context(Verification)

    def store(event: evt.Event) -> int:
        if options.folder:
            name = getattr(event.request, "AffectedSOPInstanceUID", "nameless")
            (Path(options.folder) / f"{name}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, store)]
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(options.tls) / "cert.pem", Path(options.tls) / "key.pem")
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
    print("port", server.socket.getsockname()[1] if server and server.socket else 0, flush=True)
    signal.pause()


def scu(options: Options) -> None:
    _config.STORE_SEND_CHUNKED_DATASET = True
    ae = AE()
    ae.maximum_pdu_size = options.pdu
    paths = [] if options.echoes else options.paths()
    if options.echoes:
        ae.add_requested_context(Verification)
    else:
        ae.add_requested_context(CTImageStorage, EXPLICIT_VR_LE)
    arguments = None
    if options.tls:
        context = ssl.create_default_context(cafile=str(Path(options.tls) / "cert.pem"))
        arguments = (context, "127.0.0.1")
    begun = perf_counter()
    association = ae.associate("127.0.0.1", options.port, max_pdu=options.pdu, tls_args=arguments)
    for path in paths:
        if association.send_c_store(path).Status:
            fail("not stored")
    for _ in range(options.echoes):
        if association.send_c_echo().Status:
            fail("not successful")
    association.release()
    tell(begun)


if __name__ == "__main__":
    main(scp, scu, __doc__)
