"""tshark's dissector of DICOM, on the same PDUs and command sets as our decoders.

Knows: tshark's fields in its XML (PDML). Must not know: how inputs are made.

A dissector shows what it can of anything, so it has no verdict that could be compared: where we refuse a PDU, only its
type and length are compared; where we accept it, tshark must show the same fields, and no malformed packet. Each input
is a connection of its own in a capture file, and tshark reads a few hundred of them at once, because it starts slowly.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import BinaryIO, Final
from xml.etree import ElementTree

from dicos_proto.dimse.codec import decode_command
from dicos_proto.errors import Malformed
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    PData,
    ProposedContext,
)

from ...captures.packets import Endpoint
from ...captures.recording import SERVER, START, Recorder
from ...grammar.building import p_data
from ..model import menu
from .comparing import Input
from .known_tshark import KNOWN
from .making import commands, pdus

__all__ = ["Seen", "Tshark"]

_FIRST: Final = 20_000
"""The client's port in the first connection."""


@dataclass(slots=True)
class _Context:
    id: int
    result: int | None = None
    abstract: list[bytes] = field(default_factory=list)
    transfer: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Seen:
    """One PDU as both show it. `numbers`: single fields by name; `texts`: as encoded, without padding."""

    type: int
    length: int
    numbers: dict[str, int] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    contexts: list[_Context] = field(default_factory=list)
    roles: list[tuple[bytes, int, int]] = field(default_factory=list)
    pdvs: list[tuple[int, int, int]] = field(default_factory=list)  # length, context, control header
    elements: list[bytes] = field(default_factory=list)  # the bytes of each element of a command set
    malformed: bool = False


class Tshark:
    """The comparison with tshark."""

    name = "tshark"
    batch = 200
    known = KNOWN

    def missing(self) -> str | None:
        """tshark is a program."""
        return None if shutil.which("tshark") else "tshark is not installed: apt-get install tshark"

    def inputs(self, random: Random) -> Iterator[Input]:
        """Yields PDUs and command sets in turn. P-DATA only as a command set: a dissector remembers data sets."""
        whole, sets = pdus(random), commands(random)
        while True:
            one = next(whole)
            if len(one.data) > 6 and one.data[0] in (1, 2, 3, 5, 6, 7) and _is_whole(one.data):
                yield one
            yield next(sets)

    def differences(self, inputs: Sequence[Input]) -> list[str | None]:
        """Returns the difference for each input."""
        streams = [one.data if one.kind == "pdu" else p_data((1, True, True, one.data)) for one in inputs]
        found = _dissected(streams, [one.kind == "command" for one in inputs])
        return [
            _difference(stream, one.kind, found.get(number, []))
            for number, (one, stream) in enumerate(zip(inputs, streams, strict=True))
        ]


def _is_whole(pdu: bytes) -> bool:
    return int.from_bytes(pdu[2:6], "big") == len(pdu) - 6


def _difference(stream: bytes, kind: str, seen: list[Seen]) -> str | None:
    header = stream[0], int.from_bytes(stream[2:6], "big")
    if not seen:
        return "they show no PDU" if _ours(stream, kind) is not None else ""
    theirs = seen[0]
    if (theirs.type, theirs.length) != header:
        return f"read differently: type and length {theirs.type}, {theirs.length}; {header}"
    mine = _ours(stream, kind)
    if mine is None:
        return ""
    if theirs.malformed:
        return f"they refuse: a malformed packet{_oddities(stream)}"
    if len(seen) > 1:
        return f"read differently: {len(seen)} PDUs"
    names = [name for name in Seen.__slots__ if getattr(mine, name) != getattr(theirs, name)]
    if not names:
        return None
    differing = ", ".join(f"{name} {_parts(mine, theirs, name)}".strip() for name in names)
    return f"read differently: {differing}{_oddities(stream)}"


def _oddities(stream: bytes) -> str:
    """The legal and unusual parts of an A-ASSOCIATE: items that a receiver has to skip, or that do not signify."""
    if stream[0] not in (1, 2):
        return ""
    found: dict[str, None] = {}
    known = (0x10, 0x50, 0x20 if stream[0] == 1 else 0x21)
    for kind, value in _items(stream[6 + 68 :]):
        if kind in (0x20, 0x21) and kind not in known:
            found["; a context item of the other PDU"] = None
        elif kind not in known:
            found["; an item of another type, empty" if not value else "; an item of another type"] = None
        elif kind == known[2]:
            inside = [(sub, bool(data)) for sub, data in _items(value[4:])]
            if kind == 0x21 and value[2]:
                if inside not in ([(0x40, True)], [(0x40, False)]):
                    found["; an odd transfer syntax in a refused context"] = None
            elif any(sub not in ((0x30, 0x40) if kind == 0x20 else (0x40,)) for sub, _ in inside):
                found["; a sub-item of another type in a context"] = None
        elif kind == 0x50 and any(not 0x51 <= sub <= 0x59 for sub, _ in _items(value)):
            found["; a sub-item of another type in the user information"] = None
    return "".join(found)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[2:4], "big")
        if end > len(data):
            break
        yield data[0], data[4:end]
        data = data[end:]
    if data:
        yield -1, data


def _parts(mine: Seen, theirs: Seen, name: str) -> str:
    """The names of the numbers or texts that differ."""
    ours, found = getattr(mine, name), getattr(theirs, name)
    if not isinstance(ours, dict):
        return ""
    keys = [key for key in {**ours, **found} if ours.get(key) != found.get(key)]
    return f"({', '.join(keys)})"


# -- what tshark says ----------------------------------------------------------------------------------------------

_NUMBERS: Final = {
    "dicom.assoc.version": "version",
    "dicom.max_pdu_len": "maximum length",
    "dicom.userinfo.asyncneg.maxnumopsinv": "invoked",
    "dicom.userinfo.asyncneg.maxnumopsper": "performed",
    "dicom.userinfo.user_identify.type": "identity",
    "dicom.userinfo.user_identify.response_requested": "response requested",
    "dicom.assoc.reject.result": "result",
    "dicom.assoc.reject.source": "source",
    "dicom.assoc.reject.reason": "reason",
    "dicom.assoc.abort.source": "source",
    "dicom.assoc.abort.reason": "reason",
}
_TEXTS: Final = {
    "dicom.assoc.ae.called": "called",
    "dicom.assoc.ae.calling": "calling",
    "dicom.actx": "application context",
    "dicom.userinfo.uid": "implementation class",
    "dicom.userinfo.version": "implementation version",
    "dicom.userinfo.user_identify.primary_field": "primary",
}
_ELEMENT: Final = re.compile(r"\(0000,[0-9a-f]{4}\) ")


@cache
def _program() -> str:
    found = shutil.which("tshark")
    assert found is not None
    return found


def _dissected(streams: Sequence[bytes], within: Sequence[bool]) -> dict[int, list[Seen]]:
    """The PDUs that tshark shows, by the number of the stream. `within`: it comes after a negotiation, which is not
    among the PDUs."""
    with tempfile.TemporaryDirectory(prefix="dicos-tshark-") as folder:
        path = Path(folder) / "inputs.pcapng"
        with path.open("wb") as file:
            _write(file, streams, within)
        options = ["-d", f"tcp.port=={SERVER.port},dicom", "-T", "pdml", "-J", "tcp dicom _ws.malformed"]
        done = subprocess.run(
            [_program(), "-n", "-r", str(path), *options], capture_output=True, timeout=300, check=True
        )
    found: dict[int, list[Seen]] = {}
    for packet in ElementTree.fromstring(done.stdout):
        _packet(packet, found)
    return {number: seen[1:] if within[number] else seen for number, seen in found.items()}


def _write(file: BinaryIO, streams: Sequence[bytes], within: Sequence[bool]) -> None:
    recorder = Recorder(file)
    asked = menu.REQUESTS[2]
    request, answer = encode(asked), encode(menu.answer(asked, 0))
    for number, stream in enumerate(streams):
        recorder.open(number, START, client=Endpoint("127.0.0.1", _FIRST + number), server=SERVER)
        if within[number]:
            recorder.send(number, START, request, by_client=True)
            recorder.send(number, START, answer, by_client=False)
        recorder.send(number, START, stream, by_client=True)


def _packet(packet: ElementTree.Element, found: dict[int, list[Seen]]) -> None:
    port = packet.find(".//field[@name='tcp.srcport']")
    if port is None:
        return
    number = int(port.get("show", "0")) - _FIRST
    if number < 0:
        return
    for proto in packet.iter("proto"):
        name = proto.get("name")
        if name == "dicom":
            found.setdefault(number, []).extend(_pdus(proto))
        elif name == "_ws.malformed" and found.get(number):
            found[number][-1].malformed = True


def _pdus(proto: ElementTree.Element) -> Iterator[Seen]:
    """One PDU or more lie in a `proto`: each begins with its type."""
    pdu: Seen | None = None
    for each in proto.iter("field"):
        name, show = each.get("name", ""), each.get("show", "")
        raw = bytes.fromhex(each.get("value", ""))
        if name == "dicom.pdu.type":
            if pdu is not None:
                yield pdu
            pdu = Seen(raw[0], 0)
        elif pdu is not None:
            _field(pdu, name, show, raw)
    if pdu is not None:
        yield pdu


def _field(pdu: Seen, name: str, show: str, raw: bytes) -> None:
    if name == "dicom.pdu.len":
        pdu.length = int.from_bytes(raw, "big")
    elif name in _NUMBERS:
        pdu.numbers[_NUMBERS[name]] = int.from_bytes(raw, "big")
    elif name in _TEXTS:
        pdu.texts[_TEXTS[name]] = raw.strip(b" ")
    elif name.startswith(("dicom.pctx", "dicom.userinfo.rolesel")):
        _negotiated(pdu, name.rpartition("dicom.")[2], raw)
    elif name == "dicom.pdv.len":
        pdu.pdvs.append((int.from_bytes(raw, "big"), 0, 0))
    elif name == "dicom.pdv.ctx" and pdu.pdvs:
        pdu.pdvs[-1] = (pdu.pdvs[-1][0], raw[0], 0)
    elif name == "dicom.pdv.flags" and pdu.pdvs:
        pdu.pdvs[-1] = (*pdu.pdvs[-1][:2], raw[0])
    elif not name and _ELEMENT.match(show):
        pdu.elements.append(raw)


def _negotiated(pdu: Seen, name: str, raw: bytes) -> None:
    last = pdu.contexts[-1] if pdu.contexts else _Context(0)
    match name:
        case "pctx.id":
            pdu.contexts.append(_Context(raw[0]))
        case "pctx.result":
            last.result = raw[0]
        case "pctx.abss.syntax":
            last.abstract.append(raw)
        case "pctx.xfer.syntax" if not last.result:  # not significant for a refused context  # PS3.8 9.3.3.2
            last.transfer.append(raw)
        case "userinfo.rolesel.sopclassuid":
            pdu.roles.append((raw, 0, 0))
        case "userinfo.rolesel.scurole" if pdu.roles:
            pdu.roles[-1] = (pdu.roles[-1][0], raw[0], 0)
        case "userinfo.rolesel.scprole" if pdu.roles:
            pdu.roles[-1] = (*pdu.roles[-1][:2], raw[0])


# -- what we say ---------------------------------------------------------------------------------------------------


def _ours(stream: bytes, kind: str) -> Seen | None:
    """Our reading; None if we refuse it."""
    seen = Seen(stream[0], int.from_bytes(stream[2:6], "big"))
    try:
        pdu = decode(stream)
        match pdu:
            case AssociateRequest() | AssociateAccept():
                _associate(pdu, seen)
            case AssociateReject():
                seen.numbers = {"result": pdu.result, "source": pdu.source, "reason": pdu.reason}
            case Abort():
                seen.numbers = {"source": pdu.source, "reason": pdu.reason}
            case PData():
                seen.pdvs = [(len(one.data) + 2, one.context, one.command + 2 * one.last) for one in pdu.pdvs]
            case _:
                pass
        if kind == "command":
            raw = stream[12:]
            decode_command(raw)
            while raw:
                size = 8 + int.from_bytes(raw[4:8], "little")
                seen.elements.append(raw[:size])
                raw = raw[size:]
    except Malformed:
        return None
    return seen


def _associate(pdu: AssociateRequest | AssociateAccept, seen: Seen) -> None:
    user = pdu.user_information
    seen.numbers = {"version": pdu.protocol_version, "maximum length": user.max_length}
    seen.texts = {
        "called": pdu.called_aet.encode("latin-1"),
        "calling": pdu.calling_aet.encode("latin-1"),
        "application context": pdu.application_context.encode(),
        "implementation class": user.implementation_class_uid.encode(),
    }
    if user.implementation_version_name is not None:
        seen.texts["implementation version"] = user.implementation_version_name.encode("latin-1").strip(b" ")
    if user.window is not None:
        seen.numbers |= {"invoked": user.window.invoked, "performed": user.window.performed}
    if user.user_identity is not None:
        seen.numbers |= {
            "identity": user.user_identity.type,
            "response requested": user.user_identity.response_requested,
        }
        seen.texts["primary"] = user.user_identity.primary.strip(b" ")
    for context in pdu.contexts:
        match context:
            case ProposedContext():
                transfer = [uid.encode() for uid in context.transfer_syntaxes]
                seen.contexts.append(_Context(context.id, None, [context.abstract_syntax.encode()], transfer))
            case ContextAnswer():
                transfer = [] if context.transfer_syntax is None else [context.transfer_syntax.encode()]
                seen.contexts.append(_Context(context.id, context.result, [], transfer))
    seen.roles = [(role.sop_class_uid.encode(), role.scu, role.scp) for role in user.roles]
