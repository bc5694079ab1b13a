"""Applications served in every way there is, for their tests: each adapter, with functions of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicos_proto.conversation.planning import ProposedService, contexts_for
from dicos_proto.registry import uids
from dicos_proto.services.storage import Instance
from dicos_proto.upper_layer.pdu_types import UserInformation
from dicos_transports.application import Application
from dicos_transports.blocking import Session, connect
from tests.transports.connections import CT, EXPLICIT, stored
from tests.transports.loops import served

FIND, MOVE, GET = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET
WAYS = [
    ("blocking", "plain"),
    *((loop, kind) for loop in ("trio", "asyncio") for kind in ("plain", "awaited", "threads")),
]
each_way = pytest.mark.parametrize("way", WAYS, ids=" ".join)
Way = tuple[str, str]


def of_kind(way: Way) -> Callable[[Any], Any]:
    """A decorator: in the way of functions that are awaited, the same function as one of these."""

    def change(function: Any) -> Any:
        if way[1] != "awaited":
            return function
        if isgeneratorfunction(function):

            @wraps(function)
            async def each(asked: Any) -> Any:
                generator = function(asked)
                try:
                    for one in generator:
                        yield one
                finally:
                    generator.close()

            return each

        @wraps(function)
        async def once(asked: Any) -> Any:
            return function(asked)

        return once

    return change


def application(way: Way, aet: str = "ARCHIVE", **options: Any) -> Application:
    return Application(aet, threads=way[1] == "threads", **options)


@contextmanager
def running(way: Way, app: Application, **options: Any) -> Iterator[Any]:
    """The application, served on a free port of 127.0.0.1; its server."""

    def serve(module: Any) -> Any:
        if way[0] == "blocking":
            return app.serve(("127.0.0.1", 0), **options)
        options.setdefault("policy", app.policy)
        return module.serve(("127.0.0.1", 0), app.async_handler, **options)

    with served(way[0], serve) as server:
        yield server


def user(server: Any, *sop_classes: str, gets: tuple[str, ...] = (), syntax: str = EXPLICIT, **options: Any) -> Session:
    """An association for these SOP classes, in the role of an SCP for `gets`."""
    proposal = contexts_for(
        [
            ProposedService(sop_classes=sop_classes, transfer_syntaxes=(syntax,)),
            ProposedService(sop_classes=gets, transfer_syntaxes=(syntax,), scu=False, scp=True),
        ]
    )
    return connect(
        ("127.0.0.1", server.port),
        proposal.contexts,
        calling_aet="TESTER",
        user_information=UserInformation(roles=proposal.roles),
        **options,
    )


def dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def image(number: int, **values: Any) -> Dataset:
    return dataset(SOPClassUID=CT, SOPInstanceUID=f"1.2.{number}", PatientID=str(number), **values)


def plain_instance(number: int) -> Instance:
    return Instance(
        sop_class_uid=CT,
        sop_instance_uid=f"1.2.{number}",
        transfer_syntax=EXPLICIT,
        data=[stored(1000)[:500], bytes(500)],
    )
