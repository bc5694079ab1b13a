"""A run of a reproducer as a capture file, with the finding and what is wrong on purpose as comments.

Knows: transcripts with their faults named. Must not know: packets (`captures`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..captures.recording import SERVER, START, write_transcript
from ..conversation import Transcript, What
from .reproducer import Reproducer
from .transcripts import annotated

__all__ = ["write_capture"]


def write_capture(path: Path, reproducer: Reproducer, transcript: Transcript) -> None:
    """Writes the transcript of a run as a pcapng file. Raises OSError.

    The finding is the comment of the file and of the first packet; each message in which something is wrong on purpose
    has a packet comment that names it. The time and the port are those of the reproducer, if it has them. The comment
    of the file names what is made up instead.
    """
    violation = reproducer.violation
    about = f"{reproducer.id}: {violation.detail} [{violation.clause}]"
    noted = annotated(transcript, reproducer.conversation).entries
    first = next((at for at, one in enumerate(noted) if one.what in (What.OPENED, What.REFUSED)), None)
    if first is not None:
        one = noted[first]
        noted[first] = replace(one, note="; ".join(filter(None, (about, one.note))))
    with open(path, "wb") as file:
        write_transcript(
            file,
            Transcript(noted),
            side=reproducer.conversation.side,
            start=round(reproducer.at * 1000) * 1_000_000 or START,
            server=SERVER._replace(port=reproducer.port or SERVER.port),
            comment=f"{about}\n{_made_up(reproducer)}",
        )


def _made_up(reproducer: Reproducer) -> str:
    """Returns a line that names what is not of the run."""
    found = ["the packets", "the addresses", "the port of the side that calls"]
    if not reproducer.port:
        found.append("the port of the side that listens")
    if not reproducer.at:
        found.append("the date")
    without = "; TLS is left out" if reproducer.tls else ""
    return f"Made up, because the reproducer does not have them: {', '.join(found)}{without}."
