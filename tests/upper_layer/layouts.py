"""Bytes laid out by hand from PS3.8 9.3, annex D and PS3.7 annex D.3.3, E.1: no encoder of ours has a part in them."""

from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"

APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
VERIFICATION = b"1.2.840.10008.1.1"
CT = b"1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = b"1.2.840.10008.1.2"
EXPLICIT = b"1.2.840.10008.1.2.1"


def item(kind: int, value: bytes, reserved: int = 0) -> bytes:
    """An item or sub-item: type 1, reserved 1, length 2, value."""
    return bytes((kind, reserved)) + len(value).to_bytes(2, "big") + value


def sized(value: bytes) -> bytes:
    """Length 2, value: the fields inside a sub-item."""
    return len(value).to_bytes(2, "big") + value


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Type 1, reserved 1, length 4 (that of `body` unless told otherwise), body."""
    return bytes((kind, 0)) + (len(body) if length is None else length).to_bytes(4, "big") + body


def associate(
    kind: int, *items: bytes, called: bytes = b"CALLED", calling: bytes = b"CALLING", version: int = 1
) -> bytes:
    """An A-ASSOCIATE-RQ (1) or -AC (2): version 2, reserved 2, called 16, calling 16, reserved 32, items."""
    fixed = version.to_bytes(2, "big") + bytes(2) + called.ljust(16) + calling.ljust(16) + bytes(32)
    return pdu(kind, fixed + b"".join(items))


APPLICATION_ITEM = item(0x10, APPLICATION_CONTEXT)
ABSTRACT_ITEM = item(0x30, VERIFICATION)
TRANSFER_ITEM = item(0x40, IMPLICIT)
PROPOSED_ITEM = item(0x20, b"\x01\0\0\0" + ABSTRACT_ITEM + TRANSFER_ITEM)
ANSWER_ITEM = item(0x21, b"\x01\0\0\0" + TRANSFER_ITEM)
MAX_LENGTH_ITEM = item(0x51, b"\x00\x00\x40\x00")
CLASS_ITEM = item(0x52, b"1.2.3")


def user_item(*items: bytes) -> bytes:
    """The user information item: the two sub-items it must have, then `items`."""
    return item(0x50, MAX_LENGTH_ITEM + CLASS_ITEM + b"".join(items))


def request(*user_items: bytes, contexts: tuple[bytes, ...] = (PROPOSED_ITEM,)) -> bytes:
    return associate(1, APPLICATION_ITEM, *contexts, user_item(*user_items))


def accept(*user_items: bytes, contexts: tuple[bytes, ...] = (ANSWER_ITEM,)) -> bytes:
    return associate(2, APPLICATION_ITEM, *contexts, user_item(*user_items))


def pdv(context: int, control: int, data: bytes, length: int | None = None) -> bytes:
    """A presentation data value item: length 4, context 1, control header 1, data."""
    return (len(data) + 2 if length is None else length).to_bytes(4, "big") + bytes((context, control)) + data


def p_data(*pdvs: bytes) -> bytes:
    return pdu(4, b"".join(pdvs))


def element(number: int, value: bytes, group: int = 0, length: int | None = None) -> bytes:
    """Implicit VR little endian: group 2, element 2, length 4, value."""
    size = len(value) if length is None else length
    return group.to_bytes(2, "little") + number.to_bytes(2, "little") + size.to_bytes(4, "little") + value


def us(number: int, value: int) -> bytes:
    return element(number, value.to_bytes(2, "little"))


def command_set(*elements: bytes, length: int | None = None) -> bytes:
    """The group length element (of `elements` unless told otherwise), then `elements`."""
    rest = b"".join(elements)
    return element(0, (len(rest) if length is None else length).to_bytes(4, "little")) + rest


def vector(name: str) -> bytes:
    """The bytes of tests/vectors/NAME.hex; `#` begins a comment."""
    lines = (VECTORS / f"{name}.hex").read_text().splitlines()
    return bytes.fromhex(" ".join(line.partition("#")[0] for line in lines))


def vector_names() -> list[str]:
    return sorted(path.stem for path in VECTORS.glob("*.hex"))


def split(stream: bytes) -> list[bytes]:
    """The PDUs of a stream, each whole."""
    found: list[bytes] = []
    while stream:
        length = 6 + int.from_bytes(stream[2:6], "big")
        found.append(stream[:length])
        stream = stream[length:]
    return found


def split_items(value: bytes) -> list[tuple[int, bytes]]:
    """(type, value) of each item that lies in `value`."""
    found: list[tuple[int, bytes]] = []
    while value:
        length = int.from_bytes(value[2:4], "big")
        found.append((value[0], value[4 : 4 + length]))
        value = value[4 + length :]
    return found
