"""Log records as JSON, one object a line, and which association a record is about, whoever made it.

    logging.getLogger().addHandler(json_handler())

What the servers say goes to the logger "dicos.server". Its records have `event` (a word), `association` (a number) and
`peer`; what anything else says while a handler runs, a database or the handler itself, gets the last two from here.

Knows: the standard library's logging. Must not know: sockets, what was transmitted: nothing that a peer sends becomes
a part of a record but AE titles, its address, and what it did wrong.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from ..addresses import printable
from .admission import CURRENT

__all__ = ["ATTRIBUTES", "Correlation", "JSONFormatter", "PlainTracebacks", "json_handler"]

ATTRIBUTES: Final = ("event", "association", "peer")
"""Attributes of records that go into the object, where a record has them."""


class Correlation(logging.Filter):
    """Gives each record that is made in the thread or task of an association its `association` and `peer`.

    For a handler of logging, not for a logger: those below a logger pass its filters by. A format string for people
    may then have `%(association)s`, with a default for records that are of none:

        logging.Formatter("%(asctime)s [%(association)s] %(message)s", defaults={"association": "-"})
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: nothing is left out."""
        connection = CURRENT.get()
        if connection is not None and not hasattr(record, "association"):
            record.association = connection.number
            record.peer = connection.peer
        return True


class PlainTracebacks(logging.Filter):
    """Makes what a formatter prints of an exception harmless to a terminal: what cannot be printed is escaped, and a
    text of several lines is indented, so that none of them looks like a record. The exception itself stays as it is.

    For a logger: those of the servers and of `Application` have it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: nothing is left out."""
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            lines: list[str] = []
            for entry in traceback.format_exception(*record.exc_info):
                first, *rest = entry.rstrip("\n").split("\n")
                lines += [first, *(line if line.startswith("  ") else f"    {line}" for line in rest)]
            record.exc_text = "\n".join(map(printable, lines))
        return True


class JSONFormatter(logging.Formatter):
    """One JSON object a line: `time` (UTC, ISO 8601), `level`, `logger`, then `ATTRIBUTES`, `text`, and of an exception
    `error`, its type, and `at`, the line that raised it.

    `details`: with the text of exceptions and their traceback, `traceback`. Those of a handler's own may quote what was
    received, patients' names included, so they are left out by default.
    """

    def __init__(self, *, details: bool = False) -> None:
        super().__init__()
        self._details = details

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        shown: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        shown |= {name: found for name in ATTRIBUTES if (found := getattr(record, name, None)) is not None}
        shown["text"] = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            shown["error"] = type(error).__name__
            if (at := _raised_at(error)) is not None:
                shown["at"] = at
            if self._details:
                shown["traceback"] = self.formatException(record.exc_info)
        return json.dumps(shown, default=repr)  # ASCII: U+2028 would be the end of a line to some


def _raised_at(error: BaseException) -> str | None:
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def json_handler(stream: TextIO | None = None, *, details: bool = False) -> logging.Handler:
    """A handler of logging that writes such lines to `stream`, by default to the standard error output."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter(details=details))
    handler.addFilter(Correlation())
    return handler
