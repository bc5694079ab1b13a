"""Both ends of this implementation, each in its own process: python -m benchmarks.side_ours scp|scu JSON

The provider prints `port N`, and discards objects or stores them into a folder. The user sends files or C-ECHOs. The
options are those of `options`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, propose
from dicos_proto.upper_layer.pdu_types import OperationsWindow, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_transports.blocking import EchoRequest, Session, StoreRequest, connect
from dicos_transports.files import part10, receiving, sending
from dicos_transports.files.part10 import Part10File

from .options import Options, fail, main, tell

if TYPE_CHECKING:
    from dicos_transports.tls import ClientTLS, ServerTLS


def policy(options: Options) -> AcceptPolicy:
    contexts = dict.fromkeys(uids.STORAGE_SOP_CLASSES, uids.TRANSFER_SYNTAXES) | {uids.VERIFICATION: UNCOMPRESSED}
    return AcceptPolicy(contexts=contexts, max_length=options.pdu, window=window(options))


def window(options: Options) -> OperationsWindow | None:
    return OperationsWindow(invoked=options.window, performed=options.window) if options.window > 1 else None


def server_tls(options: Options) -> ServerTLS | None:
    if not options.tls:
        return None
    from dicos_transports.tls import ClientCertificate, Identity, ServerTLS

    folder = Path(options.tls)
    identity = Identity.from_pem(folder / "cert.pem", folder / "key.pem")
    return ServerTLS(identity=identity, client_certificates=ClientCertificate.NONE)


def client_tls(options: Options) -> ClientTLS | None:
    if not options.tls:
        return None
    from dicos_transports.tls import ClientTLS, load_certificates

    return ClientTLS(trust=load_certificates(Path(options.tls) / "cert.pem"))


def scp(options: Options) -> None:
    if options.loop:
        scp_in_a_loop(options)
        return
    from dicos_transports.blocking.server import serve  # the client does not use it
    from dicos_transports.serving import ServerLimits

    folder = Path(options.folder) if options.folder else None

    def handle(session: Session) -> None:
        for request in session:
            match request:
                case EchoRequest():
                    request.respond()
                case StoreRequest() if folder is not None:
                    receiving.store_into(folder, request, overwrite=True)
                case StoreRequest():
                    receiving.discard(request)
                case _:
                    pass

    limits = ServerLimits(associations=200, per_address=200)
    where = ("127.0.0.1", 0)
    with serve(where, handle, policy=policy(options), server_limits=limits, tls=server_tls(options)) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        print("port", server.port, flush=True)
        server.wait()


def scp_in_a_loop(options: Options) -> None:
    import trio

    from dicos_transports.serving import ServerLimits
    from dicos_transports.sessions import session as awaiting
    from dicos_transports.trio import serve

    async def handle(session: awaiting.Session) -> None:
        async for request in session:
            if isinstance(request, awaiting.StoreRequest):
                async for _ in request.data():
                    pass
            if isinstance(request, awaiting.EchoRequest | awaiting.StoreRequest):
                await request.respond()

    async def run() -> None:
        limits = ServerLimits(associations=2000, per_address=2000)
        async with serve(
            ("127.0.0.1", 0), handle, policy=policy(options), server_limits=limits, tls=server_tls(options)
        ) as server:
            print("port", server.port, flush=True)
            await trio.sleep_forever()

    trio.run(run)


def scu(options: Options) -> None:
    if options.echoes:
        echo(options)
        return
    where = ("127.0.0.1", options.port)
    tls = client_tls(options)
    offered = UserInformation(max_length=options.pdu, window=window(options))
    shares = []
    for paths in options.shares():
        seen = {path: part10.inspect(path) for path in dict.fromkeys(paths)}
        (batch,) = sending.plan(seen.values())
        shares.append((batch.contexts, [seen[path] for path in paths]))
    begun = perf_counter()

    def send(number: int) -> None:
        contexts, files = shares[number]
        with connect(where, contexts, user_information=offered, tls=tls) as session:
            for outcome in session.store_many(instances(files), ahead=True):
                if not outcome.stored:
                    fail(f"not stored: {outcome.response or outcome.problem}")

    if len(shares) == 1:
        send(0)
    else:
        with ThreadPoolExecutor(len(shares)) as pool:
            list(pool.map(send, range(len(shares))))
    tell(begun)


def instances(files: list[Part10File]) -> Iterator[Instance]:
    for file in files:
        yield Instance(
            sop_class_uid=file.sop_class_uid,
            sop_instance_uid=file.sop_instance_uid,
            transfer_syntax=file.transfer_syntax,
            data=part10.read_whole(file) if file.data_length <= part10.CHUNK else part10.read_chunks(file),
        )


def echo(options: Options) -> None:
    begun = perf_counter()
    with connect(("127.0.0.1", options.port), propose([uids.VERIFICATION]), tls=client_tls(options)) as session:
        for _ in range(options.echoes):
            if session.echo().status:
                fail("not successful")
    tell(begun)


if __name__ == "__main__":
    main(scp, scu, __doc__)
