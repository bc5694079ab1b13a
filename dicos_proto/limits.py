"""How much a peer may ask of us: every length, count and depth that a peer supplies, each with the attack it stops.

Knows: numbers. Must not know: anything else. Every field is compared before anything is allocated or looped over.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MAX_LENGTH = 131_072
"""Maximum Length, in bytes, that this side advertises unless told otherwise  # PS3.8 D.1.

It is also the limit of what is received: a longer P-DATA-TF is refused at its header. P-DATA is streamed, so this
number costs no memory; larger PDUs only mean fewer headers."""

SMALLEST_MAX_LENGTH = 8
"""The smallest Maximum Length with which a message can be carried: a PDV of 4 + 2 bytes and two bytes of data
(fragments are of even length, and one that carries nothing makes no progress)."""


OVER_MAX_LENGTH = 1 << 20
"""The longest P-DATA-TF that `Tolerance.over_max_length` lets through, or twice this side's Maximum Length if that is
more: a peer that counts wrongly, not one that announces four gigabytes."""

OBJECT_COST = 256
"""What an object that holds some bytes counts for beside them, in bytes, wherever bytes are counted: many small things
are as dear as one large one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The cost that one association, or one file that is converted, may have. All sizes are bytes."""

    associate_pdu: int = 1 << 20
    """Length of an A-ASSOCIATE-RQ or -AC body. Stops: gigabytes buffered for a stranger."""
    contexts: int = 128
    """Presentation contexts in one A-ASSOCIATE PDU. Stops: quadratic negotiation. 128 is all the odd ids there are."""
    transfer_syntaxes: int = 64
    """Transfer syntaxes in one presentation context. Stops: 128 contexts x 16,000 four-byte items."""
    unknown_items: int = 64
    """Items of unknown types in one A-ASSOCIATE PDU, at its top and in its presentation contexts; they are skipped.
    Stops: a megabyte of empty ones, a step of work each."""
    user_items: int = 512
    """Sub-items of the user information item. Stops: a megabyte of empty sub-items, an object each."""
    uid: int = 64
    """Characters in a UID.  # PS3.5 9.1. Stops: 64 kB strings where names are expected."""
    command_set: int = 64 << 10
    """Length of one command set, all its fragments together. Stops: a command that never ends."""
    command_fragments: int = 256
    """PDVs that one command set may come in. Stops: a command of one-byte (or empty) fragments."""
    empty_pdvs: int = 16
    """PDVs without data in a row. Stops: endless traffic that carries nothing."""
    outstanding: int = 256
    """Operations outstanding in one direction when the negotiated window is 0, unlimited.  # PS3.7 D.3.3.3"""
    collected: int = 64 << 20
    """Data set held in memory when the caller asks for all of it at once. Stops: a 4 GiB object in memory. Whoever
    receives larger ones reads them in pieces, or allows more."""
    attributes: int = 4 << 20
    """Identifier, attribute list or other data set of a DIMSE message that is no composite object, held in memory to be
    decoded; an image to be printed may be as long as `collected`. Stops: the same, as a query."""
    elements: int = 10_000
    """Elements in such a data set, those in sequences included. Stops: 500,000 empty ones in 4 MB, each of which takes
    400 bytes of memory."""
    items: int = 10_000
    """Items in such a data set. Stops: the same, with 1,400 bytes of memory for each item of 8 bytes."""
    values: int = 20_000
    """Values in all the elements of such a data set, where one element may have several. Stops: four million names in
    4 MB of backslashes, each an object when they are looked at."""
    object_elements: int = 250_000
    """Elements in a composite object that is decoded, those in sequences included. Stops: the same, as an object."""
    object_items: int = 50_000
    """Items and fragments in a composite object that is decoded. Stops: the same."""
    object_values: int = 1_000_000
    """Values in all the elements of a composite object that is decoded, where one element may have several; of binary
    numbers, eight count as one. Stops: 30 million decimal strings in 64 MB, each of which takes 400 bytes when they are
    looked at."""
    inflate_ratio: int = 100
    """Bytes that each byte of a deflated data set may inflate to, judged once `inflate_unjudged_bytes` are out. Stops:
    254 kB of deflate that hold 800 MB of zeros."""
    inflate_elements: int = 4
    """Elements and items that each byte of a deflated data set may hold, beyond `inflate_unjudged_elements`. Stops:
    1.5 kB of deflate that hold 131,000 empty items."""
    inflate_unjudged_bytes: int = 1 << 20
    """Bytes that come out of a deflated data set before `inflate_ratio` is judged: a short data set of zeros is no
    attack. Stops, together with that: a kilobyte of deflate that holds more than a megabyte of zeros."""
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
    """Sequences nested in each other in a data set. Stops: 60,000 of them in 2 MB, where a decoder recurses."""
    parked: int = 64 << 10
    """Requests of the peer, with their data sets, held while a flow waits for something else, and 256 bytes for each
    object that holds them. Stops: a provider that floods a user who waits for an answer."""
    received_ahead: int = 1 << 20
    """Bytes received and not yet parsed, above which `wants_read` is False. Stops: a peer faster than its reader."""
    received_pieces: int = 512
    """Pieces in which those bytes may lie. Stops: the same, one byte a segment, at 200 bytes of bookkeeping each."""
    queued: int = 1 << 20
    """Bytes waiting to be sent, above which a flow asks to be drained; and about as many bytes of data sets are cut to
    P-DATA-TF for one `data_to_send`. Stops: a peer slower than its sender."""
    peer_max_length: int = 512
    """The smallest Maximum Length of a peer that is accepted; at least 8. Each P-DATA-TF costs 12 bytes and a step of
    work whatever is in it. With 512, the headers are 2 % of the bytes; with 8, they are 86 %, and a peer makes us send
    and compute seven times as much as it asked for. Peers in use ask for 4096 and more. Stops: amplification."""
    outgoing_pdu: int = 1 << 20
    """The longest P-DATA-TF built for a peer whose Maximum Length is 0 (unlimited) or larger than this; at least 8."""

    def __post_init__(self) -> None:
        if self.outgoing_pdu < SMALLEST_MAX_LENGTH:
            raise ValueError(f"limit outgoing_pdu of {self.outgoing_pdu} bytes; at least {SMALLEST_MAX_LENGTH}")
        if self.peer_max_length < SMALLEST_MAX_LENGTH:
            raise ValueError(f"limit peer_max_length of {self.peer_max_length} bytes; at least {SMALLEST_MAX_LENGTH}")
