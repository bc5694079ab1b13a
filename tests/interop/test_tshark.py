"""tshark's DICOM dissector and ours agree on the same bytes: PDUs, negotiation, PDVs, command sets.

Every conversation goes into one capture file, each as a connection of its own, and tshark reads it once. Its output
(PDML) and our decoded PDUs are converted to one neutral form; known differences have their reasons here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dicos_proto.association import Association
from dicos_proto.conversation import exchange
from dicos_proto.dimse.codec import decode_command, encode_command
from dicos_proto.dimse.events import MessageStart, Sendable
from dicos_proto.dimse.types import CCancelRequest, CEchoRequest, CStoreRequest
from dicos_proto.errors import Malformed
from dicos_proto.limits import Limits
from dicos_proto.tolerance import Judge, Tolerance
from dicos_proto.upper_layer.negotiation import negotiate
from dicos_proto.upper_layer.pdu import decode, encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextAnswer,
    OperationsWindow,
    PData,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    UserIdentity,
)
from tests.interop.pcap import CLIENT, SERVER, Said, pcap
from tests.pair import CT, MR, POLICY, REQUEST, VERIFICATION, data, p_data, policy, request, start
from tests.strategies import associate_accepts, associate_requests
from tests.upper_layer.layouts import split, vector, vector_names

TSHARK = shutil.which("tshark")


def _version() -> str:
    """Return tshark's version, such as `4.0.17`; empty if there is no tshark."""
    if TSHARK is None:
        return ""
    said = subprocess.run([TSHARK, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    return found[0] if found else ""


VERSION = _version()
pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(TSHARK is None, reason="tshark is not installed"),
]
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures" / "pydicos"

# -- one shape for what both see -----------------------------------------------------------------------------------


@dataclass
class Context:
    id: int
    result: int | None = None
    abstract: list[bytes] = field(default_factory=list)
    transfer: list[bytes] = field(default_factory=list)


@dataclass
class Seen:
    """One PDU. `numbers`: single fields by name; `texts`: as encoded, without padding."""

    type: int
    length: int
    numbers: dict[str, int] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    contexts: list[Context] = field(default_factory=list)
    roles: list[tuple[bytes, int, int]] = field(default_factory=list)
    pdvs: list[tuple[int, int, int]] = field(default_factory=list)  # length, context, control header
    commands: list[str] = field(default_factory=list)  # names of the messages whose command set ends in this PDU
    elements: list[bytes] = field(default_factory=list)  # the bytes of each element of these command sets


# -- what tshark says ----------------------------------------------------------------------------------------------

NUMBERS = {
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
TEXTS = {
    "dicom.assoc.ae.called": "called",
    "dicom.assoc.ae.calling": "calling",
    "dicom.actx": "application context",
    "dicom.userinfo.uid": "implementation class",
    "dicom.userinfo.version": "implementation version",
    "dicom.userinfo.user_identify.primary_field": "primary",
}
ELEMENT = re.compile(r"\(0000,[0-9a-f]{4}\) ")
MESSAGE = re.compile(r"PDV, ([CN]-[A-Z-]+(?:-RQ|-RSP))")


def tshark(conversations: Iterable[Iterable[Said]], folder: Path) -> dict[int, dict[bool, list[Seen]]]:
    """tshark's PDUs, by the number of the conversation and True if the requestor sent it."""
    assert TSHARK is not None
    file = folder / "conversations.pcap"
    file.write_bytes(pcap(conversations))
    options = ["-d", f"tcp.port=={SERVER},dicom", "-o", "tcp.check_checksum:TRUE", "-T", "pdml"]
    done = subprocess.run([TSHARK, "-n", "-r", str(file), *options], capture_output=True, timeout=120, check=True)
    found: dict[int, dict[bool, list[Seen]]] = {}
    for packet in ElementTree.fromstring(done.stdout):
        ports = {
            each.get("name"): int(each.get("show", "0"))
            for each in packet.iter("field")
            if "port" in each.get("name", "")
        }
        source, target = ports["tcp.srcport"], ports["tcp.dstport"]
        assert packet.find(".//field[@name='tcp.checksum.status']").get("show") == "1", "the capture file is not good"
        sides = found.setdefault(min(source, target, key=lambda port: port == SERVER) - CLIENT, {True: [], False: []})
        for proto in packet.iter("proto"):
            if proto.get("name") == "dicom":
                sides[source != SERVER] += _pdus(proto)
    return found


def _pdus(proto: ElementTree.Element) -> Iterator[Seen]:
    """One PDU or more lie in a `proto`: each begins with its type. A PDV is headed by the name of its message."""
    pdu: Seen | None = None
    heading = ""
    for each in proto.iter("field"):
        name, show = each.get("name", ""), each.get("show", "")
        raw = bytes.fromhex(each.get("value", ""))
        if name == "dicom.pdu.type":
            if pdu is not None:
                yield pdu
            pdu = Seen(raw[0], 0)
        elif pdu is None:
            raise AssertionError(f"{name} before any PDU")
        elif name == "dicom.pdu.len":
            pdu.length = int.from_bytes(raw, "big")
        elif name in NUMBERS:
            pdu.numbers[NUMBERS[name]] = int.from_bytes(raw, "big")
        elif name in TEXTS:
            pdu.texts[TEXTS[name]] = raw.strip(b" ")
        elif name.startswith(("dicom.pctx", "dicom.userinfo.rolesel")):
            _negotiated(pdu, name.rpartition("dicom.")[2], raw)
        elif name == "dicom.pdv.len":
            pdu.pdvs.append((int.from_bytes(raw, "big"), 0, 0))
        elif name == "dicom.pdv.ctx":
            pdu.pdvs[-1] = (pdu.pdvs[-1][0], raw[0], 0)
        elif name == "dicom.pdv.flags":
            pdu.pdvs[-1] = (*pdu.pdvs[-1][:2], raw[0])
            if raw[0] == 3 and heading:
                pdu.commands.append(heading)
            heading = ""
        elif not name and (message := MESSAGE.match(show)):
            heading = message[1]
        elif not name and ELEMENT.match(show):
            pdu.elements.append(raw)
    if pdu is not None:
        yield pdu


def _negotiated(pdu: Seen, name: str, raw: bytes) -> None:
    match name:
        case "pctx.id":
            pdu.contexts.append(Context(raw[0]))
        case "pctx.result":
            pdu.contexts[-1].result = raw[0]
        case "pctx.abss.syntax":
            pdu.contexts[-1].abstract.append(raw)
        case "pctx.xfer.syntax":
            if not pdu.contexts[-1].result:  # not significant for a refused context  # PS3.8 9.3.3.2
                pdu.contexts[-1].transfer.append(raw)
        case "userinfo.rolesel.sopclassuid":
            pdu.roles.append((raw, 0, 0))
        case "userinfo.rolesel.scurole":
            pdu.roles[-1] = (pdu.roles[-1][0], raw[0], 0)
        case "userinfo.rolesel.scprole":
            pdu.roles[-1] = (*pdu.roles[-1][:2], raw[0])


NAMES = Tolerance(uid_leading_zeros=True, uid_invalid_root=True)
"""tshark does not validate UIDs, and the captures hold some that are not valid."""

# -- what we say ---------------------------------------------------------------------------------------------------


def ours(stream: bytes) -> list[Seen | Malformed]:
    """The result of `decode` and `decode_command` for each PDU, or their error."""
    command = bytearray()
    return [_ours(whole, command) for whole in split(stream)]


def _ours(whole: bytes, command: bytearray) -> Seen | Malformed:
    """`command`: the part of a command set received so far."""
    seen = Seen(whole[0], int.from_bytes(whole[2:6], "big"))
    try:
        pdu = decode(whole, tolerance=NAMES)
        match pdu:
            case AssociateRequest() | AssociateAccept():
                _associate(pdu, seen)
            case AssociateReject():
                seen.numbers = {"result": pdu.result, "source": pdu.source, "reason": pdu.reason}
            case Abort():
                seen.numbers = {"source": pdu.source, "reason": pdu.reason}
            case PData():
                for pdv in pdu.pdvs:
                    seen.pdvs.append((len(pdv.data) + 2, pdv.context, pdv.command + 2 * pdv.last))
                    if pdv.command:
                        command += pdv.data
                    if pdv.command and pdv.last:
                        raw = bytes(command)
                        command.clear()
                        _command(raw, seen)
            case _:
                pass
    except Malformed as fault:
        return fault
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
                seen.contexts.append(Context(context.id, None, [context.abstract_syntax.encode()], transfer))
            case ContextAnswer():
                transfer = [] if context.transfer_syntax is None else [context.transfer_syntax.encode()]
                seen.contexts.append(Context(context.id, context.result, [], transfer))
    seen.roles = [(role.sop_class_uid.encode(), role.scu, role.scp) for role in user.roles]


def _command(raw: bytes, seen: Seen) -> None:
    message, _ = decode_command(raw, Judge(Limits(), NAMES))
    seen.commands.append(message.NAME)
    while raw:
        size = 8 + int.from_bytes(raw[4:8], "little")
        seen.elements.append(raw[:size])
        raw = raw[size:]


# -- conversations of our own --------------------------------------------------------------------------------------


class Talk:
    """Two associations whose bytes are recorded in order."""

    def __init__(self, asked: AssociateRequest) -> None:
        self.user = Association.requestor(asked, limits=Limits(peer_max_length=8))
        self.provider = Association.acceptor()
        self.said: list[Said] = []
        self.requests: list[MessageStart] = []

    def carry(self) -> None:
        for is_user, source, target in ((True, self.user, self.provider), (False, self.provider, self.user)):
            whole = b"".join(source.data_to_send())
            if whole:
                self.said.append((is_user, whole))
                target.receive_data(whole)
            if source.wants_close:
                target.receive_eof()
            while (event := target.next_event()) is not None and not target.wants_close:
                if isinstance(event, MessageStart) and not is_user:
                    continue
                if isinstance(event, MessageStart):
                    self.requests.append(event)

    def user_sends(self, *events: Sendable) -> None:
        for event in events:
            self.user.send(event)
        self.carry()

    def provider_sends(self, *events: Sendable) -> None:
        for event in events:
            self.provider.send(event)
        self.carry()
        self.carry()


ECHO = CEchoRequest(message_id=1, affected_sop_class_uid=VERIFICATION)
PIXELS = b"\xe0\x7f\x10\0" + (5000).to_bytes(4, "little") + bytes(range(250)) * 20
"""A data set of one element: other bytes would confuse tshark, also later."""
RELEASED = encode(ReleaseRequest())
STORE = CStoreRequest(message_id=2, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def store_and_release() -> list[Said]:
    """An echo, a store in many PDUs to a small Maximum Length, a cancel, the end."""
    window = OperationsWindow(invoked=3, performed=2)
    asked = request(window=window, both_roles=True)
    identity = UserIdentity(type=2, primary=b"somebody", secondary=b"a word", response_requested=True)
    asked = replace(asked, user_information=replace(asked.user_information, user_identity=identity))
    answer = replace(policy(window=window, both_roles=True, max_length=50), refused=frozenset({MR}))
    talk = Talk(asked)
    talk.carry()
    talk.provider_sends(negotiate(asked, answer))
    talk.user_sends(start(1, ECHO))
    talk.user_sends(start(3, STORE, has_data=True), data(3, PIXELS[:4000], last=False), data(3, PIXELS[4000:]))
    echo, store = talk.requests
    talk.user_sends(start(3, CCancelRequest(message_id_being_responded_to=2)))
    talk.provider_sends(exchange.response_to(store, 0xFE00), exchange.response_to(echo, 0))
    talk.user_sends(ReleaseRequest())
    talk.provider_sends(ReleaseResponse())
    return talk.said


def rejected() -> list[Said]:
    talk = Talk(REQUEST)
    talk.carry()
    talk.provider_sends(AssociateReject(result=2, source=3, reason=2))
    return talk.said


def aborted() -> list[Said]:
    talk = Talk(REQUEST)
    talk.carry()
    talk.provider_sends(negotiate(REQUEST, POLICY))
    talk.user_sends(start(3, STORE, has_data=True), data(3, b"abcd", last=False))
    talk.user_sends(Abort())
    return talk.said


def provider_at_fault() -> list[Said]:
    """The user receives nonsense, and its provider aborts with a reason."""
    talk = Talk(REQUEST)
    talk.carry()
    talk.provider_sends(negotiate(REQUEST, POLICY))
    talk.user.receive_data(encode(AssociateReject()))
    talk.carry()
    return talk.said


def opened() -> list[Said]:
    return [(True, encode(REQUEST)), (False, encode(negotiate(REQUEST, POLICY)))]


RAW = encode_command(STORE, has_data=True)
THIRDS = ((3, True, False, RAW[:10]), (3, True, False, RAW[10:12]), (3, True, True, RAW[12:]))
FIRST_DATA, LAST_DATA = (3, False, False, b"\x08\0"), (3, False, True, b"\x05\0\0\0\0\0")


def by_hand() -> list[Said]:
    """A command set in three PDUs, its data set as two PDVs of one; then a message that is one PDU."""
    parts = [*map(p_data, THIRDS), p_data(FIRST_DATA, LAST_DATA)]
    parts.append(p_data((3, True, True, RAW), FIRST_DATA, LAST_DATA))
    return [*opened(), *((True, each) for each in parts)]


OURS = {
    "store and release": store_and_release,
    "rejected": rejected,
    "aborted": aborted,
    "provider at fault": provider_at_fault,
    "by hand": by_hand,
}


def turns(user: bytes, provider: bytes) -> list[Said]:
    """Two recorded directions: the request, its answer, the rest of either."""
    first, *rest = split(user)
    answer, *others = split(provider) or [b""]
    return [(True, first), (False, answer), (True, b"".join(rest)), (False, b"".join(others))]


def recorded() -> dict[str, list[Said]]:
    names = [name.removesuffix(".c2s") for name in vector_names() if name.endswith(".c2s")]
    found = {name: turns(vector(f"{name}.c2s"), vector(f"{name}.s2c")) for name in names}
    found["pynetdicom"] = turns(
        # without pynetdicom_p_data_tf: its PDVs are made up and do not hold a command set
        vector("pynetdicom_associate_rq") + vector("pynetdicom_release_rq"),
        vector("pynetdicom_associate_ac") + vector("pynetdicom_release_rp"),
    )
    found["pynetdicom, ended"] = turns(
        vector("pynetdicom_associate_rq") + vector("pynetdicom_abort_user"), vector("pynetdicom_associate_rj")
    )
    return found


CAPTURED = sorted(path.name.removesuffix(".c2s.bin") for path in CAPTURES.glob("*.c2s.bin"))


def captured() -> dict[str, list[Said]]:
    return {
        f"pydicos {name}": turns(
            (CAPTURES / f"{name}.c2s.bin").read_bytes(), (CAPTURES / f"{name}.s2c.bin").read_bytes()
        )
        for name in CAPTURED
    }


# -- the comparison ------------------------------------------------------------------------------------------------

ITEM_LENGTH = "its presentation context says it is 4 bytes longer than it is; tshark does not compare the two"
IDENTITY = "its user identity lacks the length of the secondary field; tshark takes what there is for the whole"
CONTROL = "its data set is flagged as if it were a command set; tshark reads on until the elements make no sense"
REFUSED_BY_US: dict[tuple[str, bool, int], tuple[str, str]] = {
    **{
        (f"pydicos {name}", False, 0): (
            r"presentation context item of \d+ bytes counts the 4 of its own header",
            ITEM_LENGTH,
        )
        for name in ("ct_default", "ct_nocomp", "echo", "names_ok", "odd0", "pynetdicom_vs_pydicos_server")
    },
    ("pydicos user_ok", True, 0): ("user identity: 2 bytes wanted", IDENTITY),
    ("pydicos ct_default", True, 1): ("command group length", CONTROL),
    ("pydicos ct_nocomp", True, 1): ("command group length", CONTROL),
    ("pydicos odd0", False, 1): (
        "PDU length 4 before 2 bytes",
        "an A-ABORT two bytes short, the last thing said: tshark still waits for them",
    ),
}
"""Conversation, True if sent by the requestor, number of the PDU -> our error, and why tshark shows the PDU or not."""
NOT_READ_BY_TSHARK = {("pydicos ct_default", False, 1), ("pydicos ct_nocomp", False, 1)}
"""The same key -> a C-STORE-RSP that tshark takes for the rest of an element, because it read too far before."""


def compare(name: str, by_client: bool, said: list[Said], theirs: list[Seen]) -> None:
    stream = b"".join(each for who, each in said if who == by_client)
    headers = [(whole[0], int.from_bytes(whole[2:6], "big")) for whole in split(stream)]
    assert headers[: len(theirs)] == [(each.type, each.length) for each in theirs]
    for number, mine in enumerate(ours(stream)):
        explained = REFUSED_BY_US.get((name, by_client, number))
        if isinstance(mine, Malformed):
            assert explained is not None, f"PDU {number} is refused: {mine}"
            assert re.match(explained[0], str(mine)), mine
        else:
            assert explained is None, f"PDU {number} is not refused"
            if (name, by_client, number) in NOT_READ_BY_TSHARK:
                assert theirs[number].commands == []
                mine = replace(mine, commands=[], elements=theirs[number].elements)
            assert mine == theirs[number], f"PDU {number}"


Conversations = dict[str, tuple[list[Said], dict[bool, list[Seen]]]]


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Conversations:
    every = {**{name: make() for name, make in OURS.items()}, **recorded(), **captured()}
    found = tshark(every.values(), tmp_path_factory.mktemp("tshark"))
    return {name: (said, found[number]) for number, (name, said) in enumerate(every.items())}


@pytest.mark.parametrize("by_client", [True, False], ids=["requestor", "acceptor"])
@pytest.mark.parametrize("name", [*OURS, *recorded(), *captured()])
def test_the_same_is_seen(name: str, by_client: bool, conversations: Conversations) -> None:
    said, theirs = conversations[name]
    compare(name, by_client, said, theirs[by_client])


@pytest.mark.skipif(not CAPTURED, reason=f"no captures of pyDICOS at {CAPTURES}")
def test_every_explained_refusal_is_of_a_capture_that_is_there() -> None:
    assert {name for name, _, _ in REFUSED_BY_US} <= {f"pydicos {name}" for name in CAPTURED}


def test_a_pdv_of_odd_length_is_odd_to_tshark(tmp_path: Path) -> None:
    """tshark requires even PDVs, as [PS3.8 E.1] does, and stops reading at an odd one; we leave it to the sender."""
    said = [*opened(), (True, p_data((3, True, True, RAW)) + p_data((3, False, True, b"abc")) + RELEASED)]
    theirs = tshark([said], tmp_path)[0][True]
    mine = [each for each in ours(b"".join(each for who, each in said if who)) if isinstance(each, Seen)]
    assert (mine[2].pdvs, theirs[2].pdvs) == ([(5, 3, 2)], [(5, 0, 0)])
    assert (mine[:2], mine[3:]) == (theirs[:2], theirs[3:])


@pytest.mark.skipif(not VERSION.startswith("4.0."), reason=f"tshark {VERSION or 'none'}; looked at in 4.0")
def test_tshark_stops_after_a_command_set_it_had_to_put_together(tmp_path: Path) -> None:
    """In Wireshark 4.0, where the PDU that ends a command set of several PDVs goes on, the rest of that segment is not
    shown; PS3.8 9.3.5 lets a PDU hold any number of PDVs. The segment after it is."""
    said = [*opened(), (True, p_data(*THIRDS, FIRST_DATA)), (True, p_data(LAST_DATA))]
    theirs = tshark([said], tmp_path)[0][True]
    mine = [each for each in ours(b"".join(each for who, each in said if who)) if isinstance(each, Seen)]
    assert mine[1].pdvs == [*theirs[1].pdvs, (4, 3, 0)]
    assert (mine[0], mine[2], mine[1].elements) == (theirs[0], theirs[2], theirs[1].elements)


associations = st.lists(st.tuples(associate_requests, associate_accepts), min_size=5, max_size=20)


@settings(max_examples=8, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(associations)
def test_negotiations_at_random(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[AssociateRequest, AssociateAccept]]
) -> None:
    said = [[(True, encode(asked)), (False, encode(answer))] for asked, answer in pairs]
    found = tshark(said, tmp_path_factory.mktemp("tshark"))
    for number, each in enumerate(said):
        for by_client in (True, False):
            compare("", by_client, each, found[number][by_client])
