"""Release of an association, asked for by the tester [PS3.8 7.2, 9.2, 9.3.6, 9.3.7]."""

from __future__ import annotations

from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import ReleaseRequest

from ...case import Lenient, Role
from ...catalogue import Group
from ...profile import Profile
from ...reactions import ABORT, CLOSE, RELEASE, RESET, Reaction
from ...scenes import associate, react, released
from ...steps import Scene, Send

__all__ = ["cases"]

cases = Group("release", role=Role.PROVIDER)


@cases(
    "REL-IDLE",
    title="An idle association is released",
    clauses=("8:7.2.1", "8:9.3.7"),
    rule="An A-RELEASE-RQ on an association with nothing outstanding is answered by an A-RELEASE-RP.",
    stimulus="An association, and an A-RELEASE-RQ at once.",
    strict=RELEASE,
    failure="the peer does not confirm the release",
)
def idle(profile: Profile) -> Scene[Reaction]:
    link = yield from associate(profile)
    return (yield from released(link))


@cases(
    "REL-RESERVED",
    title="The reserved bytes of an A-RELEASE-RQ are not tested",
    clauses=("8:9.3.6",),
    rule="Reserved fields of a received PDU are not tested.",
    stimulus="An A-RELEASE-RQ whose reserved bytes, that of the header and the four of the body, are FFH.",
    strict=RELEASE,
    lenient=(Lenient(ABORT | CLOSE | RESET, "no peer in the field fills them; but the letter forbids to look"),),
)
def reserved(profile: Profile) -> Scene[Reaction]:
    link = yield from associate(profile)
    whole = bytearray(encode(ReleaseRequest()))
    whole[1] = 0xFF
    whole[6:] = b"\xff" * 4
    yield Send(bytes(whole))
    return (yield from react(link))
