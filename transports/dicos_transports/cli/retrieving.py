"""What `getscu` and `movescu` share: how a retrieval ended, in words and as an exit status."""

from __future__ import annotations

from dicos_proto.datasets import DataSetError
from dicos_proto.services.retrieve import Retrieved
from dicos_proto.status import SUCCESS, Category, category

from . import FAILED, OK
from .output import Output, plural
from .query import ended


def sum_up(out: Output, result: Retrieved, model: str, done: str, seconds: float) -> int:
    """Tell how it ended; the exit status: all sub-operations succeeded, a warning of one included, or not.

    `done`: the word for what was done.
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
    text = f"{done} {plural(counters.completed, 'object')} in {seconds:.2f} s"
    for number, word in (
        (counters.warning, "with a warning"),
        (counters.failed, "failed"),
        (counters.remaining, "remaining"),
    ):
        text += f", {number} {word}" if number else ""
    if response.status != SUCCESS:
        text += f"; {ended(response, model)}"
    # A warning says that some failed or had a warning: the counters say which.  # PS3.4 C.4.2.1.5
    warned = category(response.status) is Category.WARNING and counters.warning > 0
    good = (response.status == SUCCESS or warned) and not counters.failed
    (out.info if good else out.failure)(text)
    out.event("summary", status=response.status, completed=counters.completed, failed=counters.failed,
              warning=counters.warning, remaining=counters.remaining, failed_instances=list(failed),
              seconds=round(seconds, 6))  # fmt: skip
    return OK if good else FAILED
