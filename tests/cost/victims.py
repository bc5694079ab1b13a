"""Processes to attack: a provider or a user of each adapter, controlled by lines on standard input.

`python -m tests.cost.victims provider blocking session`: a server whose handler reads everything and keeps nothing.
`python -m tests.cost.victims provider blocking application`: an `Application` that decodes all data sets.
`python -m tests.cost.victims page`: the metrics page of a server that counts nothing.
`python -m tests.cost.victims user blocking`: for each line `OPERATION PORT SIZE` it opens an association and does
that.

It prints its port, or the outcome of each line. Its cost is measured from outside.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from dicos_proto.data.datasets import DataSetError, convert
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.timers import Timeouts
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED, propose_roles
from dicos_proto.upper_layer.pdu_types import ProposedContext, UserInformation
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_transports.application import Application, Asked, StoreAsked
from dicos_transports.serving import ServerLimits

CT, FIND, GET, MOVE = uids.CT_IMAGE_STORAGE, uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET, uids.STUDY_ROOT_MOVE
EXPLICIT, DEFLATED = uids.EXPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE
SYNTAXES = (EXPLICIT, DEFLATED, uids.IMPLICIT_VR_LE)
SERVED = {uids.VERIFICATION: UNCOMPRESSED, CT: SYNTAXES, FIND: SYNTAXES, GET: SYNTAXES}
ROOM = ServerLimits(associations=1000, per_address=1000, pending=1000)
TIMEOUTS = Timeouts(write_stall=20.0)
LARGEST = 16 << 20


def instance(asked: str) -> Instance:
    size = min(int(asked.strip() or "0"), LARGEST)
    return Instance(sop_class_uid=CT, sop_instance_uid="1.2.3", transfer_syntax=EXPLICIT, data=bytes(size & ~1))


# -- providers -------------------------------------------------------------------------------------------------------


def application() -> Application:
    app = Application("VICTIM")

    @app.on_store(transfer_syntaxes=SYNTAXES)
    def store(asked: StoreAsked) -> None:
        with suppress(DataSetError):
            convert(asked.dataset)

    @app.on_n_set(uids.BASIC_GRAYSCALE_IMAGE_BOX)
    def set_(asked: Asked) -> None:
        len(asked.dataset)

    @app.on_find(FIND)
    def find(asked: Asked) -> Iterator[bytes]:
        len(asked.dataset)
        for _ in range(3):
            yield b"\x10\x00\x20\x00LO\x02\x00* "

    @app.on_get(GET, sends=(CT,), transfer_syntaxes=(EXPLICIT,))
    def get(asked: Asked) -> list[Instance]:
        return [instance(str(asked.dataset.get("PatientID", "")))]

    return app


async def session_handler(session: Any) -> None:
    """Reads every request; C-GET sends as many bytes as requested."""
    async for request in session:
        match request.name:
            case "C-STORE-RQ":
                async for _ in request.data():
                    pass
                await request.respond()
            case "C-FIND-RQ":
                await request.attributes()
                await request.end()
            case "C-GET-RQ":
                size = (await request.attributes()).data[22:]
                await request.send([instance(size.decode("ascii", "ignore"))], 1)
            case _:
                await request.respond()


def session_at_once(session: Any) -> None:
    """The same for the blocking adapter."""
    for request in session:
        match request.name:
            case "C-STORE-RQ":
                for _ in request.data():
                    pass
                request.respond()
            case "C-FIND-RQ":
                request.attributes()
                request.end()
            case "C-GET-RQ":
                size = request.attributes().data[22:]
                request.send([instance(size.decode("ascii", "ignore"))], 1)
            case _:
                request.respond()


def page() -> None:
    from dicos_transports.serving import Metrics
    from dicos_transports.serving.metrics import start

    class Counted:
        address = "here"
        metrics = Metrics()

    with start(Counted()) as endpoint:
        print(endpoint.port, flush=True)
        sys.stdin.read()


def provide(adapter: str, kind: str, over: str = "") -> None:
    app = application()
    policy = app.policy
    if kind == "session":
        policy = AcceptPolicy(contexts=SERVED, roles={CT: Roles(scu=True, scp=True)})
    options: dict[str, Any] = {"policy": policy, "server_limits": ROOM, "timeouts": TIMEOUTS}
    if over:
        options["tls"] = _tls()
    where = ("127.0.0.1", 0)
    importlib.import_module("pydicom.filereader")
    if adapter == "blocking":
        from dicos_transports.blocking import server as blocking_server

        with blocking_server.serve(where, app.handler if kind != "session" else session_at_once, **options) as server:
            print(server.port, flush=True)
            sys.stdin.read()
            os._exit(0)
    module = importlib.import_module(f"dicos_transports.{adapter}")

    async def main() -> None:
        handler = app.async_handler if kind != "session" else session_handler
        async with module.serve(where, handler, **options) as running:
            print(running.port, flush=True)
            await forever()

    async def forever() -> None:
        if adapter == "trio":
            trio = importlib.import_module("trio")
            await trio.to_thread.run_sync(sys.stdin.read)
        else:
            await asyncio.to_thread(sys.stdin.read)
        os._exit(0)

    run(adapter, main)


def _tls() -> Any:
    from dicos_transports.tls import ClientCertificate, ServerTLS
    from tests.transports.certificates import hospital

    return ServerTLS(identity=hospital().server, client_certificates=ClientCertificate.NONE)


# -- users -----------------------------------------------------------------------------------------------------------


CONTEXTS = (
    ProposedContext(id=1, abstract_syntax=uids.VERIFICATION, transfer_syntaxes=(uids.IMPLICIT_VR_LE,)),
    ProposedContext(id=3, abstract_syntax=CT, transfer_syntaxes=SYNTAXES),
    ProposedContext(id=5, abstract_syntax=FIND, transfer_syntaxes=SYNTAXES),
    ProposedContext(id=7, abstract_syntax=GET, transfer_syntaxes=SYNTAXES),
    ProposedContext(id=9, abstract_syntax=MOVE, transfer_syntaxes=SYNTAXES),
)
INFORMATION = UserInformation(roles=propose_roles((CT,), scu=True))
PATIENT = b"\x10\x00\x20\x00LO\x02\x00* "


async def use(adapter: str, operation: str, port: int, size: int) -> None:
    module = importlib.import_module(f"dicos_transports.{adapter}")
    session = await module.connect(("127.0.0.1", port), CONTEXTS, user_information=INFORMATION, timeouts=TIMEOUTS)
    async with session:
        match operation:
            case "echo":
                await session.echo()
            case "store":
                await session.store(CT, "1.2.3", EXPLICIT, bytes(size))
            case "find":
                async for match in session.find(FIND, PATIENT):
                    len(match.attributes.dataset)
            case "get":
                async for request in session.get(GET, PATIENT):
                    async for _ in request.data():
                        pass
                    await request.respond()
            case "move":
                async for _ in session.move(MOVE, "SOMEBODY", PATIENT):
                    pass


def use_at_once(operation: str, port: int, size: int) -> None:
    from dicos_transports import blocking

    with blocking.connect(("127.0.0.1", port), CONTEXTS, user_information=INFORMATION, timeouts=TIMEOUTS) as session:
        match operation:
            case "echo":
                session.echo()
            case "store":
                session.store(CT, "1.2.3", EXPLICIT, bytes(size))
            case "find":
                for match in session.find(FIND, PATIENT):
                    len(match.attributes.dataset)
            case "get":
                for request in session.get(GET, PATIENT):
                    for _ in request.data():
                        pass
                    request.respond()
            case "move":
                for _ in session.move(MOVE, "SOMEBODY", PATIENT):
                    pass


def user(adapter: str) -> None:
    importlib.import_module("pydicom.filereader")
    print("ready", flush=True)
    for line in sys.stdin:
        operation, port, size = line.split()
        try:
            if adapter == "blocking":
                use_at_once(operation, int(port), int(size))
            else:
                run(adapter, lambda: use(adapter, operation, int(port), int(size)))  # noqa: B023
        except (ProtocolError, ExceptionGroup) as error:
            print(type(error).__name__, str(error)[:200].replace("\n", " "), flush=True)
        else:
            print("done", flush=True)


def run(adapter: str, main: Callable[[], Awaitable[None]]) -> None:
    if adapter == "trio":
        importlib.import_module("trio").run(main)
    else:
        asyncio.run(main())  # type: ignore[arg-type]


if __name__ == "__main__":
    {"provider": provide, "page": page, "user": user}[sys.argv[1]](*sys.argv[2:])
