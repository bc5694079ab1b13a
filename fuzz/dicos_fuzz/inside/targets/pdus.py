"""Targets for the decoders of PDUs, their items, titles, UIDs and extended negotiation, and for `dissect`.

Knows: which errors each decoder documents, and how its result is encoded again. Must not know: streams, states.
"""

from __future__ import annotations

from typing import Final

from dicos_proto.dissect import dissect
from dicos_proto.errors import LocalProtocolError, Malformed
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.tolerance import EVERYTHING, FIELD, STRATOVAN, STRICT, Judge, Tolerance
from dicos_proto.upper_layer import extended
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import AssociateAccept, AssociateReject, AssociateRequest, Pdu
from dicos_proto.upper_layer.policy import AcceptPolicy, Roles
from dicos_proto.upper_layer.titles import decode_title, encode_title, is_title
from dicos_proto.upper_layer.user_information import decode_user_information, encode_user_information

from ...grammar.changing import TITLES, UIDS
from ...grammar.reading import read_pdu, read_stream
from ...tree import Part
from ..seeds import CT, FIND, GET, pdus, requests
from ..tape import Bases, Tape, raw
from ..target import Target, Watch, check

__all__ = ["LIMITS", "TARGETS", "TOLERANCES", "WORDS", "check_malformed"]

LIMITS: Final = (Limits(), Limits(contexts=3, transfer_syntaxes=2, unknown_items=2, user_items=4, associate_pdu=400))
"""The default limits, and some that short inputs exceed."""
TOLERANCES: Final = (STRICT, FIELD, STRATOVAN, EVERYTHING)
WORDS: Final = (
    *(one for one in UIDS if one),
    *TITLES,
    b"1.2.840.10008.3.1.1.1",
    b"\x10\0\0\x15",
    b"\x20\0\0\x2e",
    b"\x21\0\0\x19",
    b"\x30\0\0\x11",
    b"\x40\0\0\x11",
    b"\x50\0\0\x3a",
    b"\x51\0\0\4\0\0\0\0",
    b"\x52\0\0\3",
    b"\x53\0\0\4\0\1\0\1",
    b"\x54\0\0\x1b\0\x17",
    b"\x55\0\0\4ABCD",
    b"\x56\0\0\6\0\1",
    b"\x57\0\0\x10",
    b"\x58\0\0\x08\1\1\0\1x\0\0",
    b"\x59\0\0\2\0\0",
    b"\x99\0\0\0",
    b"\1\0\0\0",
    b"\2\0\0\0",
    b"\4\0\0\0",
    b"\5\0\0\0\0\4\0\0\0\0",
    b"\6\0\0\0\0\4\0\0\0\0",
    b"\7\0\0\0\0\4\0\0\2\6",
)
"""Heads of items and PDUs, and odd names."""
REASONS: Final = frozenset((0, 1, 2, 4, 5, 6))
"""The reasons that an A-ABORT of the service provider may have: 3 is reserved [PS3.8 9.3.8]."""


def check_malformed(fault: Malformed) -> None:
    """Applies the oracle for what a decoder raises: a reason that an A-ABORT may carry, a clause, a limit in full."""
    check(fault.reason in REASONS, f"abort reason {fault.reason} of {fault}")
    check(bool(fault.clause and fault.detail), f"a fault without clause or text: {fault!r}")
    check((fault.limit is None) == (fault.allowed is None), f"a limit without its number: {fault!r}")
    check(str(fault).isprintable(), f"a text that cannot be printed: {str(fault)!a}")


# -- PDUs --------------------------------------------------------------------------------------------------------

_PDUS: Final = Bases(pdus, read_pdu)
_POLICY: Final = AcceptPolicy(
    other_contexts=(uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE),
    roles={CT: Roles(scu=True, scp=True)},
    extended={FIND: extended.QueryExtension(), GET: b"\1", CT: extended.StorageExtension()},
)


def _pdu(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    how = tape.byte()
    limits, tolerance = LIMITS[how >> 2 & 1], TOLERANCES[how & 3]
    given = _PDUS.take(tape)
    try:
        found = decode(given, limits, tolerance)
    except Malformed as fault:
        watch.fault(fault)
        check_malformed(fault)
        return
    watch(type(found).__name__)
    _encoded_again(found, tolerance, watch)
    if isinstance(found, AssociateRequest):
        _answered(found, tolerance, watch)


def _encoded_again(found: Pdu, tolerance: Tolerance, watch: Watch) -> None:
    """Encodes what was decoded, where it may be sent, and decodes that: it is the same."""
    try:
        encoded = encode(found)
    except LocalProtocolError as refused:  # a deviation or a title that is let in, and must not be sent
        watch.fault(refused)
        return
    again = decode(encoded, Limits(), tolerance)
    check(again == found, f"{found!r:.300} becomes {again!r:.300} when it is encoded and decoded")
    check(encode(again) == encoded, "an encoding that is not stable")
    watch("stable")


def _answered(found: AssociateRequest, tolerance: Tolerance, watch: Watch) -> None:
    """Negotiates: a request that was decoded has an answer that can be sent."""
    answer = negotiate(found, _POLICY, tolerance)
    encoded = encode(answer)
    if isinstance(answer, AssociateReject):
        watch((answer.result, answer.source, answer.reason))
        return
    watch(frozenset(one.result for one in answer.contexts))
    again = decode(encoded, Limits())
    check(isinstance(again, AssociateAccept), "an answer of another kind")
    check(again == answer, f"{answer!r:.300} is read as {again!r:.300}")


def _pdu_tapes() -> list[bytes]:
    return [raw(bytes((how,)), one) for one in pdus() for how in (0, 3, 4)]


# -- dissect -----------------------------------------------------------------------------------------------------

_STREAMS: Final = Bases(pdus, read_stream)


def _dissect(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    given = _STREAMS.take(tape)
    lines = dissect(given)
    check(len(lines) <= 4 + len(given), f"{len(lines)} lines for {len(given)} bytes")
    for line in lines:
        check(line.isascii() and line.isprintable(), f"a line that a terminal may obey: {line!a}")
        watch(line[:12])


# -- user information --------------------------------------------------------------------------------------------


def _user_items() -> list[bytes]:
    return [
        encode_user_information(one.user_information, is_request=True)[4:] for one in requests()
    ]  # fmt: skip


def _read_user(data: bytes) -> Part:
    """The sub-items, as the grammar reads them inside an item."""
    item = b"\x50\0" + (len(data) & 0xFFFF).to_bytes(2, "big") + data
    whole = read_pdu(b"\1\0" + (68 + len(item)).to_bytes(4, "big") + bytes(68) + item)
    found = whole.nodes[-1]
    return Part("user information", found.nodes[3:]) if isinstance(found, Part) else whole


_USERS: Final = Bases(_user_items, _read_user)


def _user_information(data: bytes, watch: Watch) -> None:
    tape = Tape(data)
    how = tape.byte()
    is_request = not how & 8
    judge = Judge(LIMITS[how >> 2 & 1], TOLERANCES[how & 3])
    given = _USERS.take(tape)
    try:
        found = decode_user_information(memoryview(given), judge, is_request=is_request)
    except Malformed as fault:
        watch.fault(fault)
        check_malformed(fault)
        return
    for name, _ in judge.untold:
        watch(name)
    try:
        encoded = encode_user_information(found, is_request=is_request)
    except LocalProtocolError as refused:
        watch.fault(refused)
        return
    again = decode_user_information(memoryview(encoded)[4:], Judge(Limits(), STRICT), is_request=is_request)
    check(again == found, f"{found!r:.300} becomes {again!r:.300}")
    watch("stable")


# -- names -------------------------------------------------------------------------------------------------------


def _names(data: bytes, watch: Watch) -> None:
    kind, given = data[:1], data[1:]
    if kind < b"\x40":
        _uid(given, watch)
    elif kind < b"\x80":
        _title(given, watch)
    else:
        _extension(kind[0] if kind else 0, given, watch)


def _uid(given: bytes, watch: Watch) -> None:
    uid, broken = uids.read(given)
    watch(broken)
    if broken is not None:
        check(uids.is_dotted(uid), f"{uid!a} is taken for a UID")
        check(
            uids.has_valid_root(uid) is ("uid_invalid_root" not in broken), f"{uid!a}: its root is both valid and not"
        )
        if len(uid) <= uids.MAX_LENGTH:
            check(uids.is_safe(uid), f"{uid!a} is a UID and not safe")
            check(uids.is_valid(uid) is ("uid_leading_zeros" not in broken), f"{uid!a} is valid and breaks {broken}")
    text = given.decode("latin-1")
    if uids.is_safe(text):
        check(not set(text) - set("0123456789.") and ".." not in text, f"{text!a} is called safe")


def _title(given: bytes, watch: Watch) -> None:
    judge = Judge(Limits(), TOLERANCES[len(given) & 3])
    title = decode_title(given[:16], "called", judge)
    watch(tuple(name for name, _ in judge.untold))
    check(len(title) <= 16, f"a title of {len(title)} characters")
    if is_title(title):
        encoded = encode_title(title, "called")
        check(decode_title(encoded, "called", judge) == title.strip(" "), f"{title!a} is another title when sent")
        check(len(encoded) == 16, f"a title field of {len(encoded)} bytes")


_EXTENSIONS: Final = (extended.StorageExtension, extended.QueryExtension, extended.RetrieveExtension)


def _extension(how: int, given: bytes, watch: Watch) -> None:
    kind = _EXTENSIONS[how % 3]
    answer = extended.grant(given, kind())
    watch((kind.__name__, None if answer is None else len(answer)))
    if answer is not None:
        kind.decode(answer)
    try:
        found = kind.decode(given)
    except Malformed as fault:
        watch.fault(fault)
        check(answer is None, f"{fault}, and yet it is answered")
        return
    check(kind.decode(found.encode()) == found, f"{found!r} is not stable")


def _name_tapes() -> list[bytes]:
    options = (b"\0", b"\1", b"\2\0\0\0\2\0", b"\1\1\1\0\1\1\1")
    return [
        *(b"\0" + one for one in (*UIDS, b"1.2.840.10008.1.1\0", b"2.25.1", b"0.39.1", b"1.40")),
        *(b"\x40" + one for one in (*TITLES, b"ANY-SCP         ", b"A\0")),
        *(bytes((0x80 + number,)) + one for one in options for number in range(3)),
    ]


TARGETS: Final = (
    Target(
        name="pdu",
        about="one PDU: decoded, encoded again, and a request answered",
        body=_pdu,
        seeds=_pdu_tapes,
        made=lambda random: raw(bytes((random.randrange(8),)), _PDUS.made(random)),
        grown=lambda random: raw(bytes((random.randrange(4),)), _PDUS.grown(random, 60_000)),
        words=WORDS,
        share=2,
    ),
    Target(
        name="user-information",
        about="the user information item of a request or an answer",
        body=_user_information,
        seeds=lambda: [raw(bytes((how,)), one) for one in _USERS.all for how in (0, 3, 4, 8, 11)],
        made=lambda random: raw(bytes((random.randrange(16),)), _USERS.made(random)),
        grown=lambda random: raw(bytes((random.randrange(4),)), _USERS.grown(random, 60_000)),
        words=WORDS,
        share=2,
    ),
    Target(
        name="names",
        about="UIDs, AE titles and service class application information",
        body=_names,
        seeds=_name_tapes,
        words=WORDS,
        longest=4096,
    ),
    Target(
        name="dissect",
        about="a stream of PDUs as readable lines",
        body=_dissect,
        seeds=lambda: [raw(b"", one) for one in pdus()],
        made=lambda random: raw(b"", _STREAMS.made(random)),
        grown=lambda random: raw(b"", _STREAMS.grown(random, 60_000)),
        words=WORDS,
    ),
)
