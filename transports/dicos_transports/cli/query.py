"""The common parts of `findscu`, `getscu` and `movescu`: information models, keys, the association, and its end."""

from __future__ import annotations

import argparse
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicos_proto import dimse
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import service_of
from dicos_proto.registry.status import describe

from ..sessions.session import Answers, Session
from . import INTERRUPTED, NO_ASSOCIATION, OK
from .output import Output

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dicos_proto.upper_layer.pdu_types import ProposedContext, RoleSelection

    from .user import Caller, Contact

LEVELS: Final = ("PATIENT", "STUDY", "SERIES", "IMAGE")
PRIORITIES: Final = {"medium": dimse.PRIORITY_MEDIUM, "high": dimse.PRIORITY_HIGH, "low": dimse.PRIORITY_LOW}
ROOTS: Final = {
    "find": (uids.PATIENT_ROOT_FIND, uids.STUDY_ROOT_FIND, uids.PATIENT_STUDY_ONLY_FIND),
    "get": (uids.PATIENT_ROOT_GET, uids.STUDY_ROOT_GET, uids.PATIENT_STUDY_ONLY_GET),
    "move": (uids.PATIENT_ROOT_MOVE, uids.STUDY_ROOT_MOVE, uids.PATIENT_STUDY_ONLY_MOVE),
}


def add_options(made: argparse.ArgumentParser, operation: str) -> None:
    """Add the options that the three subcommands share."""
    patient, study, only = ROOTS[operation]
    group = made.add_argument_group("information model")
    models = group.add_mutually_exclusive_group()
    models.add_argument("-P", "--patient", dest="model", action="store_const", const=patient, default=patient,
                        help="use the patient root information model (default)")  # fmt: skip
    models.add_argument("-S", "--study", dest="model", action="store_const", const=study,
                        help="use the study root information model")  # fmt: skip
    models.add_argument("-O", "--psonly", dest="model", action="store_const", const=only,
                        help="use the patient/study only information model (retired)")  # fmt: skip
    if operation == "find":
        models.add_argument("-W", "--worklist", dest="model", action="store_const", const=uids.MODALITY_WORKLIST_FIND,
                            help="use the modality worklist information model")  # fmt: skip
    models.add_argument("--model", type=sop_class, metavar="UID",
                        help="use another SOP class, standard or private, by UID or name")  # fmt: skip
    query = made.add_argument_group(
        "query",
        "A key is KEYWORD or gggg,eeee, followed by =VALUE to match a value; SEQUENCE[0].KEYWORD is a key in an item "
        "of a sequence.",
    )
    query.add_argument("-k", "--key", action="append", default=[], metavar="KEY[=VALUE]",
                       help="add a key to the query, or override a key of --file; may be repeated")  # fmt: skip
    query.add_argument("-f", "--file", type=Path, metavar="FILE",
                       help="read the keys from a DICOM file, a data set or DICOM JSON")  # fmt: skip
    query.add_argument("-L", "--level", type=str.upper, choices=LEVELS, help="query/retrieve level")
    query.add_argument("--priority", choices=PRIORITIES, default="medium",
                       help="priority of the request (default: %(default)s)")  # fmt: skip


def identifiers(options: argparse.Namespace, out: Output, operation: str) -> list[Dataset] | None:
    """Return the identifiers of the queries; None, after printing an error, if the keys are not valid."""
    try:
        from . import keys
    except ImportError as error:
        out.error(f"queries need more libraries ({error.name}): pip install '.[cli]' in a checkout")
        return None
    from pydicom.dataset import Dataset

    try:
        found = [Dataset()] if options.file is None else keys.read(options.file)
        for identifier in found:
            for key in options.key:
                keys.put(identifier, key)
            if not identifier:
                raise keys.KeyProblem("no keys: -k gives a key, -f a file with keys")
            if options.level is not None:
                identifier.QueryRetrieveLevel = options.level
            if options.model in ROOTS[operation] and not identifier.get("QueryRetrieveLevel"):
                raise keys.KeyProblem("no query/retrieve level: give one, such as -L STUDY [PS3.4 C.6.1.1.1]")
            keys.check(identifier)
    except keys.KeyProblem as problem:
        out.error(str(problem))
        return None
    return found


async def ask_each(
    caller: Caller,
    contexts: tuple[ProposedContext, ...],
    asked: list[Dataset],
    one: Callable[[Contact, Dataset], Awaitable[int]],
    *,
    roles: tuple[RoleSelection, ...] = (),
) -> int:
    """Calls `one` for each identifier over one association, until that is over.

    Returns the exit status: `OK`, or that of the last identifier that failed. Raises KeyboardInterrupt if one was
    interrupted.
    """
    try:
        contact = await caller.open(contexts, roles=roles)
    except AssociationError as error:
        caller.out.error(str(error))
        return NO_ASSOCIATION
    status = OK
    async with contact:
        for identifier in asked:
            found = await one(contact, identifier)
            status = status if found == OK else found
            if found == INTERRUPTED or not contact.session.established:
                break
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    return status


def cancel(session: Session, answers: Answers[Any, Any]) -> Callable[[], None]:
    """Return a function that asks the peer to stop (C-CANCEL), unless the association is over."""

    def ask() -> None:
        if session.established:
            with suppress(ProtocolError):
                answers.cancel()

    return ask


def ended(response: dimse.DimseResponse, sop_class_uid: str) -> str:
    """Return the status of an operation as text, with the peer's error comment."""
    comment = f": {response.error_comment!a}" if response.error_comment else ""
    return f"{describe(response.status, service_of(sop_class_uid))}{comment}"


def why_refused(error: ContextNotAccepted) -> str:
    """Return why the peer cannot be queried, and what to try."""
    return f"{error}; or try another information model: -P, -S, -O, --model"


def sop_class(word: str) -> str:
    """Parse a SOP class: its UID, or its name with or without spaces: `CTImageStorage`, `"CT Image Storage"`."""
    return _known(word, {_squeezed(name): uid for uid, name in uids.NAMES.items()})


def transfer_syntax(word: str) -> str:
    """Parse a transfer syntax: its UID, its name, or a short name: `jpeg-baseline`, `rle-lossless`."""
    constants = {name: uid for name, uid in vars(uids).items() if isinstance(uid, str)}
    short = {_squeezed(name): uid for name, uid in constants.items() if uid in uids.TRANSFER_SYNTAXES}
    return _known(
        word,
        short | {_squeezed(name): uid for uid, name in ((uid, uids.name_of(uid)) for uid in uids.TRANSFER_SYNTAXES)},
    )


def _known(word: str, names: dict[str, str]) -> str:
    if uids.is_valid(word):
        return word
    found = names.get(_squeezed(word))
    if found is None:
        from difflib import get_close_matches

        close = [uids.name_of(names[one]) for one in get_close_matches(_squeezed(word), names, 3, 0.7)]
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise argparse.ArgumentTypeError(f"{word!a}: expected a UID or a name{hint}")
    return found


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
