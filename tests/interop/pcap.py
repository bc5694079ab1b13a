"""Writes conversations as a capture file: the bytes of both sides, in packets that were never sent."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.captures.recording import START, Recorder

SERVER = 11_112
CLIENT = 40_000
"""TCP ports of the acceptors, and of the first requestor; each conversation has its own requestor."""
Said = tuple[bool, bytes]
"""True if the requestor sends the bytes, and the bytes."""


def pcap(conversations: Iterable[Iterable[Said]]) -> bytes:
    """Return the file: for each TCP connection a handshake, then the bytes of both sides in order, in segments."""
    file = BytesIO()
    recorder = Recorder(file)
    for number, conversation in enumerate(conversations):
        recorder.open(
            number, START, client=Endpoint("127.0.0.1", CLIENT + number), server=Endpoint("127.0.0.2", SERVER)
        )
        for by_client, data in conversation:
            recorder.send(number, START, data, by_client=by_client)
    return file.getvalue()
