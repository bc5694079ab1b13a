"""Reports the outcome of a retrieval by `getscu` and `movescu`, as text and as an exit status."""

from __future__ import annotations

from dicos_proto.data.datasets import DataSetError
from dicos_proto.registry.status import SUCCESS, category
from dicos_proto.registry.status_tables import Category
from dicos_proto.services.retrieve import Counters, Retrieved

from . import FAILED, OK
from .output import Output, plural
from .query import ended


def sum_up(out: Output, result: Retrieved, model: str, done: str, seconds: float, came: int | None = None) -> int:
    """Report the outcome. Returns the exit status: `OK` if all sub-operations succeeded, with or without warnings.

    `done`: the verb for the output. `came`: the number of objects that were received and stored here, if known.
    """
    counters, response = result.counters, result.response
    for fault in result.faults:
        out.info(fault)
    try:
        failed = result.failed_instances
    except DataSetError as error:
        out.failure(str(error))
        failed = ()
    for uid in failed:
        out.failure(f"{uid!a}: failed")
    text = f"{done} {_how_many(result, came)}in {seconds:.2f} s"
    for number, word in (
        (counters.warning, "with a warning"),
        (counters.failed, "failed"),
        (counters.remaining if result.counted else 0, "remaining"),
    ):
        text += f", {number} {word}" if number else ""
    if not result.counted and category(response.status) is not Category.FAILURE:
        text += f"; the peer gave no {'' if _uncounted(result) else 'final '}counts"
    if response.status != SUCCESS:
        text += f"; {ended(response, model)}"
    # A warning status covers failed sub-operations as well; the counters distinguish them.  # PS3.4 C.4.2.1.5
    warned = category(response.status) is Category.WARNING and counters.warning > 0
    good = (response.status == SUCCESS or warned) and not counters.failed
    (out.info if good else out.failure)(text)
    out.event("summary", status=response.status, completed=counters.completed, failed=counters.failed,
              warning=counters.warning, remaining=counters.remaining, counted=result.counted, came=came,
              failed_instances=list(failed), seconds=round(seconds, 6))  # fmt: skip
    return OK if good else FAILED


def _how_many(result: Retrieved, came: int | None) -> str:
    """Return `3 objects `, by the peer's final counters or else by the count here; empty if there is neither."""
    if not result.counted and came is not None:
        return f"{plural(came, 'object')} "
    silent = _uncounted(result) and category(result.response.status) is not Category.FAILURE
    return "" if silent else f"{plural(result.counters.completed, 'object')} "


def _uncounted(result: Retrieved) -> bool:
    """Return True if the peer gave no counters at all."""
    return not result.counted and result.counters == Counters()
