"""Release of an association by a user [PS3.8 7.2, 9.2]."""

from __future__ import annotations

from ...case import Lenient, Role
from ...catalogue import Group
from ...profile import Profile
from ...reactions import ABORT, CLOSE, RELEASE, Reaction
from ...scenes import called, serve
from ...steps import Scene

__all__ = ["cases"]

cases = Group("release", role=Role.USER)


@cases(
    "UREL-NORMAL",
    title="The user releases when it is done",
    clauses=("8:7.2.1",),
    rule="A user that needs an association no longer asks for its release.",
    stimulus="Every request of the user is answered by success.",
    strict=RELEASE,
    lenient=(Lenient(ABORT | CLOSE, "an association may be aborted at any time, but answers in transit may be lost"),),
)
def normal(profile: Profile) -> Scene[Reaction]:
    link = yield from called(profile)
    return (yield from serve(link))
