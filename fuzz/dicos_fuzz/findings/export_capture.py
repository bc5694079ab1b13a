"""A run of a reproducer as a capture file, with the finding and what is wrong on purpose as comments.

Knows: transcripts with their faults named. Must not know: packets (`captures`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..captures.recording import write_transcript
from ..conversation import Transcript, What
from .reproducer import Reproducer
from .transcripts import annotated

__all__ = ["write_capture"]


def write_capture(path: Path, reproducer: Reproducer, transcript: Transcript) -> None:
    """Writes the transcript of a run as a pcapng file. Raises OSError.

    The finding is the comment of the file and of the first packet; each message in which something is wrong on purpose
    has a packet comment that names it.
    """
    violation = reproducer.violation
    about = f"{reproducer.id}: {violation.detail} [{violation.clause}]"
    noted = annotated(transcript, reproducer.conversation).entries
    first = next((at for at, one in enumerate(noted) if one.what in (What.OPENED, What.REFUSED)), None)
    if first is not None:
        one = noted[first]
        noted[first] = replace(one, note="; ".join(filter(None, (about, one.note))))
    with open(path, "wb") as file:
        write_transcript(file, Transcript(noted), side=reproducer.conversation.side, comment=about)
