"""Values that the tests of the fuzzer share: a valid example of each PDU, and Hypothesis strategies for damaged bytes,
trees, edits, conversations and transcripts."""

from __future__ import annotations

from hypothesis import strategies as st

from dicos_fuzz.conversation import (
    Answer,
    Await,
    Check,
    Conversation,
    End,
    Entry,
    Open,
    Pause,
    Reading,
    Send,
    Side,
    Step,
    Transcript,
    What,
)
from dicos_fuzz.grammar import Offer, echo, message, request
from dicos_fuzz.tree import Action, Edit, Kind, Leaf, Length, Node, Part
from dicos_proto.dimse.types import CStoreRequest
from dicos_proto.registry import uids
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from tests import strategies

DATA_SET = bytes.fromhex(
    "08001600554902003100"  # (0008,0016) UI "1"
    "080018005549040031003200"  # (0008,0018) UI, with a NUL inside
    "08001511535100001c000000"  # (0008,1115) SQ, of one item with two UIDs
    "feff00e01400000008005011554902003100" + "08005511554902003200"
    "10001000504e040041204220"  # (0010,0010) PN
)
STORE = CStoreRequest(
    message_id=7, affected_sop_class_uid=uids.CT_IMAGE_STORAGE, affected_sop_instance_uid="1.2.3"
)  # fmt: skip
USER_INFORMATION = UserInformation(
    max_length=16_384,
    implementation_version_name="SOMETHING",
    window=OperationsWindow(invoked=4, performed=1),
    roles=(RoleSelection(sop_class_uid=uids.CT_IMAGE_STORAGE, scu=True, scp=True),),
    extended=(ExtendedNegotiation(sop_class_uid=uids.CT_IMAGE_STORAGE, information=b"\x02\x00"),),
    common_extended=(
        CommonExtendedNegotiation(sop_class_uid=uids.CT_IMAGE_STORAGE, service_class_uid="1.2.840.10008.4.2"),
    ),
    user_identity=UserIdentity(type=2, response_requested=True, primary=b"user", secondary=b"pass"),
)
CONTEXTS = ((uids.VERIFICATION, (uids.IMPLICIT_VR_LE,)), (uids.CT_IMAGE_STORAGE, (uids.EXPLICIT_VR_LE,) * 2))
REQUEST = request(Offer(contexts=CONTEXTS, user_information=USER_INFORMATION))
PDUS = {
    "A-ASSOCIATE-RQ": REQUEST,
    "A-ASSOCIATE-AC": bytes([2]) + REQUEST[1:],
    "A-ASSOCIATE-RJ": bytes.fromhex("03000000000400010107"),
    "C-ECHO-RQ": echo(),
    "C-STORE-RQ": b"".join(message(3, STORE, DATA_SET)),
    "A-RELEASE-RQ": bytes.fromhex("05000000000400000000"),
    "A-RELEASE-RP": bytes.fromhex("06000000000400000000"),
    "A-ABORT": bytes.fromhex("07000000000400000206"),
    "unknown": bytes.fromhex("4a000000000401020304"),
}
"""A valid example of each kind of PDU, and one of no kind."""

whole_streams = st.one_of(
    st.lists(st.sampled_from(sorted(PDUS.values())), max_size=3).map(b"".join),
    st.lists(strategies.pdus.map(encode), max_size=3).map(b"".join),
)
streams = st.one_of(
    st.binary(max_size=64),
    whole_streams,
    strategies.damaged(st.sampled_from(sorted(PDUS.values()))),
)  # fmt: skip
"""Bytes on a connection: valid PDUs, PDUs with damage, any bytes."""

names = st.one_of(st.sampled_from(["a", "a#2", "a/b", "%", "#", "/", ""]), st.text("ab#/%", max_size=4))
leaves = st.builds(Leaf, names, st.binary(max_size=8), st.sampled_from(Kind))
length_fields = st.builds(
    Length, names, st.integers(1, 4), st.none() | st.integers(0, 300), st.booleans(), st.booleans()
)  # fmt: skip
trees: st.SearchStrategy[Node] = st.recursive(
    leaves | length_fields,
    lambda inside: st.builds(Part, names, st.lists(inside, max_size=4).map(tuple)),
    max_leaves=12,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
seconds = st.floats(0, 86_400)
connections = st.integers(0, 65_535)
numbers = st.integers(0, 0xFFFFFFFF)
edits = st.one_of(
    st.builds(Edit, texts, st.sampled_from([Action.SET, Action.INSERT]), st.binary(max_size=8)),
    st.builds(Edit, texts, st.sampled_from([Action.LENGTH, Action.CUT]), numbers),
    st.builds(Edit, texts, st.sampled_from([Action.DELETE, Action.REPEAT, Action.SWAP])),
)
edit_tuples = st.lists(edits, max_size=3).map(tuple)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Open, connection=connections),
    st.builds(
        Send, message=st.binary(max_size=40), edits=edit_tuples, connection=connections, piece=numbers, gap=seconds
    ),
    st.builds(Answer, edits=edit_tuples, connection=connections),
    st.builds(
        Await,
        kinds=st.lists(st.integers(0, 255), max_size=3).map(tuple),
        connection=connections,
        seconds=st.none() | seconds,
    ),
    st.builds(Pause, seconds=seconds),
    st.builds(Reading, on=st.booleans(), connection=connections),
    st.builds(End, how=st.sampled_from(["half", "close", "reset"]), connection=connections),
    st.builds(Check),
)
conversations = st.builds(
    Conversation,
    name=texts,
    steps=st.lists(steps, max_size=5).map(tuple),
    side=st.sampled_from(Side),
    about=texts,
    clause=texts,
    expect=texts,
)
entries = st.builds(
    Entry,
    st.integers(0, 86_400_000_000).map(lambda microseconds: microseconds / 1e6),
    st.just(-1) | connections,
    st.sampled_from(What),
    st.binary(max_size=16),
    texts,
)
transcripts = st.lists(entries, max_size=5).map(Transcript)
