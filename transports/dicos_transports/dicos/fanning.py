"""One object, or several, to several servers at once, encoded once.

Each destination has a thread and an association of its own, and goes at its own speed. All of them send views of the
same memory: what a slow one holds beyond that is what its association may queue (`Limits.queued`), and a dead one costs
the time of its own deadlines (`Timeouts.connect`, `association`, `write_stall`, `response`), and `artim` if it does
not close the connection after that.

Knows: destinations, outcomes. Must not know: how an object is encoded. Invariants: one outcome for each destination,
also if another one fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from dicos_proto.dicos import DicosObject
from dicos_proto.errors import ProtocolError
from dicos_proto.registry import uids
from dicos_proto.registry.status import SUCCESS
from dicos_proto.upper_layer.negotiation import number_contexts
from dicos_proto.upper_layer.pdu_types import ProposedContext

from ..blocking import connect
from ..options import ConnectOptions
from .sending import Encoded, Sendable, send

__all__ = ["Delivery", "Destination", "fan_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A server to send to: `where` and `options` as for `blocking.connect`, for example `tls` and `timeouts`."""

    where: Any
    options: ConnectOptions = field(default_factory=ConnectOptions, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The outcome for one destination. `statuses`: those of the responses, in the order of the objects; fewer than
    objects if the association ended before. `error`: the reason for that, None if all were answered."""

    destination: Destination
    statuses: tuple[int, ...] = ()
    error: Exception | None = None

    @property
    def done(self) -> bool:
        """True if every object was answered with success."""
        return self.error is None and all(status == SUCCESS for status in self.statuses)


def fan_out(
    things: Sendable | Iterable[Sendable],
    destinations: Iterable[Destination],
    *,
    application_context: str = uids.DICOS_APPLICATION_CONTEXT_V03,
) -> Iterator[Delivery]:
    """Sends an object, or several in their order, to every destination at the same time. Yields the outcome of each as
    soon as it is known.

    Each object is encoded once for each transfer syntax that a destination accepts. `application_context`: proposed to
    the destinations whose options have none. Leaving the iterator early still waits for all of them. Raises TypeError
    for anything but objects, before anything is sent.
    """
    several = [things] if isinstance(things, DicosObject | Dataset | Encoded) else things
    encoded = [one if isinstance(one, Encoded) else Encoded(one) for one in several]
    wanted = list(destinations)
    return _deliveries(encoded, wanted, application_context)


def _deliveries(encoded: list[Encoded], wanted: list[Destination], application_context: str) -> Iterator[Delivery]:
    if not wanted:
        return
    contexts = _contexts(encoded)
    with ThreadPoolExecutor(len(wanted), thread_name_prefix="dicos-fan-out") as pool:
        running = [pool.submit(_deliver, encoded, contexts, one, application_context) for one in wanted]
        for done in as_completed(running):
            yield done.result()


def _contexts(encoded: list[Encoded]) -> tuple[ProposedContext, ...]:
    """One context for each SOP class, with all transfer syntaxes that its objects can be sent in."""
    pairs: dict[str, dict[str, None]] = {}
    for one in encoded:
        pairs.setdefault(one.sop_class_uid, {}).update(dict.fromkeys(one.transfer_syntaxes))
    return number_contexts((uid, tuple(syntaxes)) for uid, syntaxes in pairs.items())


def _deliver(
    encoded: list[Encoded], contexts: tuple[ProposedContext, ...], to: Destination, application_context: str
) -> Delivery:
    statuses: list[int] = []
    error: Exception | None = None
    options: dict[str, Any] = {"application_context": application_context, **to.options}
    try:
        with connect(to.where, contexts, **options) as session:
            for one in encoded:
                statuses.append(send(session, one).status)
    except (ProtocolError, OSError, ValueError, TypeError) as reason:
        error = reason
    return Delivery(destination=to, statuses=tuple(statuses), error=error)
