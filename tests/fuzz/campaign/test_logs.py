"""Reports in the output of a peer are recognised, named by their place, and bounded."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign.logs import COMPLAINTS, LINES, LONGEST, Log
from dicos_fuzz.finding import Severity

ASAN = """\
=================================================================
==4242==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000011 at pc 0x0 bp 0x0 sp 0x0
READ of size 1 at 0x602000000011 thread T0
    #0 0x4c3a11 in __asan_memcpy (/usr/bin/peer+0x4c3a11)
    #1 0x4f1b2c in parseUserInfo(DUL_USERINFO*) dulparse.cc:210:3
    #2 0x4f1b2c in main peer.cc:10:3
SUMMARY: AddressSanitizer: heap-buffer-overflow dulparse.cc:210:3 in parseUserInfo
"""
UBSAN = "dulparse.cc:88:12: runtime error: signed integer overflow: 2147483647 + 1 cannot be represented"
TRACEBACK = """\
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/pynetdicom/dul.py", line 480, in _read_pdu_data
    bytestream = self.socket.recv(6)
  File "/usr/lib/python3/dist-packages/pynetdicom/transport.py", line 1, in recv
    raise ValueError("SMITH^JOHN")
pynetdicom.errors.ShortRead: SMITH^JOHN
"""
DEAD = f"Exception in thread Thread-3:\n{TRACEBACK}"


def fed(text: str) -> Log:
    log = Log()
    for line in text.splitlines():
        log.feed(line)
    return log


@pytest.mark.parametrize(
    ("text", "kind", "what", "severity"),
    [
        (ASAN, "sanitizer", "AddressSanitizer heap-buffer-overflow in parseUserInfo", Severity.CRITICAL),
        (UBSAN, "sanitizer", "undefined behavior: signed integer overflow in dulparse.cc", Severity.CRITICAL),
        (TRACEBACK, "traceback", "ShortRead in transport.py recv", Severity.LOW),
        (DEAD, "dead-thread", "ShortRead in transport.py recv", Severity.MEDIUM),
        ("peer: dul.cc:99: int f(): Assertion `n > 0' failed.", "assertion", "assertion", Severity.HIGH),
        ("thread 'main' panicked at src/pdu.rs:77:9", "panic", "panic", Severity.HIGH),
        ("panic: runtime error: invalid memory address", "panic", "panic", Severity.HIGH),
        ("*** stack smashing detected ***: terminated", "abort", "abort", Severity.HIGH),
        ("Segmentation fault (core dumped)", "fault", "fault", Severity.HIGH),
    ],
)  # fmt: skip
def test_a_report_is_named_by_kind_and_place(text: str, kind: str, what: str, severity: Severity) -> None:
    found = fed(text).take()
    assert [(one.kind, one.what, one.severity) for one in found] == [(kind, what, severity)]


def test_no_text_of_a_message_is_in_a_complaint() -> None:
    assert all("SMITH" not in one.what for one in fed(TRACEBACK).take())


def test_usual_lines_are_no_complaints() -> None:
    text = "I: Association Received\nE: DIMSE failure (aborting association): 0006:020e\nW: abort: peer\nINFO:assert\n"
    assert fed(text).take() == []


def test_complaints_are_taken_once() -> None:
    log = fed(UBSAN)
    assert len(log.take()) == 1
    assert log.take() == []


def test_a_report_that_names_no_place_ends_with_the_output() -> None:
    log = fed("==1==ERROR: LeakSanitizer: detected memory leaks\n")
    assert log.take() == []
    log.end()
    assert [one.what for one in log.take()] == ["LeakSanitizer detected"]


def test_memory_is_bounded() -> None:
    log = Log()
    for _ in range(LINES + 10):
        log.feed("x" * (3 * LONGEST))
        log.feed(UBSAN)
    assert len(log.tail(10 * LINES)) == LINES
    assert max(map(len, log.tail(10 * LINES))) == LONGEST
    assert len(log.take()) == COMPLAINTS
