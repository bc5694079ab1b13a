"""Print management: a session from the first film box to the end, refusals, reports of the printer."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicos_proto.conversation import flows
from dicos_proto.dimse.events import MessageStart
from dicos_proto.services import printing
from dicos_proto.services.normalized import n_action, n_create, n_event_report, n_get, n_set
from dicos_proto.services.printing import (
    BOX,
    COLOR,
    COLOR_IMAGE,
    GRAYSCALE,
    GRAYSCALE_IMAGE,
    PRESENTATION_LUT,
    PRINTER,
    SESSION,
    Film,
    PrinterReported,
    Printing,
    PrintJob,
    image_boxes_of,
)
from dicos_proto.services.serving import Reference, Refused
from tests.pair import Pair, splitters
from tests.services.talk import dataset, pair_for, serve, use

PRINTER_STATE = dataset(PrinterStatus="NORMAL", PrinterStatusInfo="NORMAL", PrinterName="FILMER")
FORMAT = dataset(ImageDisplayFormat="STANDARD\\2,1")


class Office:
    """A provider that keeps films and jobs."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.film = Film()
        self.jobs: list[PrintJob] = []
        self.uids: Iterator[str] = (f"1.7.{number}" for number in count())

    def handle(self, start: MessageStart) -> flows.Flow[int]:
        printing = Printing(self.pair.provides, start)
        try:
            done = yield from printing.work(self.film, self.uids, PRINTER_STATE)
        except Refused as refused:
            yield from printing.refuse(refused)
            return refused.code
        self.film = done.film
        if done.job is not None:
            self.jobs.append(done.job)
        yield from printing.grant(done.dataset, code=done.code, sop_instance_uid=done.sop_instance_uid)
        return done.code


def image(number: int) -> Dataset:
    made = dataset(
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=4, Columns=4, BitsAllocated=8, BitsStored=8,
        HighBit=7, PixelRepresentation=0,
    )  # fmt: skip
    made.PixelData = bytes((number,)) * 16
    made["PixelData"].VR = "OW"
    return made


def print_two(user: Any, meta: str) -> flows.Flow[Any]:
    """Prints a film with two images. Returns all responses, and the references of the image boxes."""
    results = [(yield from printing.get_printer(user, (0x21100010,), meta=meta))]
    session = yield from printing.create_film_session(user, attributes=dataset(NumberOfCopies="2"), meta=meta)
    session_uid = session.response.affected_sop_instance_uid
    box, references = yield from printing.create_film_box(user, session_uid, FORMAT, "1.9", meta=meta)
    results += [session, box]
    for number, reference in enumerate(references, 1):
        results.append((yield from printing.set_image_box(user, reference, image(number), number, meta=meta)))
    results.append((yield from printing.print_film_box(user, "1.9", meta=meta)))
    results.append((yield from printing.print_film_session(user, session_uid, meta=meta)))
    results.append((yield from printing.delete_film_box(user, "1.9", meta=meta)))
    results.append((yield from printing.delete_film_session(user, session_uid, meta=meta)))
    yield from flows.release(user.association)
    return results, references


@pytest.mark.parametrize("split", splitters().values(), ids=splitters())
@pytest.mark.parametrize(("meta", "kind"), [(GRAYSCALE, GRAYSCALE_IMAGE), (COLOR, COLOR_IMAGE)])
def test_a_film_is_made_and_printed(split: Any, meta: str, kind: str) -> None:
    pair = pair_for([meta], split=split)
    office = Office(pair)
    (results, references), served = pair.run(print_two(pair.uses, meta), serve(pair.provides, office.handle))
    assert served == [0] * len(results)
    assert [each.response.status for each in results] == served
    assert results[0].attributes.dataset == dataset(PrinterStatus="NORMAL")
    assert references == (Reference(kind, "1.7.1"), Reference(kind, "1.7.2"))
    first, second = office.jobs
    assert first == second
    assert first.session is not None
    assert first.session.NumberOfCopies == 2
    (box,) = first.boxes
    keyword = "BasicColorImageSequence" if meta == COLOR else "BasicGrayscaleImageSequence"
    found = [one.dataset[keyword].value[0] for one in box.image_boxes if one.dataset is not None]
    assert found == [image(1), image(2)]
    assert office.film == Film()


def test_empty_films_are_printed_with_a_warning_and_no_film_is_refused() -> None:
    pair = pair_for([GRAYSCALE])
    office, user = Office(pair), pair.uses
    erase = dataset(ImageBoxPosition=1, BasicGrayscaleImageSequence=[])
    _, served = pair.run(
        use(
            user,
            printing.create_film_session(user, "1.8"),
            printing.print_film_session(user, "1.8"),
            printing.create_film_box(user, "1.8", FORMAT, "1.9"),
            printing.print_film_box(user, "1.9"),
            printing.print_film_session(user, "1.8"),
            printing.set_image_box(user, Reference(GRAYSCALE_IMAGE, "1.7.0"), image(1)),
            printing.print_film_box(user, "1.9"),
            n_set(user, GRAYSCALE_IMAGE, "1.7.0", erase, negotiated=GRAYSCALE),
            printing.print_film_box(user, "1.9"),
            n_set(user, BOX, "1.9", dataset(FilmSizeID="A4"), negotiated=GRAYSCALE),
            n_set(user, SESSION, "1.8", dataset(NumberOfCopies="3"), negotiated=GRAYSCALE),
        ),
        serve(pair.provides, office.handle),
    )
    assert served == [0, 0xC600, 0, 0xB603, 0xB602, 0, 0, 0, 0xB603, 0, 0]
    assert office.film.session is not None
    assert office.film.session.NumberOfCopies == 3
    assert office.film.boxes[0].dataset.FilmSizeID == "A4"
    assert [job.boxes[0].empty for job in office.jobs] == [True, True, False, True]


def test_missing_and_duplicate_instances_are_refused() -> None:
    pair = pair_for([GRAYSCALE])
    office, user = Office(pair), pair.uses
    results, served = pair.run(
        use(
            user,
            printing.delete_film_session(user, "1.8"),
            printing.create_film_box(user, "1.8", FORMAT),
            printing.create_film_session(user, "1.8"),
            printing.create_film_session(user, "1.8"),
            printing.create_film_session(user, "1.6"),
            printing.create_film_box(user, "1.8", dataset(ImageDisplayFormat="STANDARD\\0,1")),
            printing.create_film_box(user, "1.8", dataset(FilmSizeID="A4")),
            printing.create_film_box(user, "1.8", FORMAT, "1.9"),
            printing.create_film_box(user, "1.8", FORMAT, "1.9"),
            printing.print_film_box(user, "1.6"),
            printing.set_image_box(user, Reference(GRAYSCALE_IMAGE, "1.6"), image(1)),
            printing.set_image_box(user, Reference(COLOR_IMAGE, "1.7.0"), image(1)),
            n_set(user, GRAYSCALE_IMAGE, "1.7.0", dataset(ImageBoxPosition=1), negotiated=GRAYSCALE),
            n_action(user, BOX, "1.9", 2, negotiated=GRAYSCALE),
            n_create(user, GRAYSCALE_IMAGE, "1.9", negotiated=GRAYSCALE),
            n_get(user, PRINTER, "1.9", negotiated=GRAYSCALE),
        ),
        serve(pair.provides, office.handle),
    )
    assert served == [
        0x0112, 0x0106, 0, 0x0111, 0x0213, 0x0106, 0x0120, 0, 0x0111, 0x0112, 0x0112, 0x0118, 0x0120, 0x0123, 0x0211,
        0x0112,
    ]  # fmt: skip
    assert results[1][1] == ()
    assert office.jobs == []


@pytest.mark.parametrize("alone", [BOX, SESSION, GRAYSCALE_IMAGE])
def test_a_part_of_a_meta_class_is_not_served_alone(alone: str) -> None:
    pair = pair_for([alone])
    _, served = pair.run(
        use(pair.uses, n_create(pair.uses, alone, "1.9", FORMAT)), serve(pair.provides, Office(pair).handle)
    )
    assert served == [0x0118]


def test_the_printer_is_also_asked_by_itself() -> None:
    pair = pair_for([PRINTER])
    ((result,), _) = pair.run(
        use(pair.uses, printing.get_printer(pair.uses, meta=PRINTER)), serve(pair.provides, Office(pair).handle)
    )
    assert result.attributes.dataset == PRINTER_STATE


def test_presentation_luts_are_created_and_deleted() -> None:
    pair = pair_for([GRAYSCALE, PRESENTATION_LUT])
    office, user = Office(pair), pair.uses
    shape = dataset(PresentationLUTShape="IDENTITY")
    results, served = pair.run(
        use(
            user,
            printing.create_presentation_lut(user, shape),
            printing.create_presentation_lut(user, shape, "1.4"),
            printing.create_presentation_lut(user, shape, "1.4"),
            printing.delete_presentation_lut(user, "1.7.0"),
            printing.delete_presentation_lut(user, "1.7.0"),
        ),
        serve(pair.provides, office.handle),
    )
    assert served == [0, 0, 0x0111, 0, 0x0112]
    assert results[0].response.affected_sop_instance_uid == "1.7.0"
    assert office.film.luts == (("1.4", shape),)


# -- Image Display Format --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "boxes"),
    [("STANDARD\\1,1", 1), ("STANDARD\\4,5", 20), ("ROW\\2,1", 3), ("COL\\1,3,2", 6), ("STANDARD\\20,20", 400)],
)
def test_a_format_says_how_many_images_there_are(text: str, boxes: int) -> None:
    assert image_boxes_of(text) == boxes


@pytest.mark.parametrize(
    "text",
    ["", "STANDARD", "STANDARD\\1", "STANDARD\\1,1,1", "STANDARD\\0,1", "STANDARD\\-1,1", "STANDARD\\1,,1",
     "STANDARD\\999,999", "STANDARD\\9999999999,1", "ROW\\0", "CUSTOM\\1", "SLIDE", "ROW\\²"],
)  # fmt: skip
def test_an_unknown_format_is_an_invalid_value(text: str) -> None:
    with pytest.raises(Refused) as caught:
        image_boxes_of(text)
    assert (caught.value.code, caught.value.tags) == (0x0106, (0x20100010,))


@given(st.text(max_size=40) | st.from_regex(r"(STANDARD|ROW|COL)\\[0-9,]{0,20}", fullmatch=True))
def test_no_format_asks_for_more_than_is_allowed(text: str) -> None:
    try:
        found = image_boxes_of(text)
    except Refused:
        return
    assert 0 < found <= printing.MOST_IMAGE_BOXES


# -- the printer -----------------------------------------------------------------------------------------------------


def test_the_printer_reports_its_state() -> None:
    pair = pair_for([GRAYSCALE], roles={GRAYSCALE: (False, True)})
    seen: list[Any] = []

    def take(start: MessageStart) -> flows.Flow[None]:
        reported = PrinterReported(pair.provides, start)
        try:
            seen.append((yield from reported.read_status()))
            yield from reported.grant()
        except Refused as refused:
            seen.append(refused.code)
            yield from reported.refuse(refused)

    provider = pair.uses
    pair.run(
        use(
            provider,
            printing.report_printer(provider, 1),
            printing.report_printer(provider, 2, info="SUPPLY LOW", name="FILMER"),
            printing.report_printer(provider, 3, info="FILM JAM"),
            printing.report_printer(provider, 4),
            n_event_report(provider, PRINTER, "1.9", 1, negotiated=GRAYSCALE),
        ),
        serve(pair.provides, take),
    )
    assert seen == [("NORMAL", ""), ("WARNING", "SUPPLY LOW"), ("FAILURE", "FILM JAM"), 0x0113, 0x0112]
