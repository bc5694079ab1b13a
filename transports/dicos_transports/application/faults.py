"""The log of applications, and what it says about a function that fails.

Invariant: the text of an error that is not one of this package is not sent, and logged at DEBUG only, because it may
contain anything, a patient's name too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb
from typing import Final

from dicos_proto.errors import ProtocolError

from ..addresses import printable
from ..serving.logs import PlainTracebacks
from .asked import Registered, SessionRequest, WrongAnswer

__all__ = ["LOG", "log_failure", "text_of"]

LOG: Final = logging.getLogger("dicos.application")
LOG.addFilter(PlainTracebacks())
LONGEST: Final = 1000
"""Characters of an error that are logged."""


def log_failure(request: SessionRequest, registered: Registered, error: Exception) -> None:
    """Logs that the function has failed for this request, and where."""
    at = _place(registered.function, error)
    text = f"{request.name} {request.command.message_id}: {registered.name} failed: {text_of(error)} ({at})"
    LOG.error("%s: %s", request.session.peer, text, extra={"event": "failed", "peer": request.session.peer})
    LOG.debug("the whole of it", exc_info=error)


def _place(function: Callable[..., object], error: Exception) -> str:
    """Location of the error, or of the function if it returned an invalid answer."""
    frames = extract_tb(error.__traceback__)
    code = getattr(function, "__code__", None)
    if isinstance(error, WrongAnswer) and code is not None:
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"


def text_of(error: Exception) -> str:
    """The text of an error if it is one of this package, which contains no values; otherwise the name of its type."""
    return printable(str(error)[:LONGEST]) if isinstance(error, ProtocolError) else type(error).__name__
