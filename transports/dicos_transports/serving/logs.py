"""Log records as JSON, one object per line, and the association that each record is about.

    logging.getLogger().addHandler(json_handler())

The servers log to "dicos.server". Their records have `event` (a word), `association` (a number) and `peer`. Records of
other code that runs inside a handler, such as a database library, get `association` and `peer` from `Correlation`.

Knows: the standard library's logging. Must not know: sockets, transmitted data. About a peer, records contain its AE
titles, its address and its faults, and nothing else.
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
"""Attributes of a record that are copied into the JSON object if the record has them."""


class Correlation(logging.Filter):
    """Adds `association` and `peer` to each record that is created in the thread or task of an association.

    Add it to a logging handler, not to a logger, whose filters ignore the records of its child loggers. A format string
    may then use `%(association)s`, with a default for records outside an association:

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
    """Makes the printed text of exceptions safe for a terminal, without changing the exceptions themselves.

    Unprintable characters are escaped, and further lines of a text are indented, so that none looks like a record. Add
    it to a logger; those of the servers and of `Application` have it.
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
    """Formats a record as one JSON object: `time` (UTC, ISO 8601), `level`, `logger`, `ATTRIBUTES` and `text`.

    For an exception, `error` is its type and `at` the line that raised it. `details` adds `traceback`, with the text of
    the exception. It is left out by default, because exceptions of a handler may quote received data, patients' names
    included.
    """

    def __init__(self, *, details: bool = False) -> None:
        super().__init__()
        self._details = details

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line end."""
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
        return json.dumps(shown, default=repr)  # ASCII only: some programs take U+2028 as a line end


def _raised_at(error: BaseException) -> str | None:
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def json_handler(stream: TextIO | None = None, *, details: bool = False) -> logging.Handler:
    """Return a logging handler that writes JSON lines to `stream`, by default to standard error."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter(details=details))
    handler.addFilter(Correlation())
    return handler
