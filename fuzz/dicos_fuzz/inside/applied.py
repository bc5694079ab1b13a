"""An application of every service: what `Application` does with the requests of a hostile user.

Knows: `Application` and the arguments of its functions. Must not know: adapters, what users send. Invariants: no
function fails: what cannot be decoded is refused; all it keeps are files in one folder.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicos_proto.data.datasets import Attributes, DataSetError, convert
from dicos_proto.registry import status, uids
from dicos_proto.services import availability, commitment, media, mpps, printing, ups
from dicos_proto.services.storage import Instance
from dicos_transports.addresses import Address
from dicos_transports.application import Application, Asked, CommitAsked, Failure, Refused, Reply, StoreAsked

from .seeds import CT, ELEMENTS, EXPLICIT

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["application"]

_NORMALIZED: Final = (
    *(mpps.MPPS, mpps.RETRIEVE, mpps.NOTIFICATION, media.MEDIA, availability.NOTIFICATION),
    *(ups.PUSH, ups.PULL, ups.WATCH, ups.EVENT, *printing.META, printing.PRINTER, printing.PRESENTATION_LUT),
)


def application(folder: Path, destination: Address, *, awaited: bool) -> Application:
    """Returns an application that stores into `folder` and moves to `destination`. `awaited`: its functions are
    coroutine functions and asynchronous generators."""
    app = Application("APPLIED", destinations={"THIRD": destination, "USER": destination})
    kind = _awaited if awaited else _plain
    app.on_echo()(kind(_echo))
    app.on_store(CT, uids.MR_IMAGE_STORAGE)(kind(_store(folder)))
    app.on_find()(kind(_find))
    app.on_get(sends=(CT,))(kind(_give))
    app.on_move()(kind(_give))
    app.on_commit()(kind(_commit))
    for register in (app.on_n_create, app.on_n_set, app.on_n_get, app.on_n_action, app.on_n_delete):
        register(*_NORMALIZED)(kind(_normalized))
    app.on_n_event_report(*_NORMALIZED, commitment.PUSH_MODEL)(kind(_normalized))
    return app


def _plain(function: Callable[..., Any]) -> Any:
    return function


def _awaited(function: Callable[..., Any]) -> Any:
    if isgeneratorfunction(function):

        @wraps(function)
        async def each(asked: Asked) -> AsyncIterator[Any]:
            for one in function(asked):
                yield one

        return each

    @wraps(function)
    async def once(asked: Asked) -> Any:
        return function(asked)

    return once


# -- functions ---------------------------------------------------------------------------------------------------


def _decoded(asked: Asked) -> Dataset:
    """The data set of a request, with every value of it decoded."""
    try:
        found = asked.dataset
        convert(found)
    except DataSetError as fault:
        raise Refused(status.CANNOT_UNDERSTAND, str(fault)) from None
    return found


def _echo(asked: Asked) -> None:
    assert not asked.dataset


def _store(folder: Path) -> Callable[[StoreAsked], int]:
    def store(asked: StoreAsked) -> int:
        found = _decoded(asked)
        assert found.file_meta.TransferSyntaxUID == asked.transfer_syntax
        assert asked.file.endswith(asked.data)
        if len(list(folder.iterdir())) < 20:
            asked.save(folder, overwrite=True)
        return status.SUCCESS

    return store


def _find(asked: Asked) -> Iterator[Dataset | Attributes]:
    found = _decoded(asked)
    yield found
    if asked.attributes is not None and not asked.cancelled:
        yield asked.attributes
    found.PatientName = "A^B"
    yield found


def _give(asked: Asked) -> Iterator[Any]:
    _decoded(asked)
    yield 3
    for number, syntax in enumerate((EXPLICIT, uids.JPEG_BASELINE)):
        yield Instance(sop_class_uid=CT, sop_instance_uid=f"1.2.3.{number}", transfer_syntax=syntax, data=[ELEMENTS])
    made = Attributes(ELEMENTS, EXPLICIT).dataset
    made.SOPClassUID, made.SOPInstanceUID = CT, "1.2.3.9"
    yield made


def _commit(asked: CommitAsked) -> Iterator[Failure]:
    for reference in asked.references[:2]:
        yield Failure(reference, status.NO_SUCH_SOP_INSTANCE)


def _normalized(asked: Asked) -> Any:
    found = _decoded(asked)
    match asked.request.name:
        case "N-GET-RQ":
            found.PatientName = "A^B"
            return found
        case "N-CREATE-RQ" | "N-SET-RQ":
            return Reply(comment="done", given=found)
        case "N-DELETE-RQ":
            return None
        case _:
            return Reply(status=status.SUCCESS if asked.type_id else status.NO_SUCH_ACTION_TYPE)
