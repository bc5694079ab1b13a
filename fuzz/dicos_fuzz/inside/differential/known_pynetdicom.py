"""Known differences from pynetdicom 3.0.4, each with its cause and a witness.

Knows: where its decoders and ours part. Must not know: how they are compared. A witness is a valid PDU or command set
with edits, so that it says what is unusual in it.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.dimse.codec import encode_command
from dicos_proto.upper_layer.pdu import encode

from ...grammar import read_command, read_pdu
from ...tree import Action, Edit, apply
from ...tree import encode as encode_tree
from ..model import menu
from .comparing import Cause, Explained

__all__ = ["COMMANDS", "PDUS"]

_THEIRS, _LATITUDE, _STRICTER, _LATER = Cause.THEIRS, Cause.LATITUDE, Cause.STRICTER, Cause.LATER
_RQ = read_pdu(encode(menu.REQUESTS[1]))
_AC = read_pdu(encode(menu.answer(menu.REQUESTS[1], 0)))
_CONTEXT, _USER = "presentation context", "user information"


def _rq(*edits: Edit) -> bytes:
    return encode_tree(apply(_RQ, list(edits)))


def _ac(*edits: Edit) -> bytes:
    return encode_tree(apply(_AC, list(edits)))


def _set(path: str, value: bytes) -> Edit:
    return Edit(path, Action.SET, value)


def _delete(path: str) -> Edit:
    return Edit(path, Action.DELETE)


def _twice(path: str) -> Edit:
    return Edit(path, Action.REPEAT)


def _answer(uid: bytes) -> bytes:
    """A context item of an A-ASSOCIATE-AC."""
    sub_item = b"\x40\0" + len(uid).to_bytes(2, "big") + uid
    return b"\x21\0" + (4 + len(sub_item)).to_bytes(2, "big") + b"\1\0\0\0" + sub_item


def _pdu(pattern: str, cause: Cause, why: str, clause: str, witness: bytes) -> Explained:
    return Explained(pattern, cause, why, clause, witness, "pdu")


PDUS: Final[tuple[Explained, ...]] = (
    # lengths
    _pdu(r"we refuse: A-ASSOCIATE-RJ of \d+ bytes", _THEIRS, "they read the fields and not what follows them",
         "PS3.8 9.3.4", bytes.fromhex("03000000000500010101ff")),
    _pdu(r"we refuse: A-ABORT of \d+ bytes", _THEIRS, "they read the fields and not what follows them",
         "PS3.8 9.3.8", bytes.fromhex("07000000000500000201ff")),
    _pdu(r"we refuse: A-RELEASE-R[QP] of \d+ bytes", _THEIRS, "they read none of its bytes", "PS3.8 9.3.6",
         bytes.fromhex("050000000000")),
    _pdu(r"we refuse: P-DATA-TF of 0 bytes", _THEIRS, "to them it may hold no PDV", "PS3.8 9.3.5",
         bytes.fromhex("040000000000")),
    # UIDs
    _pdu(r"we refuse: .* (is not a UID|has a component that begins with 0|begins with invalid arcs|is padded)",
         _LATER, "they take any text of 1 to 64 characters for a UID; to us a peer that sends one needs a tolerance",
         "PS3.5 9.1", _rq(_set(f"{_CONTEXT}/abstract syntax/UID", b"1.2.x"))),
    # presentation contexts
    _pdu(r"we refuse: presentation context id \d+ is", _LATER, "they test ids where contexts are accepted",
         "PS3.8 9.3.2.2", _rq(_set(f"{_CONTEXT}/id", b"\2"))),
    _pdu(r"we refuse: presentation context \d+ without transfer syntax", _LATER, "they leave it to their acceptor",
         "PS3.8 9.3.2.2",
         _rq(_delete(f"{_CONTEXT}/transfer syntax"), _delete(f"{_CONTEXT}/transfer syntax"))),
    _pdu(r"we refuse: no abstract syntax", _LATER, "they leave it to their acceptor", "PS3.8 9.3.2.2",
         _rq(_delete(f"{_CONTEXT}/abstract syntax"))),
    _pdu(r"we refuse: (abstract|transfer) syntax twice", _THEIRS, "to them the first counts", "PS3.8 9.3.2.2",
         _rq(_twice(f"{_CONTEXT}/abstract syntax"))),
    _pdu(r"we refuse: result \d+ for presentation context", _LATITUDE, "any other number is a refusal to them",
         "PS3.8 9.3.3.2", _ac(_set(f"{_CONTEXT}/result", b"\7"))),
    _pdu(r"we refuse: no transfer syntax in presentation context", _THEIRS, "it may be missing to them",
         "PS3.8 9.3.3.2", _ac(_delete(f"{_CONTEXT}/transfer syntax"))),
    _pdu(r"they refuse: AssertionError: $", _THEIRS, "the transfer syntax of a refused context is not significant: we "
         "skip it, and they want it whole", "PS3.8 9.3.3.2",
         _ac(_set(f"{_CONTEXT}/result", b"\3"), Edit(f"{_CONTEXT}/transfer syntax/length", Action.LENGTH, 99))),
    _pdu(r"they refuse: error: unpack requires a buffer", _THEIRS, "likewise, where its header is cut",
         "PS3.8 9.3.3.2", _ac(_set(f"{_CONTEXT}/result", b"\3"), _set(f"{_CONTEXT}/transfer syntax", b"\x40"))),
    # items
    _pdu(r"they refuse: KeyError: \d+", _THEIRS, "they know no way to skip an item of unknown type", "PS3.8 9.3.1",
         _rq(Edit(_USER, Action.INSERT, bytes.fromhex("7f000000")))),
    _pdu(r"we refuse: no application context item", _LATER, "they leave it to their acceptor", "PS3.8 9.3.2.1",
         _rq(_delete("application context"))),
    _pdu(r"we refuse: (application context|user information) twice", _THEIRS, "to them the first counts",
         "PS3.8 9.3.2", _rq(_twice("application context"))),
    _pdu(r"we refuse: no (Maximum Length|implementation class UID) sub-item", _LATER,
         "they do without; `missing_user_information` accepts it", "PS3.8 D.1",
         _rq(_delete(f"{_USER}/maximum length"))),
    _pdu(r"we refuse: (Maximum Length|implementation|asynchronous|user identity).* twice", _THEIRS,
         "to them the first counts", "PS3.7 D.3.3", _rq(_twice(f"{_USER}/maximum length"))),
    _pdu(r"we refuse: [a-zM][\w ]*: \d+ bytes after its end", _THEIRS,
         "they read the fields of a sub-item and not what follows them", "PS3.7 D.3.3",
         _rq(Edit(f"{_USER}/operations window/performed", Action.REPEAT))),
    _pdu(r"we refuse: [a-zM][\w ]*: \d+ bytes wanted", _THEIRS,
         "they take what there is for a field whose length is too large", "PS3.7 D.3.3",
         _rq(Edit(f"{_USER}/extended negotiation/SOP class/length", Action.LENGTH, 90))),
    _pdu(r"we refuse: implementation version name of (0|\d\d+) bytes", _LATITUDE,
         "to them an empty one is as good as none", "PS3.7 D.3.3.2",
         _rq(_set(f"{_USER}/implementation version/name", b""))),
    _pdu(r"they refuse: ValueError: Invalid 'Implementation Version Name'", _THEIRS,
         "they allow no backslash; it is not a separator here", "PS3.7 D.3.3.2.4",
         _rq(_set(f"{_USER}/implementation version/name", b"A\\B"))),
    _pdu(r"we refuse: positive response requested \d+", _LATITUDE, "any number but 0 is a yes to them",
         "PS3.7 D.3.3.7.1", _rq(_set(f"{_USER}/user identity/response requested", b"\7"))),
    # titles
    _pdu(r"they refuse: ValueError: Unable to decode", _LATER,
         "titles beyond ASCII: our policy judges them, not our decoder", "PS3.8 9.3.2",
         _rq(_set("calling title", b"\xe4".ljust(16)))),
    _pdu(r"they refuse: ValueError: Invalid 'Call", _LATER, "AE titles are judged by our policy, not by our decoder",
         "PS3.8 9.3.2", _rq(_set("calling title", b"A\\B".ljust(16)))),
    _pdu(r"read differently: (called|calling|called, calling)$", _LATITUDE,
         "they drop all blanks around a title, and we only the spaces that pad it", "PS3.8 9.3.2",
         _ac(_set("called title", b"\tA".ljust(16)))),
    _pdu(r"they refuse: AttributeError: '\w+' object has no attribute 'transfer_syntax_name'", _THEIRS,
         "to them the first sub-item of an accepted context is its transfer syntax; we skip what does not belong there",
         "PS3.8 9.3.1",
         _ac(Edit(f"{_CONTEXT}/transfer syntax", Action.INSERT, bytes.fromhex("5100000400001000")))),
    _pdu(r"they refuse: ValueError: Invalid 'Transfer Syntax Name'", _LATITUDE,
         "they read a context item of the other PDU, which is an unknown item to a receiver", "PS3.8 9.3.1",
         _rq(Edit(_CONTEXT, Action.INSERT, _answer(b"1" * 255)))),
    # sub-items
    _pdu(r"read differently: identity$", _THEIRS, "to them a field of length 0 is all the rest",
         "PS3.7 D.3.3.7.1", _rq(Edit(f"{_USER}/user identity/primary", Action.SET, b"\0\0"))),
    _pdu(r"(read differently: common extended$|they refuse: ValueError: Related General)", _THEIRS,
         "they do not read the length of the list of related classes", "PS3.7 D.3.3.6",
         _rq(Edit(f"{_USER}/common extended negotiation/related/length", Action.LENGTH, 0))),
)  # fmt: skip
"""Of PDUs."""

_ECHO = menu.command(menu.CLASS_OF["C-ECHO-RQ"], 1, 7, 0)
_SET = read_command(encode_command(_ECHO.command, has_data=False))
_MOVE = menu.command(menu.CLASS_OF["C-MOVE-RQ"], 1, 7, 0)
_MOVE_SET = read_command(encode_command(_MOVE.command, has_data=True))


def _echo(*edits: Edit) -> bytes:
    return encode_tree(apply(_SET, list(edits)))


def _move(*edits: Edit) -> bytes:
    return encode_tree(apply(_MOVE_SET, list(edits)))


def _element(number: int, value: bytes) -> bytes:
    return b"\0\0" + number.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value


def _command(pattern: str, cause: Cause, why: str, clause: str, witness: bytes) -> Explained:
    return Explained(pattern, cause, why, clause, witness, "command")


COMMANDS: Final[tuple[Explained, ...]] = (
    _command(r"we refuse: command group length", _THEIRS, "they do not compare it with what follows", "PS3.7 6.3.1",
             _echo(Edit("(0000,0000)/group length", Action.LENGTH, 2))),
    _command(r"we refuse: command set (begins with|of \d+ bytes; at least)", _LATITUDE,
             "they do without a group length; `command_layout` accepts it", "PS3.7 6.3.1",
             _echo(_delete("(0000,0000)"))),
    _command(r"we refuse: command element \S+ after \S+ ascending order", _THEIRS,
             "they take elements in any order", "PS3.7 6.3.1", _echo(Edit("(0000,0100)", Action.SWAP))),
    _command(r"we refuse: command element \S+ of \d+ bytes with \d+ left", _THEIRS,
             "they take what there is of the last element", "PS3.7 6.3.1",
             _echo(Edit("(0000,0800)/length", Action.LENGTH, 4))),
    _command(r"we refuse: command element header of \d+ bytes", _THEIRS,
             "they leave out what is too short for an element", "PS3.7 6.3.1",
             _echo(Edit("(0000,0800)", Action.REPEAT), Edit("(0000,0800)#2", Action.CUT, 5))),
    _command(r"we refuse: command element \S+ of odd length", _THEIRS, "they do not want lengths even", "PS3.7 6.3.1",
             _echo(_set("(0000,0002)/value", b"1.2"))),
    _command(r"we refuse: element \S+ in a command set", _LATITUDE,
             "they leave elements of other groups alone", "PS3.7 6.3.1",
             _echo(_set("(0000,0110)/tag", b"\x09\0\x10\1"))),
    _command(r"we refuse: no \(0000,0[18]00\)", _LATER, "they look for it where the message is complete", "PS3.7 E.1",
             _echo(_delete("(0000,0800)"))),
    _command(r"we refuse: no \(0000,....\) .* in [CN]-", _LATER,
             "they miss what a message must have where it is used", "PS3.7 9.3", _echo(_delete("(0000,0002)"))),
    _command(r"we refuse: \(0000,....\) of \d+ bytes; (one US|tags of 4)", _THEIRS,
             "they take the first of several numbers", "PS3.7 E.1", _echo(_set("(0000,0110)/value", b"\7\0\1\0"))),
    _command(r"we refuse: \(0000,....\) of \d+ bytes; (UI|LO|AE)", _LATER,
             "they take texts unchanged, except those that are too long", "PS3.5 6.2",
             _echo(_set("(0000,0002)/value", b"1.2\n"))),
    _command(r"we refuse: \(0000,....\) of \d+ values", _THEIRS, "they take the first of several texts", "PS3.5 6.4",
             _move(_set("(0000,0600)/value", b"A\\B "))),
    _command(r"we refuse: \(0000,....\) of \d+ bytes (is|has|begins)", _LATER,
             "they take UIDs that break the rules unchanged", "PS3.5 9.1", _echo(_set("(0000,0002)/value", b"1.02"))),
    _command(r"they refuse: ValueError: Priority must be", _LATER,
             "we hand any number on, and the local user decides", "PS3.7 9.3.4.1",
             _move(_set("(0000,0700)/value", b"\x09\0"))),
    _command(r"they refuse: BytesLengthException", _LATITUDE,
             "an element that the message does not define is a number of 4 bytes to their dictionary of retired ones",
             "PS3.7 E.2", _echo(Edit("(0000,0002)", Action.INSERT, _element(0x0001, b"ab")))),
)  # fmt: skip
"""Of command sets."""
