"""The reactions of two peers are compared without what only timers decide."""

from __future__ import annotations

import pytest

from dicos_fuzz.campaign.second import _words


@pytest.mark.parametrize(
    ("reaction", "compared"),
    [
        ("", "nothing"),
        ("quiet", "quiet"),
        ("A-ABORT 2/6, ended", "A-ABORT 2/6"),
        ("A-ASSOCIATE-RJ 1/2/1, reset", "A-ASSOCIATE-RJ 1/2/1"),
        ("A-ASSOCIATE-AC [0], A-RELEASE-RP, quiet", "A-ASSOCIATE-AC [0], A-RELEASE-RP"),
        ("A-ASSOCIATE-AC [0, 0], A-ABORT 0/0, quiet, reset", "A-ASSOCIATE-AC [0, 0], A-ABORT 0/0"),
    ],
)
def test_the_end_behind_a_last_pdu_does_not_count(reaction: str, compared: str) -> None:
    assert _words(reaction) == compared


@pytest.mark.parametrize("end", ["ended", "reset", "quiet"])
@pytest.mark.parametrize("results", ["[0]", "[0, 0]"])
def test_the_end_of_an_open_association_counts(results: str, end: str) -> None:
    assert _words(f"A-ASSOCIATE-AC {results}, {end}") == f"A-ASSOCIATE-AC {results}, {end}"
