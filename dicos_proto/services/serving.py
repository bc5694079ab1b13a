"""The common part of the providers of normalized SOP classes: refusals, required attributes [PS3.7 10.1].

Knows: the status for each fault of a request. Must not know: the purpose of a SOP class.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow
from ..conversation.reading import DataSetTooLong
from ..data.datasets import Attributes, Content, DataSetError, convert, decode
from ..dimse.events import MessageStart
from ..dimse.types import (
    AnyRequest,
    AnyResponse,
    NActionRequest,
    NCreateRequest,
    NCreateResponse,
    NEventReportRequest,
    NGetRequest,
    NGetResponse,
    NSetRequest,
    NSetResponse,
    response_to,
    sop_class_of,
    sop_instance_of,
)
from ..errors import LocalProtocolError, ProtocolError
from ..registry import status, uids
from .performing import ProviderOperation

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


_CHARACTER_SET: Final = 0x00080005


class Refused(ProtocolError):
    """A request or report that is answered with a failure: the status and the reason, without values of attributes.

    `code`: the status. `comment`: the reason. `tags`: the attributes concerned. `error_id`: a code of the SOP class, if
    it has any. Nothing has changed, and the association can still be used.
    """

    def __init__(self, code: int, comment: str, tags: tuple[int, ...] = (), error_id: int | None = None) -> None:
        super().__init__(code, comment, tags, error_id)
        self.code, self.comment, self.tags, self.error_id = code, comment, tags, error_id

    def __str__(self) -> str:
        return f"{status.describe(self.code)}: {self.comment}"


class NormalizedOperation(ProviderOperation):
    """Provider side: one DIMSE-N operation. `read` returns its data set, `grant` or `refuse` answers it."""

    __slots__ = ("attributes",)

    def __init__(self, exchange: Exchange, start: MessageStart) -> None:
        """Raises TypeError if `start` is not a request."""
        super().__init__(exchange, start)
        self.attributes: Attributes | None = None
        """The data set as it was received, once `read` has returned; None if there is none."""

    @property
    def sop_class_uid(self) -> str:
        """The SOP class in the command, which may differ from the abstract syntax of its context."""
        return sop_class_of(self.request)

    @property
    def sop_instance_uid(self) -> str | None:
        """The SOP instance in the command; None in an N-CREATE that leaves the choice to the provider."""
        return sop_instance_of(self.request)

    def expect(
        self,
        operations: tuple[type[AnyRequest], ...],
        sop_classes: Collection[str],
        *,
        instance: str | None = None,
        types: Collection[int] | None = None,
    ) -> None:
        """Raises `Refused` for any other operation, SOP class, or type of action or event.

        `instance`: the only (well-known) instance.
        """
        request = self.request
        if not isinstance(request, operations):
            raise Refused(status.UNRECOGNIZED_OPERATION, f"{request.NAME} is not an operation of this SOP class")
        if self.sop_class_uid not in sop_classes:
            raise Refused(status.NO_SUCH_SOP_CLASS, "not a SOP class of this presentation context")
        if instance is not None and self.sop_instance_uid != instance:
            raise Refused(status.NO_SUCH_SOP_INSTANCE, "only the well-known SOP instance exists")
        if types is not None:
            if isinstance(request, NActionRequest) and request.action_type_id not in types:
                raise Refused(status.NO_SUCH_ACTION_TYPE, f"action type {request.action_type_id}")
            if isinstance(request, NEventReportRequest) and request.event_type_id not in types:
                raise Refused(status.NO_SUCH_EVENT_TYPE, f"event type {request.event_type_id}")

    def read(self) -> Flow[Dataset]:
        """Returns the data set of the request, decoded and converted, empty if it has none. The bytes are in
        `attributes`.

        Raises `Refused` if it is too long or not a data set, and as `Exchange.step` does.
        """
        from pydicom.dataset import Dataset

        try:
            self.attributes = yield from self.receive()
            return Dataset() if self.attributes is None else convert(self.attributes.dataset)
        except DataSetTooLong as fault:
            raise Refused(status.RESOURCE_LIMITATION, str(fault)) from fault
        except DataSetError as fault:
            # The data set of an N-ACTION or N-EVENT-REPORT is an argument.  # PS3.7 10.1.1.1.8, 10.1.4.1.10
            about_attributes = isinstance(self.request, NCreateRequest | NSetRequest)
            code = status.PROCESSING_FAILURE if about_attributes else status.INVALID_ARGUMENT_VALUE
            raise Refused(code, str(fault)) from fault

    def selected(self, dataset: Dataset) -> Dataset:
        """Returns the attributes that an N-GET asks for [PS3.7 10.1.2.1.3]."""
        from pydicom.dataset import Dataset

        request = self.request
        tags = request.attribute_identifier_list if isinstance(request, NGetRequest) else None
        if tags is None:
            return dataset
        found = Dataset()
        for tag in (*tags, _CHARACTER_SET):  # without it, the texts could not be read.  # PS3.3 C.12.1.1.2
            if tag in dataset:
                found[tag] = dataset[tag]
        return found

    def grant(
        self,
        given: Content | None = None,
        *,
        code: int = status.SUCCESS,
        comment: str | None = None,
        sop_instance_uid: str | None = None,
    ) -> Flow[None]:
        """Answers with success or a warning.

        `sop_instance_uid`: the UID of the new instance, if the N-CREATE had none.
        """
        response = response_to(self.request, code, comment)
        if isinstance(response, NCreateResponse):
            instance = sop_instance_uid or self.sop_instance_uid
            if instance is None:  # the user has no other way to learn it.  # PS3.7 10.1.5.1.2
                raise LocalProtocolError("a response that does not name the created instance [PS3.7 10.1.5.1.2]")
            response = replace(response, affected_sop_instance_uid=instance)
        yield from self.answer(response, given)

    def refuse(self, refused: Refused) -> Flow[None]:
        """Answers with the failure that `refused` describes."""
        yield from self.answer(self.refusal(refused))

    def refusal(self, refused: Refused) -> AnyResponse:
        """Returns the response that `refuse` sends."""
        response = replace(
            response_to(self.request, refused.code, refused.comment),
            offending_element=refused.tags or None,
            error_id=refused.error_id,
        )
        if isinstance(response, NCreateResponse | NSetResponse | NGetResponse):
            response = replace(response, attribute_identifier_list=refused.tags or None)  # PS3.7 C.5
        return response


# -- required attributes -------------------------------------------------------------------------------------------


class Needed(NamedTuple):
    """A required attribute: type 1 has a value, type 2 may be empty [PS3.5 7.4].

    `items`: the required attributes of each item, if it is a sequence.
    """

    keyword: str
    type: int
    items: tuple[Needed, ...] = ()


def require(dataset: Dataset, needed: tuple[Needed, ...]) -> None:
    """Raises `Refused`: 0x0120 if attributes are missing, 0x0121 if only values are. The tags name them."""
    from pydicom.datadict import tag_for_keyword

    absent, empty = list(_unmet(dataset, needed, empty=False)), list(_unmet(dataset, needed, empty=True))
    for keywords, code in ((absent, status.MISSING_ATTRIBUTE), (empty, status.MISSING_ATTRIBUTE_VALUE)):
        if keywords:
            tags = dict.fromkeys(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)
            raise Refused(code, ", ".join(dict.fromkeys(keywords)), tuple(tags))


def _unmet(dataset: Dataset, needed: tuple[Needed, ...], *, empty: bool) -> Iterator[str]:
    """Yields the keywords of missing attributes; with `empty`, of present ones that lack a required value."""
    for one in needed:
        if one.keyword not in dataset:
            if not empty:
                yield one.keyword
        elif empty and one.type == 1 and dataset[one.keyword].is_empty:
            yield one.keyword
        else:
            for item in items_of(dataset, one.keyword):
                yield from _unmet(item, one.items, empty=empty)


def text_of(dataset: Dataset, keyword: str) -> str:
    """Returns the value of an attribute; empty if it has no value, several values, or a value that is not text."""
    value = dataset.get(keyword)
    return str(value) if isinstance(value, str) else ""


def uid_of(dataset: Dataset, keyword: str) -> str:
    """Like `text_of`, for a UID: empty if the value cannot be a UID."""
    value = text_of(dataset, keyword)
    return value if uids.is_safe(value) else ""


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Returns the items of a sequence; none if it is absent or not a sequence."""
    if keyword not in dataset or dataset[keyword].VR != "SQ":
        return []
    return list(dataset[keyword].value)


def amended(given: Content | None, transfer_syntax: str, **values: object) -> Dataset:
    """Returns a new data set: `given`, which may be bytes in `transfer_syntax`, with these values by keyword.

    Raises `DataSetError` if `given` cannot be decoded.
    """
    from ..data.conversion import QuietDataset

    if isinstance(given, bytes | bytearray | memoryview):
        given = decode(given, transfer_syntax)
    elif isinstance(given, Attributes):
        given = given.dataset
    made = QuietDataset()
    if given is not None:
        made.update(given)
    for keyword, value in values.items():
        made.pop(keyword, None)  # or the element would change in `given`, too
        setattr(made, keyword, value)
    return made


# -- references ----------------------------------------------------------------------------------------------------


class Reference(NamedTuple):
    """A reference to a SOP instance."""

    sop_class_uid: str
    sop_instance_uid: str


def reference_to(reference: Reference) -> Dataset:
    """Returns an item of a sequence that refers to an instance [PS3.3 10.8]."""
    from pydicom.dataset import Dataset

    from ..data.writing import uid_element

    made = Dataset()
    for keyword, uid in zip(("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"), reference, strict=True):
        made.add(uid_element(keyword, uid))
    return made


def references_in(dataset: Dataset, keyword: str) -> tuple[Reference, ...]:
    """Returns the references in a sequence. Raises `Refused` 0x0115 for an item without a valid reference."""
    found = tuple(
        Reference(uid_of(item, "ReferencedSOPClassUID"), uid_of(item, "ReferencedSOPInstanceUID"))
        for item in items_of(dataset, keyword)
    )
    for index, (sop_class, instance) in enumerate(found, 1):
        if not sop_class or not instance:
            raise Refused(status.INVALID_ARGUMENT_VALUE, f"item {index} of {keyword}: not a reference")
    return found
