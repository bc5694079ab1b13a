"""`dicos fuzz` against real peers, from a clean start: each of them shows faults, and ours show nothing.

A campaign has ten minutes, as it has by default, and is interrupted once everything expected has been found: the
classes that every campaign so far has shown within a minute or two. Those that take longer, `LATER`, are expected by
tests that run with DICOS_CAMPAIGNS=1 (`make fuzz-peers`), since each may take all of the ten minutes.
docs/fuzzed-peers.md has the classes of whole campaigns; `python -m tests.interop.fuzz_peers` prints them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicos_fuzz.findings.reproducer import read as read_reproducer
from tests.interop.fuzz_peers import PEERS, fuzz

TIME = 600
"""Seconds within which it has to be found."""
EXPECTED = {
    "pynetdicom storescp": {"accepted", "unanswered"},
    "pynetdicom qrscp": {"accepted", "unanswered"},
    "DCMTK storescp": {"accepted", "silence"},
    "DCMTK dcmqrscp": {"accepted", "refused-valid"},
    "dcmjs-dimse": {"kept-open", "unexpected-pdu"},
}
"""Peer -> the oracles that have found something in every campaign."""
LATER = {
    "pynetdicom storescp": {"log-dead-thread", "slot-leak", "waits-for-giant", "starved"},
    "pynetdicom qrscp": {"log-dead-thread", "slot-leak", "waits-for-giant"},
    "DCMTK storescp": {"accepted", "silence", "refused-valid", "crash"},
    "DCMTK dcmqrscp": {"accepted", "silence", "refused-valid", "no-abort"},
    "dcmjs-dimse": {"crash", "kept-open", "accepted", "unanswered", "unexpected-pdu"},
}
"""Peer -> the oracles that have to find something within ten minutes: dead reader threads, stalls that hold slots and
PDUs without a limit are among them."""
OURS = [name for name, peer in PEERS.items() if peer.ours]


def _had(name: str) -> None:
    if reason := PEERS[name].missing():
        pytest.skip(reason)


@pytest.mark.interop
@pytest.mark.slow  # a campaign of up to ten minutes; most take one
@pytest.mark.timeout(TIME + 300)
@pytest.mark.parametrize("name", EXPECTED)
def test_faults_of_a_peer_are_found_unaided(name: str, tmp_path: Path) -> None:
    _had(name)
    outcome = fuzz(name, TIME, tmp_path, until=EXPECTED[name])
    assert outcome.oracles.keys() >= EXPECTED[name], outcome.errors
    assert outcome.status in (1, 130)  # interrupted, or it ended while it was being interrupted
    assert outcome.summary["seconds"] < TIME
    for found in outcome.findings:
        assert read_reproducer(Path(found["reproducer"])).conversation.steps  # kept, and readable
        assert found["clause"]
        assert found["transcript"]


@pytest.mark.interop
@pytest.mark.skipif(not os.environ.get("DICOS_CAMPAIGNS"), reason="takes ten minutes; DICOS_CAMPAIGNS=1 runs it")
@pytest.mark.timeout(TIME + 300)
@pytest.mark.parametrize("name", LATER)
def test_within_ten_minutes_the_rest_is_found_too(name: str, tmp_path: Path) -> None:
    _had(name)
    outcome = fuzz(name, TIME, tmp_path, until=LATER[name])
    assert outcome.oracles.keys() >= LATER[name], outcome.errors


@pytest.mark.interop
@pytest.mark.slow  # a campaign of twenty seconds
@pytest.mark.parametrize("name", OURS)
def test_nothing_is_found_in_our_own_adapters(name: str, tmp_path: Path) -> None:
    outcome = fuzz(name, 20, tmp_path)
    assert outcome.findings == []
    assert outcome.status == 0, outcome.errors
    assert outcome.summary["conversations"] > 100
