"""`dicos echoscp`: answers C-ECHO."""

from __future__ import annotations

from collections.abc import Sequence

from dicos_proto import uids
from dicos_proto.negotiation import UNCOMPRESSED, AcceptPolicy

from ..blocking import EchoRequest, Session
from .options import provider_parser
from .output import Output
from .provider import Counts, run


def main(words: Sequence[str]) -> int:
    parser = provider_parser("echoscp", "Answer C-ECHO, until it is interrupted.")
    options = parser.parse_args(words)
    out = Output(options)
    counts = Counts()

    def handle(session: Session) -> None:
        for request in session:
            if isinstance(request, EchoRequest):
                request.respond()
                with counts.lock:
                    counts.echoes += 1
                out.event("echo", peer=session.peer, calling_aet=session.request.calling_aet)

    policy = AcceptPolicy(
        contexts={uids.VERIFICATION: UNCOMPRESSED},
        called_aets=frozenset({options.aet}) if options.require_called_aet else None,
        max_length=options.max_pdu,
    )
    return run(options, out, policy, handle, counts, "answering C-ECHO")
