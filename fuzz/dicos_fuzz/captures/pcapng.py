"""The pcapng writer: Section Header, Interface Description, Enhanced Packet and Decryption Secrets blocks.

Knows: the layout of draft-ietf-opsawg-pcapng, as Wireshark reads it. Must not know: what is in a packet.

| block | layout (little endian), between type 4, length 4 and length 4 |
|---|---|
| Section Header | byte order magic 4, major 2, minor 2, section length 8, options |
| Interface Description | link type 2, reserved 2, snapshot length 4, options |
| Enhanced Packet | interface 4, time high 4, time low 4, captured 4, original 4, data padded to 4, options |
| Decryption Secrets | type 4, length 4, data padded to 4, options |
| option | code 2, length 2, value padded to 4; code 0 ends the list |

Invariants: times are nanoseconds since 1970; blocks are written one by one and nothing is kept, so a file that is cut
off by a crash is readable up to its last whole block.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

from dicos_proto.wire import Buffer

from .packets import ETHERNET

__all__ = [
    "BYTE_ORDER",
    "DECRYPTION_SECRETS",
    "ENHANCED_PACKET",
    "INTERFACE_DESCRIPTION",
    "MOST_COMMENT",
    "SECTION_HEADER",
    "TLS_KEY_LOG",
    "Writer",
]

SECTION_HEADER: Final = 0x0A0D0D0A
INTERFACE_DESCRIPTION: Final = 1
ENHANCED_PACKET: Final = 6
DECRYPTION_SECRETS: Final = 10
BYTE_ORDER: Final = 0x1A2B3C4D
TLS_KEY_LOG: Final = 0x544C534B
"""The type of secrets that are the lines of an SSLKEYLOGFILE."""
MOST_COMMENT: Final = 4000
"""Most bytes of a comment, in UTF-8; longer ones are cut."""

_COMMENT: Final = 1
_APPLICATION: Final = 4  # of a section
_RESOLUTION: Final = 9  # of an interface
_NANOSECONDS: Final = 9
_HEAD: Final = struct.Struct("<LL")


class Writer:
    """Writes one section with one interface to a binary file, which the caller opens and closes.

    `link`: the link type of the packets. `comment`: about the whole section. Raises OSError when the file cannot be
    written.

    >>> from io import BytesIO
    >>> file = BytesIO()
    >>> writer = Writer(file, comment="two packets")
    >>> writer.packet(1_700_000_000_000_000_000, b"\\0" * 60)
    >>> writer.packet(1_700_000_000_000_250_000, b"\\0" * 60, comment="the second one")
    >>> len(file.getvalue()) % 4
    0
    """

    def __init__(self, file: BinaryIO, *, link: int = ETHERNET, comment: str = "") -> None:
        self._file = file
        section = struct.pack("<LHHq", BYTE_ORDER, 1, 0, -1)
        options = [(_APPLICATION, b"dicos-proto")]
        if comment:
            options.append((_COMMENT, _text(comment)))
        self._block(SECTION_HEADER, section, options=options)
        self._block(
            INTERFACE_DESCRIPTION, struct.pack("<HHL", link, 0, 0), options=[(_RESOLUTION, bytes((_NANOSECONDS,)))]
        )

    def packet(self, at: int, data: Buffer, *, comment: str = "", original: int | None = None) -> None:
        """Writes one packet. `at`: nanoseconds since 1970. `original`: its length on the network, if `data` is only
        its beginning."""
        size = len(data)
        high, low = divmod(max(0, at), 1 << 32)
        head = struct.pack("<LLLLL", 0, high & 0xFFFFFFFF, low, size, size if original is None else original)
        self._block(ENHANCED_PACKET, head, data, options=[(_COMMENT, _text(comment))] if comment else [])

    def secrets(self, lines: bytes, kind: int = TLS_KEY_LOG) -> None:
        """Writes secrets, by default the lines of an SSLKEYLOGFILE. They must come before the packets that need
        them."""
        self._block(DECRYPTION_SECRETS, struct.pack("<LL", kind, len(lines)), lines)

    def _block(
        self, kind: int, head: bytes, data: Buffer = b"", options: list[tuple[int, bytes]] | None = None
    ) -> None:
        listed = b""
        if options:
            parts = [struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in options]
            listed = b"".join(parts) + bytes(4)
        padding = bytes(-len(data) % 4)
        length = 12 + len(head) + len(data) + len(padding) + len(listed)
        self._file.write(
            b"".join((_HEAD.pack(kind, length), head, data, padding, listed, length.to_bytes(4, "little")))
        )


def _text(comment: str) -> bytes:
    return comment.encode("utf-8", "replace")[:MOST_COMMENT].decode("utf-8", "ignore").encode()
