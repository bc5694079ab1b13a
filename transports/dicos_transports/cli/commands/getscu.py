"""`dicos getscu`: retrieves objects from a peer over the same association (C-GET)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Final

from dicos_proto.conversation import planning
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.conversation.planning import Proposal, ProposedService
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data.datasets import DataSetError
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry import uids
from dicos_proto.registry.status_tables import Category
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED

from .. import FAILED, INTERRUPTED, USAGE
from ..options import count, user_parser
from ..output import Output, plural
from ..provider import Counts
from ..query import PRIORITIES, add_options, ask_each, cancel, identifiers, sop_class, transfer_syntax, why_refused
from ..receiving import Receiving, add_folder, fit_folder
from ..retrieving import sum_up
from ..user import Caller, Contact

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

RARE: Final = ("Trial", "Standalone", "Hardcopy", "Stored Print", "Template", "Protocol", "Instruction", "Palette")
"""Words in the names of SOP classes that are proposed last: retired ones, and neither images nor reports."""


def main(words: Sequence[str]) -> int:
    parser = user_parser("getscu", "Retrieve objects from a peer (C-GET) and store them as files.")
    add_options(parser, "get")
    add_folder(parser)
    parser.add_argument("--sop-class", type=sop_class, action="append", metavar="UID",
                        help="propose only this storage SOP class, by UID or name; may be repeated (default: as many "
                        "as an association can hold)")  # fmt: skip
    parser.add_argument("-x", "--transfer-syntax", type=transfer_syntax, action="append", default=[], metavar="UID",
                        help="also propose this transfer syntax, by UID or name (such as rle-lossless), in "
                        "presentation contexts of its own; may be repeated")  # fmt: skip
    parser.add_argument("--max-object", type=count, metavar="BYTES", help="refuse larger objects (default: no limit)")
    options = parser.parse_args(words)
    out = Output(options)
    asked = identifiers(options, out, "get")
    if asked is None or not fit_folder(options, out):
        return USAGE
    caller = Caller(options, out)
    return caller.runtime.run(lambda: _get(caller, options, asked))


def proposal(options: argparse.Namespace) -> Proposal:
    """Return the contexts to propose: the information model, the uncompressed storage SOP classes, and the others."""
    classes = tuple(options.sop_class or sorted(uids.STORAGE_SOP_CLASSES, key=_rarity))
    services = [*planning.get_services(classes, UNCOMPRESSED, model=options.model)]
    services += [
        ProposedService(sop_classes=classes, transfer_syntaxes=(syntax,), scu=False, scp=True)
        for syntax in dict.fromkeys(options.transfer_syntax)
        if syntax not in UNCOMPRESSED
    ]
    return planning.contexts_for(services)


def _rarity(uid: str) -> int:
    return int(any(word in uids.name_of(uid) for word in RARE))


async def _get(caller: Caller, options: argparse.Namespace, asked: list[Dataset]) -> int:
    out = caller.out
    planned = proposal(options)
    if planned.left_out:
        (out.info if options.sop_class else out.detail)(
            f"{plural(len(planned.left_out), 'storage context')} not proposed, beyond the limit of "
            f"{planning.CONTEXTS}: select SOP classes by --sop-class"
        )
    counts = Counts()
    receiving = Receiving.by(options, caller.runtime, out, counts)

    async def one(contact: Contact, identifier: Dataset) -> int:
        return await _one(caller, contact, options, identifier, receiving)

    status = await ask_each(caller, planned.contexts, asked, one, roles=planned.roles)
    return FAILED if counts.failed else status


async def _one(
    caller: Caller, contact: Contact, options: argparse.Namespace, identifier: Dataset, receiving: Receiving
) -> int:
    out, session, begun = caller.out, contact.session, perf_counter()
    try:
        answers = session.get(options.model, identifier, priority=PRIORITIES[options.priority])
        async with caller.runtime.cancelling(cancel(session, answers)) as interrupt:
            async for request in answers:
                await receiving.receive(request)
                contact.tell_deviations()
    except (AssociationError, ContextNotAccepted, DataSetError, DataSetTooLong, LocalProtocolError) as error:
        out.error(why_refused(error) if isinstance(error, ContextNotAccepted) else str(error))
        return FAILED
    contact.tell_deviations()
    result = answers.operation.result
    if result is None:
        return FAILED
    came = sum(one.category is not Category.FAILURE for one in result.instances)
    status = sum_up(out, result, options.model, "fetched", perf_counter() - begun, came)
    return INTERRUPTED if interrupt.asked else status
