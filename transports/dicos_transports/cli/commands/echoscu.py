"""`dicos echoscu`: checks that a peer is reachable and speaks DICOM (C-ECHO)."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from dicos_proto import propose
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.registry import uids
from dicos_proto.registry.status import category, describe
from dicos_proto.registry.status_tables import Category

from .. import FAILED, NO_ASSOCIATION, OK
from ..options import count, user_parser
from ..output import Output, plural
from ..user import Caller


def main(words: Sequence[str]) -> int:
    parser = user_parser("echoscu", "Check that a peer answers: open an association, send C-ECHO, release it.")
    parser.add_argument("--repeat", type=count, default=1, metavar="N",
                        help="send N C-ECHO requests (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(words)
    caller = Caller(options, Output(options))
    return caller.runtime.run(lambda: _ask(caller, options.repeat))


async def _ask(caller: Caller, repeat: int) -> int:
    out = caller.out
    try:
        contact = await caller.open(propose([uids.VERIFICATION]))
    except AssociationError as error:
        out.error(str(error))
        return NO_ASSOCIATION
    failed, done = 0, 0
    begun = perf_counter()
    async with contact:
        try:
            for _ in range(repeat):
                sent = perf_counter()
                status = (await contact.session.echo()).status
                seconds = perf_counter() - sent
                contact.tell_deviations()
                done += 1
                found = category(status)
                failed += found not in (Category.SUCCESS, Category.WARNING)
                tell = {Category.SUCCESS: out.detail, Category.WARNING: out.info}.get(found, out.failure)
                tell(f"C-ECHO {done}: {describe(status)} in {seconds * 1000:.2f} ms")
                out.event("echo", status=status, seconds=round(seconds, 6))
        except (AssociationError, ContextNotAccepted) as error:
            out.error(str(error))
            failed += repeat - done
        seconds = perf_counter() - begun
    rate = f"{seconds * 1000:.1f} ms" if done <= 1 else f"{seconds:.2f} s, {done / seconds:.0f} a second"
    out.info(f"{contact.session.peer}: {repeat - failed} of {plural(repeat, 'C-ECHO')} succeeded in {rate}")
    out.event("summary", sent=repeat, answered=done, failed=failed, seconds=round(seconds, 6))
    return FAILED if failed else OK
