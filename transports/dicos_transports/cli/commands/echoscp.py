"""`dicos echoscp`: answers C-ECHO."""

from __future__ import annotations

from collections.abc import Sequence

from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_proto.upper_layer.policy import AcceptPolicy

from ...sessions.session import EchoRequest, Session
from ..options import max_length, provider_options, provider_parser
from ..output import Output
from ..provider import Counts, run
from ..runtimes.runtime import runtime


def main(words: Sequence[str]) -> int:
    parser = provider_parser("echoscp", "Answer C-ECHO requests until interrupted.")
    options = provider_options(parser, words)
    out = Output(options)
    counts = Counts()
    at = runtime(options)

    async def handle(session: Session) -> None:
        async for request in session:
            if isinstance(request, EchoRequest):
                await request.respond()
                with counts.lock:
                    counts.echoes += 1
                out.event("echo", peer=session.peer, calling_aet=session.request.calling_aet)

    policy = AcceptPolicy(
        contexts={uids.VERIFICATION: UNCOMPRESSED},
        called_aets=frozenset({options.aet}) if options.require_called_aet else None,
        max_length=max_length(options),
    )
    return run(at, options, out, policy, handle, counts, "answering C-ECHO")
