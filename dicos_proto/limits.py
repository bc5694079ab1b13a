"""Limits on every length, count and depth that a peer supplies, each with the attack that it stops.

Knows: numbers. Must not know: anything else. Each field is compared before anything is allocated or looped over.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_MAX_LENGTH", "SMALLEST_MAX_LENGTH", "Limits"]

DEFAULT_MAX_LENGTH = 131_072
"""Maximum Length, in bytes, that this side advertises by default [PS3.8 D.1].

It also limits what is received: a longer P-DATA-TF is refused at its header. P-DATA is streamed, so the number costs
no memory; larger PDUs only mean fewer headers."""

SMALLEST_MAX_LENGTH = 8
"""The smallest Maximum Length, in bytes, that can carry a message: a PDV of 4 + 2 bytes and two bytes of data
(fragments have an even length, and an empty one makes no progress)."""


OVER_MAX_LENGTH = 1 << 20
"""The longest P-DATA-TF, in bytes, that `Tolerance.over_max_length` accepts, or twice this side's Maximum Length if
that is more. It covers a peer that counts wrongly, not one that announces four gigabytes."""

OBJECT_COST = 256
"""Overhead, in bytes, that is added for each object wherever held bytes are counted, because many small objects cost
as much memory as one large one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The cost that one association, or one file that is converted, may have. All sizes are in bytes."""

    associate_pdu: int = 1 << 20
    """Length of the body of an A-ASSOCIATE-RQ or -AC. Stops: gigabytes buffered for a stranger."""
    contexts: int = 128
    """Presentation contexts in one A-ASSOCIATE PDU. Stops: quadratic negotiation. 128 is the number of
    odd context ids."""
    transfer_syntaxes: int = 64
    """Transfer syntaxes in one presentation context. Stops: 128 contexts x 16,000 four-byte items."""
    unknown_items: int = 64
    """Items of unknown type in one A-ASSOCIATE PDU, at the top level and in presentation contexts; they are skipped.
    Stops: a megabyte of empty items, each of which takes a step of work."""
    user_items: int = 512
    """Sub-items of the user information item, and related general SOP classes in each of its 57H sub-items. Stops: a
    megabyte of empty ones, each of which becomes an object."""
    uid: int = 64
    """Characters in a UID [PS3.5 9.1]. Stops: 64 kB strings where names are expected."""
    command_set: int = 64 << 10
    """Length of one command set, with all its fragments. Stops: a command set that never ends."""
    command_fragments: int = 256
    """PDVs of one command set. Stops: a command set of one-byte or empty fragments."""
    empty_pdvs: int = 16
    """PDVs without data in a row. Stops: endless traffic that carries nothing."""
    outstanding: int = 256
    """Operations outstanding in one direction if the negotiated window is 0, unlimited [PS3.7 D.3.3.3]. Stops: a peer
    that starts operations without end."""
    collected: int = 64 << 20
    """Length of a data set that the caller reads whole into memory; `conversation.read_data` and
    `Request.read` compare it. Stops: a 4 GiB object in memory. To receive larger ones, read them in pieces or raise
    this limit. `ServerLimits.collected` bounds the sum over a server."""
    pixels: int = 8 << 30
    """Length of the pixel data of a DICOS object that is received into memory, whose other elements `collected` bounds
    (`dicos.content.Decoder`). The buffer grows with the bytes that arrive, not by a length that the peer claims. Stops:
    pixel data that fills the memory. Lower it to what your largest scans need."""
    attributes: int = 4 << 20
    """Length of a data set that is not a composite object (an identifier, an attribute list) and is held in memory to
    be decoded; an image to be printed may be as long as `collected`. Stops: a query that fills the memory."""
    elements: int = 10_000
    """Elements in such a data set, including those in sequences. Stops: 500,000 empty elements in 4 MB, each of which
    takes 400 bytes of memory."""
    items: int = 10_000
    """Items in such a data set. Stops: 500,000 empty items in 4 MB: an item of 8 bytes takes 1,400 bytes of memory."""
    values: int = 20_000
    """Values in all elements of such a data set; one element may have several. Stops: four million names in 4 MB of
    backslashes, each of which becomes an object when the element is read."""
    object_elements: int = 250_000
    """Elements in a composite object that is decoded, including those in sequences. Stops: as `elements`."""
    object_items: int = 50_000
    """Items and fragments in a composite object that is decoded. Stops: as `items`."""
    object_values: int = 1_000_000
    """Values in all elements of a composite object that is decoded; one element may have several, and eight binary
    numbers count as one. Stops: 30 million decimal strings in 64 MB, each of which takes 400 bytes when it is read."""
    inflate_ratio: int = 100
    """Bytes to which one byte of a deflated data set may inflate, checked after the first `inflate_unjudged_bytes`.
    Stops: 254 kB of deflated data that hold 800 MB of zeros."""
    inflate_elements: int = 4
    """Elements and items that one byte of a deflated data set may hold, beyond `inflate_unjudged_elements`. Stops:
    1.5 kB of deflated data that hold 131,000 empty items."""
    inflate_unjudged_bytes: int = 1 << 20
    """Bytes that come out of a deflated data set before `inflate_ratio` is judged: a short data set of zeros is
    harmless. Stops, together with that: a kilobyte of deflate that holds more than a megabyte of zeros."""
    inflate_unjudged_elements: int = 1000
    """Elements and items that a deflated data set of any length may hold. Stops, together with `inflate_elements`: a
    hundred bytes of deflate that hold 10,000 empty items."""
    inflate_bytes: int = 4 << 30
    """Bytes that a deflated data set may inflate to when it is converted to another transfer syntax, piece by piece.
    Stops: a file of 1 GB whose conversion makes 100 GB."""
    character_sets: int = 16
    """Specific Character Sets that a data set or an item may name; there are fewer with code extensions. Stops:
    thousands of them, each of which is tried for each text."""
    sequence_depth: int = 64
    """Depth of nested sequences in a data set. Stops: 60,000 levels in 2 MB, for a decoder that recurses."""
    parked: int = 64 << 10
    """Requests of the peer, with their data sets, held while a flow waits for something else; each object that holds
    them counts 256 bytes more. `conversation.parking.Parking` enforces it. Stops: a provider that floods a user who
    waits for a response."""
    received_ahead: int = 1 << 20
    """High-water mark for bytes that are received but not parsed; above it, `wants_read` is False. Stops: a peer that
    sends faster than this side reads."""
    received_pieces: int = 512
    """Pieces in which those bytes may be held. Stops: segments of one byte, each with 200 bytes of bookkeeping."""
    queued: int = 1 << 20
    """High-water mark for bytes that wait to be sent; above it, a flow waits until they are written. One `data_to_send`
    also cuts about this many bytes of data sets into P-DATA-TF. Stops: a peer slower than its sender."""
    peer_max_length: int = 512
    """The smallest Maximum Length that is accepted from a peer; at least 8. Each P-DATA-TF costs 12 bytes and a step of
    work even if it carries nothing. With 512, headers are 2 % of the bytes; with 8, they are 86 %, and this side sends
    and computes seven times as much as the peer asked for. Peers in use ask for 4096 or more. Stops: amplification."""
    outgoing_pdu: int = 1 << 20
    """Length of the longest P-DATA-TF that is built for a peer whose Maximum Length is 0 (unlimited) or larger than
    this; at least 8."""

    def __post_init__(self) -> None:
        if self.outgoing_pdu < SMALLEST_MAX_LENGTH:
            raise ValueError(f"limit outgoing_pdu of {self.outgoing_pdu} bytes; at least {SMALLEST_MAX_LENGTH}")
        if self.peer_max_length < SMALLEST_MAX_LENGTH:
            raise ValueError(f"limit peer_max_length of {self.peer_max_length} bytes; at least {SMALLEST_MAX_LENGTH}")
