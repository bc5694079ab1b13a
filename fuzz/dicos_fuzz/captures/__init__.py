"""Capture files: pcapng written, pcap and pcapng read, TCP connections put together, TLS decrypted with a key log.

    for recorded in conversations(Path("clinic.pcapng")): ...
    write_transcript(file, transcript)

Knows: files of packets and the bytes of connections. Must not know: what the bytes mean, beyond what tells DICOM from
other protocols (`trace` decodes them).
"""

from .reading import CaptureError, Piece, Recorded, Recording, conversations
from .recording import Recorder, write_transcript

__all__ = ["CaptureError", "Piece", "Recorded", "Recorder", "Recording", "conversations", "write_transcript"]
