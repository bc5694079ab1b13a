"""`dicos findscu`: queries a peer (C-FIND) and prints the matches as a table or as DICOM JSON."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from math import isfinite, isnan
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dicos_proto import dimse, propose
from dicos_proto.conversation.flows import AssociationError, ContextNotAccepted
from dicos_proto.conversation.reading import DataSetTooLong
from dicos_proto.data import datasets
from dicos_proto.data.datasets import Attributes, DataSetError
from dicos_proto.errors import LocalProtocolError
from dicos_proto.registry.status import SUCCESS, UNABLE_TO_PROCESS, category
from dicos_proto.registry.status_tables import Category

from .. import FAILED, INTERRUPTED, OK, USAGE
from ..options import count, user_parser
from ..output import Output, plural
from ..query import PRIORITIES, add_options, ask_each, cancel, ended, identifiers, why_refused
from ..user import Caller, Contact

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def main(words: Sequence[str]) -> int:
    parser = user_parser("findscu", "Query a peer (C-FIND).")
    add_options(parser, "find")
    parser.add_argument("--max", type=count, metavar="N",
                        help="print at most N matches, then send C-CANCEL (default: no limit)")  # fmt: skip
    options = parser.parse_args(words)
    out = Output(options)
    asked = identifiers(options, out, "find")
    if asked is None:
        return USAGE
    caller = Caller(options, out)
    return caller.runtime.run(lambda: _find(caller, options, asked))


async def _find(caller: Caller, options: argparse.Namespace, asked: list[Dataset]) -> int:
    async def one(contact: Contact, identifier: Dataset) -> int:
        return await _Finding(caller, contact, options, identifier).run()

    return await ask_each(caller, propose([options.model]), asked, one)


class _Finding:
    """One query and its matches."""

    def __init__(self, caller: Caller, contact: Contact, options: argparse.Namespace, identifier: Dataset) -> None:
        from .. import table

        self._caller = caller
        self._contact = contact
        self._options = options
        self._out = caller.out
        self._identifier = identifier
        self._columns = table.columns(identifier, options.key)
        self._row_of = table.row_of
        self._table = table.Table([column.name for column in self._columns], self._say)
        self._matches = 0
        self._unreadable = 0

    async def run(self) -> int:
        """Run the query. Returns the exit status: `INTERRUPTED` if Ctrl-C was pressed and the peer ended the query."""
        out, options, contact = self._out, self._options, self._contact
        begun = perf_counter()
        try:
            answers = contact.session.find(options.model, self._identifier, priority=PRIORITIES[options.priority])
            stop = cancel(contact.session, answers)
            async with self._caller.runtime.cancelling(stop) as interrupt:
                while True:
                    try:
                        match = await contact.session.run(answers.operation.next())
                    except DataSetTooLong as error:
                        self._unreadable += 1
                        out.failure(f"unreadable match: {error}")
                        continue
                    if match is None:
                        break
                    contact.tell_deviations()
                    if options.max is None or self._matches < options.max:
                        self._take(match.attributes)
                        if self._matches == options.max:
                            stop()
        except (AssociationError, ContextNotAccepted, DataSetError, LocalProtocolError) as error:
            self._table.end()
            out.error(why_refused(error) if isinstance(error, ContextNotAccepted) else str(error))
            return FAILED
        self._table.end()
        contact.tell_deviations()
        return self._sum_up(answers.response, perf_counter() - begun, interrupted=interrupt.asked)

    def _take(self, found: Attributes) -> None:
        self._matches += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the warnings would quote values
                dataset = found.dataset
                if self._out.json:
                    self._out.event("match", number=self._matches, attributes=_json_of(dataset))
                else:
                    self._table.add(self._row_of(dataset, self._columns))
        except DataSetError as error:
            self._unreadable += 1
            self._out.failure(f"match {self._matches}: {error}")
            self._out.event("unreadable", number=self._matches, why=str(error))

    def _say(self, line: str) -> None:
        self._out.answer(line)

    def _sum_up(self, response: dimse.DimseResponse | None, seconds: float, *, interrupted: bool) -> int:
        out = self._out
        status = UNABLE_TO_PROCESS if response is None else response.status
        enough = self._matches == self._options.max
        found = category(status)
        good = found in (Category.SUCCESS, Category.WARNING) or (enough and found is Category.CANCEL)
        text = f"{plural(self._matches, 'match', 'matches')} in {seconds:.2f} s"
        if self._unreadable:
            text += f", {self._unreadable} unreadable"
        if response is not None and not (good and status == SUCCESS):
            text += f"; {ended(response, self._options.model)}"
        (out.info if good else out.failure)(text)
        out.event("summary", matches=self._matches, unreadable=self._unreadable, status=status,
                  seconds=round(seconds, 6))  # fmt: skip
        if interrupted:
            return INTERRUPTED
        return OK if good and not self._unreadable else FAILED


def _json_of(dataset: Dataset) -> dict[str, Any]:
    """Return the DICOM JSON model of a match, without values that do not fit their VR [PS3.18 F]."""
    found: dict[str, Any] = {}
    for tag in dataset.keys():  # noqa: SIM118  reading an element would convert its value
        try:
            found[f"{int(tag):08X}"] = _told(dataset[tag].to_json_dict(None, 0))
        except datasets.faults():
            found[f"{int(tag):08X}"] = {"vr": "UN"}
    return found


def _told(value: Any) -> Any:
    """Return the value with NaN, inf and -inf, which JSON lacks, replaced by strings [PS3.18 F.2.2]."""
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else str(value)
    return value
