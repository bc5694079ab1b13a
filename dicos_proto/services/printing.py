"""Print management: film sessions, film boxes, image boxes, the printer, presentation LUTs [PS3.4 annex H].

User side: one flow for each operation. `create_film_box` returns image boxes, which are then set one by one; then the
film box or the session is printed. Provider side: `Printing` applies the rules to a request. `Film` is a value with all
that one association has created; the caller keeps it. A `PrintJob` describes what to print.

The contexts of the meta SOP classes carry commands of several SOP classes (`META`) [PS3.4 H.3.2].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ..conversation.exchange import Exchange
from ..conversation.flows import Flow, find_context
from ..data.datasets import Content, convert
from ..dimse.types import (
    AnyRequest,
    NActionRequest,
    NCreateRequest,
    NDeleteRequest,
    NEventReportRequest,
    NGetRequest,
    NSetRequest,
)
from ..registry import status, uids
from .normalized import Result, n_action, n_create, n_delete, n_event_report, n_get, n_set
from .serving import (
    Needed,
    NormalizedOperation,
    Reference,
    Refused,
    amended,
    reference_to,
    references_in,
    require,
    text_of,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GRAYSCALE: Final = uids.BASIC_GRAYSCALE_PRINT_MANAGEMENT_META
COLOR: Final = uids.BASIC_COLOR_PRINT_MANAGEMENT_META
SESSION, BOX, PRINTER = uids.BASIC_FILM_SESSION, uids.BASIC_FILM_BOX, uids.PRINTER
GRAYSCALE_IMAGE, COLOR_IMAGE = uids.BASIC_GRAYSCALE_IMAGE_BOX, uids.BASIC_COLOR_IMAGE_BOX
PRESENTATION_LUT: Final = uids.PRESENTATION_LUT

META: Final = {  # PS3.4 tables H.3.2.2.1-1, H.3.2.2.2-1
    GRAYSCALE: (SESSION, BOX, GRAYSCALE_IMAGE, PRINTER),
    COLOR: (SESSION, BOX, COLOR_IMAGE, PRINTER),
}
"""Meta SOP class -> the SOP classes that it stands for."""

_IMAGE_BOX: Final = {GRAYSCALE: GRAYSCALE_IMAGE, COLOR: COLOR_IMAGE}
_IMAGE_SEQUENCE: Final = {GRAYSCALE_IMAGE: "BasicGrayscaleImageSequence", COLOR_IMAGE: "BasicColorImageSequence"}

PRINT: Final = 1
"""Action type of both film SOP classes [PS3.4 tables H.4.1-9, H.4.2-9]."""

PRINTER_EVENTS: Final = {1: "NORMAL", 2: "WARNING", 3: "FAILURE"}
"""Event type -> Printer Status (2110,0010) [PS3.4 table H.4.6-3]."""

_ALONE: Final = (PRINTER, PRESENTATION_LUT)
"""SOP classes that are negotiated as themselves."""

_OPERATIONS: Final[dict[str, tuple[type[AnyRequest], ...]]] = {
    SESSION: (NCreateRequest, NSetRequest, NDeleteRequest, NActionRequest),  # PS3.4 H.4.1.2
    BOX: (NCreateRequest, NSetRequest, NDeleteRequest, NActionRequest),  # PS3.4 H.4.2.2
    GRAYSCALE_IMAGE: (NSetRequest,),  # PS3.4 H.4.3.1.2
    COLOR_IMAGE: (NSetRequest,),  # PS3.4 H.4.3.2.2
    PRINTER: (NGetRequest,),  # PS3.4 H.4.6.2
    PRESENTATION_LUT: (NCreateRequest, NDeleteRequest),  # PS3.4 H.4.9.2
}


# -- user side -----------------------------------------------------------------------------------------------------


def create_film_session(
    exchange: Exchange, sop_instance_uid: str | None = None, attributes: Content | None = None, *, meta: str = GRAYSCALE
) -> Flow[Result]:
    """User side: creates a film session by N-CREATE [PS3.4 H.4.1.2.1].

    If `sop_instance_uid` is None, the response names the UID. `meta`: `GRAYSCALE` or `COLOR`. Raises as
    `normalized.n_create` does, and so do the other flows of this module.
    """
    return (yield from n_create(exchange, SESSION, sop_instance_uid, attributes, negotiated=meta))


def create_film_box(
    exchange: Exchange,
    session_uid: str,
    attributes: Content,
    sop_instance_uid: str | None = None,
    *,
    meta: str = GRAYSCALE,
) -> Flow[tuple[Result, tuple[Reference, ...]]]:
    """User side: creates a film box of this session by N-CREATE [PS3.4 H.4.2.2.1].

    Returns the result, and the image boxes if the provider created the film box. `attributes`: must have an Image
    Display Format. Raises `Refused` if the response has invalid references, and `DataSetError`.
    """
    syntax = find_context(exchange.association, meta).transfer_syntax
    given = amended(attributes, syntax, ReferencedFilmSessionSequence=[reference_to(Reference(SESSION, session_uid))])
    result = yield from n_create(exchange, BOX, sop_instance_uid, given, negotiated=meta)
    if result.attributes is None:
        return result, ()
    return result, references_in(convert(result.attributes.dataset), "ReferencedImageBoxSequence")


def set_image_box(
    exchange: Exchange, image_box: Reference, image: Content, position: int = 1, *, meta: str = GRAYSCALE
) -> Flow[Result]:
    """User side: puts an image, with its pixel data, into an image box by N-SET [PS3.4 H.4.3]."""
    syntax = find_context(exchange.association, meta).transfer_syntax
    sequence = {_IMAGE_SEQUENCE[_IMAGE_BOX[meta]]: [amended(image, syntax)]}
    given = amended(None, syntax, ImageBoxPosition=position, **sequence)
    return (yield from n_set(exchange, image_box.sop_class_uid, image_box.sop_instance_uid, given, negotiated=meta))


def print_film_box(exchange: Exchange, sop_instance_uid: str, *, meta: str = GRAYSCALE) -> Flow[Result]:
    """User side: prints one film box by N-ACTION [PS3.4 H.4.2.2.4]."""
    return (yield from n_action(exchange, BOX, sop_instance_uid, PRINT, negotiated=meta))


def print_film_session(exchange: Exchange, sop_instance_uid: str, *, meta: str = GRAYSCALE) -> Flow[Result]:
    """User side: prints all film boxes of a session by N-ACTION [PS3.4 H.4.1.2.4]."""
    return (yield from n_action(exchange, SESSION, sop_instance_uid, PRINT, negotiated=meta))


def delete_film_box(exchange: Exchange, sop_instance_uid: str, *, meta: str = GRAYSCALE) -> Flow[Result]:
    """User side: deletes a film box and its image boxes by N-DELETE [PS3.4 H.4.2.2.3]."""
    return (yield from n_delete(exchange, BOX, sop_instance_uid, negotiated=meta))


def delete_film_session(exchange: Exchange, sop_instance_uid: str, *, meta: str = GRAYSCALE) -> Flow[Result]:
    """User side: deletes a film session and everything in it by N-DELETE [PS3.4 H.4.1.2.3]."""
    return (yield from n_delete(exchange, SESSION, sop_instance_uid, negotiated=meta))


def get_printer(exchange: Exchange, tags: tuple[int, ...] | None = None, *, meta: str = GRAYSCALE) -> Flow[Result]:
    """User side: gets the status and the name of the printer by N-GET [PS3.4 H.4.6.2.1]."""
    return (yield from n_get(exchange, PRINTER, uids.PRINTER_INSTANCE, tags, negotiated=meta))


def create_presentation_lut(
    exchange: Exchange, attributes: Content, sop_instance_uid: str | None = None
) -> Flow[Result]:
    """User side: creates a presentation LUT, to which film boxes or image boxes can refer, by N-CREATE
    [PS3.4 H.4.9]."""
    return (yield from n_create(exchange, PRESENTATION_LUT, sop_instance_uid, attributes))


def delete_presentation_lut(exchange: Exchange, sop_instance_uid: str) -> Flow[Result]:
    """User side: deletes a presentation LUT by N-DELETE [PS3.4 H.4.9.2.2]."""
    return (yield from n_delete(exchange, PRESENTATION_LUT, sop_instance_uid))


class PrinterReported(NormalizedOperation):
    """User side: one event of the printer. `read_status` returns it, `grant` or `refuse` answers it [PS3.4 H.4.6.1]."""

    __slots__ = ()

    def read_status(self) -> Flow[tuple[str, str]]:
        """Returns Printer Status and, if it is not NORMAL, Printer Status Info.

        Raises `Refused`, and as `Exchange.step` does.
        """
        self.expect((NEventReportRequest,), (PRINTER,), instance=uids.PRINTER_INSTANCE, types=PRINTER_EVENTS)
        dataset = yield from self.read()
        return PRINTER_EVENTS[getattr(self.request, "event_type_id", 0)], text_of(dataset, "PrinterStatusInfo")


# -- provider side -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBox:
    """A place for an image. `dataset`: the image, None until it is set."""

    reference: Reference
    dataset: Dataset | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmBox:
    """A film: its attributes, and its image boxes in the order of position."""

    sop_instance_uid: str
    dataset: Dataset = field(repr=False)
    image_boxes: tuple[ImageBox, ...]

    @property
    def empty(self) -> bool:
        """True if no image is set."""
        return all(one.dataset is None for one in self.image_boxes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """All that one association has created: a film session at most, its film boxes, presentation LUTs [PS3.4 H.2.4]."""

    session_uid: str | None = None
    session: Dataset | None = field(default=None, repr=False)
    boxes: tuple[FilmBox, ...] = ()
    luts: tuple[tuple[str, Dataset], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintJob:
    """A job to print: film boxes, and the attributes of their session."""

    session: Dataset | None = field(repr=False)
    boxes: tuple[FilmBox, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The effect of an operation: the film to keep, the values to answer (`NormalizedOperation.grant`), the job to
    print."""

    film: Film
    code: int = status.SUCCESS
    sop_instance_uid: str | None = None
    dataset: Dataset | None = field(default=None, repr=False)
    job: PrintJob | None = None


def image_boxes_of(display_format: str) -> int:
    """Returns the number of image boxes of an Image Display Format (2010,0010) [PS3.3 C.13.3]. Raises `Refused` 0x0106.

    >>> image_boxes_of(r"STANDARD\\2,3")
    6
    """
    kind, _, numbers = display_format.partition("\\")
    counts = [int(one) for one in numbers.split(",") if one.isascii() and one.isdigit() and len(one) <= _DIGITS]
    if counts and len(counts) == numbers.count(",") + 1 and all(counts):
        total = {"STANDARD": counts[0] * counts[-1] if len(counts) == 2 else 0, "ROW": sum(counts), "COL": sum(counts)}
        if 0 < total.get(kind, 0) <= MOST_IMAGE_BOXES:
            return total[kind]
    raise Refused(status.INVALID_ATTRIBUTE_VALUE, "Image Display Format: STANDARD, ROW, COL", (0x20100010,))


_DIGITS: Final = 3
MOST_IMAGE_BOXES: Final = 400
"""The most image boxes of one film. Stops: a format of a few characters that asks for a million image boxes."""


class Printing(NormalizedOperation):
    """Provider side: one operation. `work` applies it to the film; then `grant` or `refuse` answers."""

    __slots__ = ()

    def work(self, film: Film, new_uids: Iterator[str], printer: Dataset) -> Flow[Done]:
        """Applies the request to `film`, all that this association has created so far.

        `new_uids`: an endless source of SOP Instance UIDs, for image boxes and for instances that users leave unnamed.
        `printer`: the attributes of the printer.

        The caller keeps `Done.film`, answers with `grant(done.dataset, code=done.code,
        sop_instance_uid=done.sop_instance_uid)` and prints `Done.job`. Raises `Refused`, and as `Exchange.step` does.
        """
        negotiated, wanted = self.context.abstract_syntax, self.sop_class_uid
        if wanted not in META.get(negotiated, (negotiated,) if negotiated in _ALONE else ()):
            raise Refused(status.NO_SUCH_SOP_CLASS, "not a SOP class of this presentation context")
        self.expect(_OPERATIONS[wanted], (wanted,), types=(PRINT,))
        dataset = yield from self.read()
        instance = self.sop_instance_uid
        match wanted:
            case uids.PRINTER:
                if instance != uids.PRINTER_INSTANCE:
                    raise Refused(status.NO_SUCH_SOP_INSTANCE, "only the well-known printer exists")
                return Done(film=film, dataset=self.selected(printer))
            case uids.BASIC_FILM_SESSION:
                return self._session(film, dataset, instance or next(new_uids))
            case uids.BASIC_FILM_BOX:
                return self._box(film, dataset, instance or next(new_uids), new_uids)
            case uids.PRESENTATION_LUT:
                return self._lut(film, dataset, instance or next(new_uids))
            case _:
                return _set_image(film, dataset, Reference(wanted, instance or ""))

    def _session(self, film: Film, dataset: Dataset, instance: str) -> Done:
        if isinstance(self.request, NCreateRequest):
            if film.session_uid == instance:
                raise Refused(status.DUPLICATE_SOP_INSTANCE, "a film session with this SOP Instance UID exists")
            if film.session_uid is not None:
                raise Refused(status.RESOURCE_LIMITATION, "only one film session for each association")
            created = replace(film, session_uid=instance, session=dataset)
            return Done(film=created, sop_instance_uid=instance, dataset=dataset)
        if film.session is None or film.session_uid != instance:
            raise Refused(status.NO_SUCH_SOP_INSTANCE, "no film session with this SOP Instance UID")
        if isinstance(self.request, NSetRequest):
            session = _with(film.session, dataset)
            return Done(film=replace(film, session=session), dataset=session)
        if isinstance(self.request, NDeleteRequest):
            return Done(film=Film(luts=film.luts))
        if not film.boxes:
            raise Refused(status.PRINT_NO_FILM_BOX, "the film session has no film boxes")
        empty = any(one.empty for one in film.boxes)
        code = status.PRINT_FILM_SESSION_EMPTY_PAGE if empty else status.SUCCESS
        return Done(film=film, code=code, job=PrintJob(session=film.session, boxes=film.boxes))

    def _box(self, film: Film, dataset: Dataset, instance: str, new_uids: Iterator[str]) -> Done:
        found = {one.sop_instance_uid: one for one in film.boxes}
        box = found.get(instance)
        if isinstance(self.request, NCreateRequest):
            if box is not None:
                raise Refused(status.DUPLICATE_SOP_INSTANCE, "a film box with this SOP Instance UID exists")
            return self._new_box(film, dataset, instance, new_uids)
        if box is None:
            raise Refused(status.NO_SUCH_SOP_INSTANCE, "no film box with this SOP Instance UID")
        if isinstance(self.request, NSetRequest):
            found[instance] = box = replace(box, dataset=_with(box.dataset, dataset))
            return Done(film=replace(film, boxes=tuple(found.values())), dataset=box.dataset)
        if isinstance(self.request, NDeleteRequest):
            del found[instance]
            return Done(film=replace(film, boxes=tuple(found.values())))
        code = status.PRINT_FILM_BOX_EMPTY_PAGE if box.empty else status.SUCCESS
        return Done(film=film, code=code, job=PrintJob(session=film.session, boxes=(box,)))

    def _new_box(self, film: Film, dataset: Dataset, instance: str, new_uids: Iterator[str]) -> Done:
        require(dataset, _ON_CREATE)
        if references_in(dataset, "ReferencedFilmSessionSequence") != ((SESSION, film.session_uid),):
            raise Refused(status.INVALID_ATTRIBUTE_VALUE, "not a film box of the film session", (0x20100500,))
        count = image_boxes_of(text_of(dataset, "ImageDisplayFormat"))
        sop_class = _IMAGE_BOX[self.context.abstract_syntax]
        boxes = tuple(ImageBox(reference=Reference(sop_class, next(new_uids))) for _ in range(count))
        references = [reference_to(one.reference) for one in boxes]
        dataset = amended(dataset, uids.EXPLICIT_VR_LE, ReferencedImageBoxSequence=references)
        box = FilmBox(sop_instance_uid=instance, dataset=dataset, image_boxes=boxes)
        return Done(film=replace(film, boxes=(*film.boxes, box)), sop_instance_uid=instance, dataset=dataset)

    def _lut(self, film: Film, dataset: Dataset, instance: str) -> Done:
        luts = dict(film.luts)
        if isinstance(self.request, NCreateRequest):
            if instance in luts:
                raise Refused(status.DUPLICATE_SOP_INSTANCE, "a presentation LUT with this SOP Instance UID exists")
            luts[instance] = dataset
            return Done(film=replace(film, luts=tuple(luts.items())), sop_instance_uid=instance, dataset=dataset)
        if luts.pop(instance, None) is None:
            raise Refused(status.NO_SUCH_SOP_INSTANCE, "no presentation LUT with this SOP Instance UID")
        return Done(film=replace(film, luts=tuple(luts.items())))


_ON_CREATE: Final = (  # PS3.4 table H.4.2-1
    Needed("ImageDisplayFormat", 1),
    Needed("ReferencedFilmSessionSequence", 1, (
        Needed("ReferencedSOPClassUID", 1),
        Needed("ReferencedSOPInstanceUID", 1),
    )),
)  # fmt: skip


def _set_image(film: Film, dataset: Dataset, reference: Reference) -> Done:
    """Puts an image into its box; an empty image sequence removes it [PS3.4 H.4.3.1.2.1]."""
    require(dataset, (Needed("ImageBoxPosition", 1), Needed(_IMAGE_SEQUENCE[reference.sop_class_uid], 2)))
    erased = dataset[_IMAGE_SEQUENCE[reference.sop_class_uid]].is_empty
    boxes = []
    known = False
    for box in film.boxes:
        images = list(box.image_boxes)
        for index, one in enumerate(images):
            if one.reference == reference:
                known = True
                images[index] = replace(one, dataset=None if erased else dataset)
        boxes.append(replace(box, image_boxes=tuple(images)))
    if not known:
        raise Refused(status.NO_SUCH_SOP_INSTANCE, "no image box with this SOP Instance UID")
    return Done(film=replace(film, boxes=tuple(boxes)))


def _with(dataset: Dataset, modifications: Dataset) -> Dataset:
    made = amended(dataset, uids.EXPLICIT_VR_LE)
    made.update(modifications)
    return made


def report_printer(
    exchange: Exchange, event_type_id: int, *, info: str = "", name: str = "", meta: str = GRAYSCALE
) -> Flow[Result]:
    """Provider side: reports an event of the printer, a type in `PRINTER_EVENTS`, by N-EVENT-REPORT [PS3.4 H.4.6.1].

    `info`: Printer Status Info, a defined term such as SUPPLY LOW; `name`: Printer Name.
    """
    values = {"PrinterStatusInfo": info, "PrinterName": name}
    given = amended(None, uids.EXPLICIT_VR_LE, **{keyword: value for keyword, value in values.items() if value})
    return (yield from n_event_report(exchange, PRINTER, uids.PRINTER_INSTANCE, event_type_id, given, negotiated=meta))
