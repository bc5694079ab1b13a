"""Reports that are sent to their destinations by C-STORE.

Knows: files, associations. Must not know: the index, when to try again. Invariant: a report counts as sent only if its
destination answers success.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicos_proto.conversation.flows import AssociationError
from dicos_proto.registry import status, uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import STRICT, Tolerance
from dicos_proto.upper_layer.pdu_types import ProposedContext

from ..addresses import NamedAddress, show_address
from ..blocking import Pool
from ..files.part10 import Part10Error, inspect
from ..files.sending import send_file
from ..sessions.base import ConnectionFailed
from ..sessions.pooling import PoolClosed, PoolExhausted

if TYPE_CHECKING:
    from ..tls.layer import ClientTLS

__all__ = ["CONTEXTS", "Destination", "NotDelivered"]

CONTEXTS: Final = (
    ProposedContext(
        id=1,
        abstract_syntax=uids.DICOS_TDR,
        transfer_syntaxes=(uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE),
    ),
)
_TIMEOUTS: Final = Timeouts()
IDLE: Final = 20.0
"""Seconds that an association is kept for the next report."""


class NotDelivered(Exception):
    """A report that did not reach its destination. The text says why, in one line."""


class Destination:
    """A peer that receives reports. `name`: as the page and the index name it."""

    def __init__(
        self,
        where: NamedAddress,
        *,
        calling_aet: str,
        application_context: str = uids.DICOM_APPLICATION_CONTEXT,
        timeouts: Timeouts = _TIMEOUTS,
        tolerance: Tolerance = STRICT,
        tls: ClientTLS | None = None,
    ) -> None:
        host, port = where.where
        self.name = f"{where.aet or 'ANY-SCP'}@{show_address((host, port))}"
        self._pool = Pool(
            (host, port), CONTEXTS, size=2, idle=IDLE, called_aet=where.aet or "ANY-SCP", calling_aet=calling_aet,
            application_context=application_context, tls=tls, timeouts=timeouts, tolerance=tolerance,
        )  # fmt: skip

    def send(self, path: Path) -> None:
        """Sends the report in the file `path`. Raises `NotDelivered`."""
        try:
            file = inspect(path)
            answer = self._pool.call(lambda session: send_file(session, file))
        except (AssociationError, ConnectionFailed, PoolClosed, PoolExhausted, Part10Error) as error:
            raise NotDelivered(str(error)) from error
        if status.category(answer.status) not in (status.Category.SUCCESS, status.Category.WARNING):
            raise NotDelivered(f"answered {status.describe(answer.status)}")

    def close(self) -> None:
        """Releases the associations."""
        self._pool.close()


def delays(attempts: int, longest: Sequence[float] = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)) -> float:
    """Seconds to wait after this number of failed attempts."""
    return longest[min(attempts, len(longest)) - 1]
