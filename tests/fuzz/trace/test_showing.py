"""A trace shown as lines, as JSON lines and as a page: complete, escaped, without any data set."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest

from dicos_fuzz.captures.events import How
from dicos_fuzz.trace import page as page_module
from dicos_fuzz.trace.json_lines import JsonLines
from dicos_fuzz.trace.lines import Detail, Lines
from dicos_fuzz.trace.page import Page
from dicos_fuzz.trace.tracer import Tracer
from dicos_fuzz.trace.words import duration, moment
from dicos_proto import Abort, CFindResponse, ReleaseRequest, encode
from tests.fuzz.trace.saying import RELEASE, Said, connection, events, message, opened
from tests.fuzz.trace.test_association import ECHO, FIND, RAW, STORE, STORED, echo, store
from tests.pair import CT, REQUEST, p_data

SECRET = b"DOE^JANE" * 25
TALK: list[Said] = [
    *opened(), *echo(), (True, message(STORE, data=SECRET)), (False, message(STORED)),
    (True, message(ECHO, context=99)), *RELEASE,
]  # fmt: skip
HOSTILE = b"<b>\x1b[31m&\"'  "
HOSTILE_REQUEST = encode(REQUEST).replace(b"USER".ljust(16), HOSTILE.ljust(16))


def shown(said: list[Said], detail: Detail, how: How = How.CLOSED) -> list[str]:
    lines: list[str] = []
    tracer = Tracer([Lines(lines.append, detail)])
    for event in events(said, connection(), how=how):
        tracer.feed(event)
    tracer.end()
    return lines


def objects(said: list[Said], *, pdus: bool = False) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    tracer = Tracer([JsonLines(lambda name, fields: found.append({"event": name, **fields}), pdus=pdus)])
    for event in events(said, connection(at=1_700_000_000_000_000_000)):
        tracer.feed(event)
    json.dumps(found)
    return found


def page(*conversations: list[Said], name: str = "clinic.pcapng") -> str:
    file = StringIO()
    made = Page(file, name)
    tracer = Tracer([made])
    for number, said in enumerate(conversations, 1):
        for event in events(said, connection(number)):
            tracer.feed(event)
    tracer.end()
    made.close()
    return file.getvalue()


# -- lines ---------------------------------------------------------------------------------------------------------


def test_the_lines_of_messages() -> None:
    assert shown(TALK, Detail.MESSAGES) == [
        "#1 1970-01-01T00:00:00.000000Z 10.0.0.1:40001 -> 10.0.0.2:104",
        "#1 0.001000 requestor: A-ASSOCIATE-RQ, 337 bytes: 'USER' calls 'PROVIDER', 3 contexts",
        "#1 0.002000 acceptor: A-ASSOCIATE-AC, 258 bytes: 3 of 3 contexts accepted",
        "#1 0.003000 requestor: C-ECHO-RQ 1, context 1: Verification SOP Class",
        "#1 0.004000 acceptor: C-ECHO-RSP 1, context 1: 0x0000 Success (success), after 1 ms",
        "#1 0.005000 requestor: C-STORE-RQ 7, context 3: CT Image Storage",
        "#1 0.005000 requestor: P-DATA-TF, context 3: data set, 200 bytes in 0 ms",
        "#1 0.006000 acceptor: C-STORE-RSP 7, context 3: 0x0000 Success (success), after 1 ms",
        "#1 0.007000 requestor: C-ECHO-RQ 1, context 99: Verification SOP Class",
        "#1 0.007000 requestor: ! violation: PDV on presentation context 99, which is not accepted [PS3.8 9.3.5.1]",
        "#1 0.008000 requestor: A-RELEASE-RQ, 4 bytes",
        "#1 0.009000 acceptor: A-RELEASE-RP, 4 bytes",
        "#1 0.010000 released; 5 messages, 200 bytes of data sets, 1 request unanswered; 1 violation",
    ]


def test_the_lines_of_fields_are_those_of_the_dissector() -> None:
    lines = shown(TALK, Detail.FIELDS)
    assert "#1 0.001000 requestor:   calling AE title: 'USER'" in lines
    assert "#1 0.003000 requestor: P-DATA-TF, context 1: command set, 68 bytes" in lines
    assert "#1 0.003000 requestor:     message id: 1" in lines
    assert "#1 0.004000 acceptor:     answers C-ECHO-RQ 1 after 1 ms" in lines
    assert not any("P-DATA-TF, 74 bytes" in line for line in lines)
    more = shown(TALK, Detail.PDUS)
    assert "#1 0.003000 requestor: P-DATA-TF, 74 bytes; PDVs (context/control/bytes): 1/0x03/68" in more
    assert [line for line in more if "PDVs (context" not in line] == lines


def test_the_summary_is_one_line_and_what_was_broken() -> None:
    assert shown(TALK, Detail.SUMMARY) == [
        "#1 0.007000 requestor: ! violation: PDV on presentation context 99, which is not accepted [PS3.8 9.3.5.1]",
        "#1 1970-01-01T00:00:00.000000Z 10.0.0.1:40001 -> 10.0.0.2:104 'USER' -> 'PROVIDER': released; 5 messages, "
        "200 bytes of data sets, 1 request unanswered; 1 violation",
    ]


def test_parts_that_are_not_complete_or_not_valid_are_shown() -> None:
    half = p_data((3, True, True, RAW), (3, False, False, b"ab"))
    said: list[Said] = [
        *opened(),
        (True, p_data((1, True, False, RAW[:20]))),
        (True, half),
        (True, 5),
        (False, b"\1\0\0"),
    ]
    lines = "\n".join(shown(said, Detail.FIELDS, How.CUT))
    assert "command set, 20 bytes, not complete" in lines, lines
    assert "data set, 2 bytes in 1 ms, not complete" in lines
    assert "! note: 5 bytes are missing in the recording" in lines
    assert "! note: the bytes end 3 bytes into a PDU header" in lines
    broken = shown([*opened(), (True, p_data((3, True, True, RAW[:-2])))], Detail.MESSAGES, How.CUT)
    assert any("C-STORE-RQ, context 3" in line for line in broken)
    assert any(
        "an unknown message" in line
        for line in shown([*opened(), (True, p_data((3, True, True, b"")))], Detail.MESSAGES)
    )


@pytest.mark.parametrize("detail", Detail)
def test_no_line_shows_a_data_set_or_what_a_terminal_obeys(detail: Detail) -> None:
    for said in (TALK, [(True, HOSTILE_REQUEST), (False, encode(Abort()))]):
        lines = shown(said, detail)
        assert not any("DOE" in line for line in lines)
        assert all(line.isascii() and line.isprintable() for line in lines)


# -- JSON ----------------------------------------------------------------------------------------------------------


def test_the_json_objects() -> None:
    found = objects(TALK)
    assert [one["event"] for one in found] == [
        "association", "pdu", "pdu", "command", "command", "command", "data_set", "command", "command", "pdu", "pdu",
        "end",
    ]  # fmt: skip
    assert found[0] == {
        "event": "association", "association": 1, "at": 1_700_000_000.0, "client": "10.0.0.1:40001",
        "server": "10.0.0.2:104", "begun": True, "tls": "",
    }  # fmt: skip
    assert (found[1]["calling_aet"], found[1]["by"], found[1]["length"]) == ("USER", "requestor", 337)
    assert found[4]["latency"] == pytest.approx(0.001)
    assert (found[4]["message"], found[4]["status"], found[4]["message_id_being_responded_to"]) == ("C-ECHO-RSP", 0, 1)
    assert found[6]["bytes"] == 200
    assert found[8]["marks"] == [
        {
            "kind": "violation",
            "text": "PDV on presentation context 99, which is not accepted",
            "clause": "PS3.8 9.3.5.1",
        }
    ]
    assert (found[-1]["outcome"], found[-1]["violations"]) == ("released", 1)
    assert "DOE" not in json.dumps(found)


def test_the_json_objects_of_every_p_data_tf() -> None:
    pdus = [one for one in objects(TALK, pdus=True) if one["event"] == "p_data"]
    assert pdus[0] == {
        "event": "p_data", "association": 1, "at": pytest.approx(1_700_000_000.003), "by": "requestor", "length": 74,
        "pdvs": [{"context": 1, "control": 3, "bytes": 68}],
    }  # fmt: skip
    assert len(pdus) == 6


def test_a_deviation_in_json_has_its_name() -> None:
    rejected = objects(
        [(True, encode(REQUEST).replace(b"USER".ljust(16), b" " * 16)), (False, encode(Abort(source=2)))]
    )
    marks = rejected[1]["marks"]
    assert marks == [
        {"kind": "deviation", "text": "calling AE title of spaces only", "clause": "PS3.8 9.3.2", "name": "blank_title"}
    ]
    assert rejected[2]["text"] == "association aborted by the service provider: not specified (0)"


# -- the page ------------------------------------------------------------------------------------------------------


class Checker(HTMLParser):
    """Every element that is opened is closed, in order; what may load something is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [
            f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "action", "data", "style")
        ]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.loads += (
            [tag] if tag in ("script", "link", "iframe", "img", "object", "embed", "base", "image", "use") else []
        )
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        ElementTree.fromstring(svg)
    return checker


def test_the_page_stands_alone_and_links_only_within_itself() -> None:
    text = page(TALK, TALK)
    checker = checked(text)
    assert checker.loads == ["a href=#a1", "a href=#a2"]
    assert checker.ids == ["a1", "a2"]
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import|https?:", text)


def test_the_page_shows_who_said_what_when_and_what_was_wrong() -> None:
    texts = checked(page(TALK)).texts
    for text in (
        "requestor USER", "acceptor PROVIDER", "10.0.0.1:40001", "C-STORE-RQ 7",
        "CT Image Storage; data set of 200 B, 0 ms",
        "0x0000 Success (success), after 1 ms", "156 B, after 1 ms".replace("156", "100"), "0.005000", "released",
        "violation: PDV on presentation context 99, which is not accepted [PS3.8 9.3.5.1]", "1 violation",
        "1 request without a final response",
    ):  # fmt: skip
        assert any(text in one for one in texts), text
    assert any("context 3: accepted with 1.2.840.10008.1.2 Implicit VR Little Endian" in one for one in texts)


def rows_of_svg(text: str) -> list[tuple[str, str, list[str]]]:
    """The class, the title and the texts of each group of the diagram."""
    found = []
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        for group in ElementTree.fromstring(svg).iter("g"):
            shape = next(one for one in group if one.tag in ("path", "circle"))
            title = group.findtext("title") or ""
            found.append((f"{shape.tag} {shape.get('class')}", title, [one.text or "" for one in group.iter("text")]))
    return found


def test_marks_of_a_p_data_tf_are_drawn_at_its_arrow() -> None:
    empty, odd = b"\4\0\0\0\0\0", p_data((3, False, True, b"ab"))
    text = page([*opened(), (True, empty), (True, empty), (True, odd), *RELEASE])
    checked(text)
    arrows = [row for row in rows_of_svg(text) if row[2] and row[2][0].startswith("P-DATA-TF")]
    assert [(kind, title.split(",")[0], texts[0]) for kind, title, texts in arrows] == [
        ("path a violation", "requestor", "P-DATA-TF \u00d7 2")
    ]
    assert all(texts for kind, _, texts in rows_of_svg(text) if kind.startswith("path"))


def test_marks_without_a_pdu_are_drawn_at_their_side() -> None:
    text = page([*opened(), (False, 40), *RELEASE])
    assert ("circle d ", "acceptor", []) in rows_of_svg(text)


def test_the_marks_are_the_second_column_and_zeros_are_neutral() -> None:
    good, bad = page([*opened(), *echo(), *RELEASE]), page(TALK)
    assert re.findall("<th>(.*?)</th>", good)[:3] == ["#", "marks", "opened (UTC)"]
    assert "<p>1 association, 0 violations, 0 deviations, 0 notes</p>" in good
    assert '<p>1 association, <span class="violation">1 violation</span>, 0 deviations, 0 notes</p>' in bad
    assert '<td><a href="#a1">1</a></td><td><span class="violation">1 violation</span></td><td>1970-01-01 00:0' in bad


def test_every_text_of_a_peer_is_escaped() -> None:
    text = page([(True, HOSTILE_REQUEST), (False, encode(Abort()))], name="<i>\x1b&.pcap")
    assert "<b>" not in text
    assert "<i>" not in text
    assert "\x1b" not in text
    assert "&lt;b&gt;" in text
    checked(text)


def test_no_data_set_is_on_the_page() -> None:
    assert "DOE" not in page(TALK)


def test_pending_responses_in_a_row_are_one_arrow() -> None:
    pending = CFindResponse(message_id_being_responded_to=9, affected_sop_class_uid=CT, status=0xFF00)
    final = CFindResponse(message_id_being_responded_to=9, affected_sop_class_uid=CT, status=0)
    answers: list[Said] = [(False, message(pending, data=bytes(100))) for _ in range(5000)]
    text = page([*opened(), (True, message(FIND, data=b"ab")), *answers, (False, message(final)), *RELEASE])
    assert text.count("<g>") == 7
    assert "C-FIND-RSP 9 \u00d7 5,000" in text
    assert "over 5.0 s" in text
    checked(text)


def test_thousands_of_messages_are_drawn_up_to_a_limit() -> None:
    text = page([*opened(), *(echo() * 3000), *RELEASE])
    checked(text)
    assert text.count("<g>") == page_module.MOST_OF_ONE
    assert f"{6004 - page_module.MOST_OF_ONE:,} more are not drawn" in text
    assert "released" in text


def test_very_many_associations_are_listed_and_drawn_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_LISTED", 5)
    monkeypatch.setattr(page_module, "MOST_DRAWN", 20)
    text = page(*[TALK] * 8)
    checked(text)
    assert text.count("<svg") == 2
    assert text.count("<tr>") == 6
    assert "8 associations" in text
    assert "3 more associations are not listed" in text


def test_rows_of_open_associations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_ROWS", 10)
    file = StringIO()
    made = Page(file, "x")
    tracer = Tracer([made])
    every = [list(events(TALK, connection(number))) for number in range(1, 6)]
    for turn in range(len(every[0])):
        for one in every:
            tracer.feed(one[turn])
        assert made._rows <= 10 + len(every)
    made.close()
    assert "more are not drawn" in file.getvalue()


def test_a_gap_and_an_incomplete_data_set_are_drawn() -> None:
    half = p_data((3, True, True, RAW), (3, False, False, b"ab"))
    text = page([*opened(), (True, half), (True, 40), (True, encode(ReleaseRequest()))])
    assert "not complete" in text
    assert "note: 40 bytes are missing in the recording" in text
    assert "data set of an unknown message" in page([*opened(), (True, p_data((3, False, True, b"ab")))])
    checked(text)


# -- words ---------------------------------------------------------------------------------------------------------


def test_times_and_durations() -> None:
    assert moment(-5) == "1969-12-31T23:59:59.999999Z"
    assert moment(10**40) == f"{10**31} s after 1970"
    assert duration(59_940_000_000) == "59.9 s"
    assert duration(0) == "0 ms"


def test_stored_objects_are_one_arrow_each() -> None:
    assert page([*opened(), *store(), *store(), *RELEASE]).count("<g>") == 8
