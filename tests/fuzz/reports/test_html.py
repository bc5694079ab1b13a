"""The HTML report: well-formed, complete in itself, safe for any text, bounded for any campaign."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dicos_fuzz.conversation import Conversation, Entry, Open, Send, Side, Transcript, What
from dicos_fuzz.finding import Finding, Severity, Violation
from dicos_fuzz.reports import html
from dicos_fuzz.reports.values import CampaignReport, Difference, FamilyCount
from tests.fuzz import values
from tests.fuzz.findings.examples import FINDING, PATIENT
from tests.fuzz.reports.examples import REPORT

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects elements, attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page(report: CampaignReport) -> Page:
    return Page("\n".join(html.page(report)))


def test_the_page_is_well_formed_and_every_link_leads_somewhere() -> None:
    found = page(REPORT)
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a"]
    assert links
    assert all(link is not None and link.startswith("#") and link[1:] in found.ids for link in links)
    assert len(set(found.ids)) == len(found.ids)
    used = re.findall(r"url\(#([^)]+)\)", "\n".join(html.page(REPORT)))
    assert used
    assert set(used) <= set(found.ids)


def test_nothing_is_loaded_and_nothing_runs() -> None:
    text = "\n".join(html.page(REPORT))
    found = Page(text)
    assert not {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe", "object", "embed", "image", "use"}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "src"]
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    policy = [attributes for tag, attributes in found.tags if attributes.get("http-equiv")]
    assert policy == [
        {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
    ]


def test_a_reader_finds_what_was_found_and_how_to_run_it() -> None:
    text = page(REPORT).text
    for part in (
        "1 critical 1 high 1 medium 1 low",
        "84,211 140 a second",
        "11 of 13 states and 19 of 38 transitions",
        "no answer to a good echo within 5.0 s",
        "hang-ae083b03aed1",
        "PS3.8 table 9-10",
        "it came back 3 of 5 times",
        "7 times, first after 12.5 s, 340 conversations",
        "2 steps, 448 B (first: 5 steps, 448 B), after 1 other conversation",
        "A-ASSOCIATE-RQ/presentation context#2/length: 79 -> 65535",
        "dicos replay found/hang-ae083b03aed1.json HOST PORT # exit status 1: it shows again",
        "dicos replay found/hang-ae083b03aed1.json HOST PORT --export-pytest test_finding.py",
        "These do not count.",
        "1000 a second",
        "the peer needs 0.8 s for an answer",
        "Tell the maker of the peer first.",
    ):
        assert part in text, part
    assert text.index("no answer to a good echo") < text.index("still rejects") < text.index("A-ASSOCIATE-AC in answer")


def test_pictures_have_names_for_those_who_cannot_see_them() -> None:
    found = page(REPORT)
    pictures = [
        attributes for tag, attributes in found.tags if tag == "svg" and attributes.get("aria-hidden") != "true"
    ]
    assert len(pictures) == 5
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert attributes.get("aria-label") or attributes["aria-labelledby"] == "st sd"
    assert [attributes for tag, attributes in found.tags if tag == "html"] == [{"lang": "en"}]
    assert all(attributes.get("scope") for tag, attributes in found.tags if tag == "th")


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=1>&amp;\x00\x1b[31m\u202e\ud800\n</style></pre></svg>"


def hostile() -> CampaignReport:
    violation = Violation(
        oracle=HOSTILE, severity=Severity.HIGH, detail=HOSTILE, clause=HOSTILE, state=HOSTILE, reaction=HOSTILE
    )
    conversation = Conversation(
        name=HOSTILE, about=HOSTILE, clause=HOSTILE, side=Side.PROVIDER, steps=(Open(), Send(message=b"<script>"))
    )
    transcript = Transcript([Entry(0.0, 0, What.REFUSED, note=HOSTILE), Entry(0.0, 0, What.SENT, b"<b>", note=HOSTILE)])
    finding = Finding(violation=violation, conversation=conversation, transcript=transcript, evidence=(HOSTILE,))
    return CampaignReport(
        peer=HOSTILE,
        started=HOSTILE,
        ended=HOSTILE,
        accepts=(HOSTILE,),
        families=(FamilyCount(name=HOSTILE, about=HOSTILE),),
        states={HOSTILE: 1, "Sta1": 1},
        transitions={(HOSTILE, HOSTILE): 2, ("Sta1", HOSTILE): 3},
        findings=(finding,),
        unconfirmed=(finding,),
        masked={HOSTILE: 1},
        known=(f"{HOSTILE}-0123456789ab",),
        compared=HOSTILE,
        differences=(Difference(family=HOSTILE, about=HOSTILE, first=HOSTILE, second=HOSTILE),),
        bounds=((HOSTILE, HOSTILE),),
        version=HOSTILE,
        notes=(HOSTILE,),
        reproducers={finding.id: HOSTILE},
    )


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    clean, found = page(REPORT), page(hostile())
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in clean.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    text = "\n".join(html.page(hostile()))
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "\u202e" not in text
    html.write(tmp_path / "hostile.html", hostile())
    assert (tmp_path / "hostile.html").read_bytes().decode()


def test_contents_of_data_sets_are_not_in_it() -> None:
    assert PATIENT in FINDING.transcript.received()
    text = "\n".join(html.page(replace(REPORT, findings=(replace(FINDING, minimised_transcript=None),))))
    assert "Doe" not in text
    assert PATIENT.hex() not in text
    assert PATIENT.hex(" ") not in text


def test_a_campaign_without_anything_has_a_page() -> None:
    found = page(CampaignReport(peer="127.0.0.1:104"))
    assert "no findings" in found.text
    assert "This does not prove that there is nothing to find." in found.text
    assert "0 of 13 states and 0 of 38 transitions" in found.text


def test_a_large_campaign_has_a_bounded_page() -> None:
    long = Transcript([Entry(float(at), 0, What.SENT, values.PDUS["A-ABORT"]) for at in range(100)])
    findings = tuple(
        replace(
            FINDING,
            violation=replace(FINDING.violation, reaction=str(number), detail="x" * 10_000),
            transcript=long,
            minimised_transcript=None,
            evidence=("y" * 10_000,) * 50,
        )
        for number in range(600)
    )
    text = "\n".join(html.page(replace(REPORT, findings=findings)))
    assert text.count("<article") == html.MOST_FINDINGS
    assert "600 critical" in text
    assert len(text) < 20 << 20


@pytest.mark.parametrize("name", ["report.html"])
def test_a_page_is_written_whole(tmp_path: Path, name: str) -> None:
    html.write(tmp_path / name, REPORT)
    text = (tmp_path / name).read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert [one.name for one in tmp_path.iterdir()] == [name]
