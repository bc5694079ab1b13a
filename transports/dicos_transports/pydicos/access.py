"""The clients that may open a session with a `DcsServer`: application names, user names, passcodes.

The original's three policies are `AllowAllCients`, `RequireUserNameFromClient` and
`RequireUserNameAndPasscodeFromClient`. Names are checked by a list, or by those methods of an object that
the original's callback for authentication has.

Knows: what a request says of its user. Must not know: networks. A passcode appears in no text.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from dicos_proto.upper_layer.pdu_types import AssociateRequest, UserIdentity, UserIdentityType
from dicos_proto.upper_layer.policy import IdentityVerdict

from .calls import described, is_later

__all__ = ["Access", "Demand"]

_NAME: Final = UserIdentityType.USERNAME
_NAME_AND_PASSCODE: Final = UserIdentityType.USERNAME_AND_PASSCODE


class Demand(Enum):
    """The details of its user that a client has to present."""

    NOTHING = "nothing"
    NAME = "a user name"
    NAME_AND_PASSCODE = "a user name and a passcode"


class Access:
    """The policy of one server. `ask`: the method of the user's object with that name, None if it has none; what it
    raises is a refusal. `note`: gets a line about that."""

    def __init__(self, ask: Callable[[str], Callable[..., Any] | None], note: Callable[[str], None]) -> None:
        self._ask = ask
        self._note = note
        self.demand = Demand.NOTHING
        self.application_names = False
        self.applications: frozenset[str] = frozenset()
        self.users: dict[str, str | None] = {}

    def require(self, demand: Demand, users: Mapping[str, str | None]) -> None:
        """Wants this of each client from now on. `users`: the names that are known, with their passcodes; empty asks
        the object, or accepts any name if it has no method for that."""
        self.demand, self.users = demand, dict(users)

    def knows_application(self, name: str) -> bool:
        """Returns True if a client with this application name may connect."""
        if not self.application_names:
            return True
        asked = self._ask("OnAuthenticateClientApplicationName")
        if asked is not None:
            return self._says(asked, name)
        return not self.applications or name in self.applications

    def knows_user(self, name: str) -> bool:
        """Returns True if a client with this user name may connect without a passcode."""
        if self.demand is Demand.NAME_AND_PASSCODE:
            return False
        asked = self._ask("OnAuthenticateUserName") or self._ask("OnIsUserNameValid")
        if asked is not None and not self.users:
            return self._says(asked, name)
        return bool(name) and (not self.users or self.users.get(name, "") is None)

    def knows_passcode(self, name: str, passcode: str) -> bool:
        """Returns True if a client with this user name and passcode may connect."""
        asked = self._ask("OnAuthenticateUserNameAndPasscode")
        if asked is not None and not self.users:
            return self._says(asked, name, passcode)
        known = self.users.get(name)
        same = hmac.compare_digest((known or "").encode(), passcode.encode())
        return known is not None and same

    def _says(self, asked: Callable[..., Any], *arguments: str) -> bool:
        try:
            return _says_yes(asked(*arguments))
        except Exception as error:  # the method's own
            self._note(described(getattr(asked, "__name__", "a method for users"), error))
            return False

    def verdict(self, request: AssociateRequest) -> IdentityVerdict:
        """Decides about the user of a request: the `identify` of a server."""
        identity = request.user_information.user_identity
        if not self.knows_application(request.calling_aet.strip()):
            return IdentityVerdict(accepted=False)
        if self.demand is Demand.NOTHING:
            return IdentityVerdict(accepted=True)
        if identity is None:
            return IdentityVerdict(accepted=False)
        return IdentityVerdict(accepted=self._user(identity))

    def _user(self, identity: UserIdentity) -> bool:
        name = identity.primary.decode("utf-8", "replace")
        if identity.type == _NAME:
            return self.knows_user(name)
        if identity.type == _NAME_AND_PASSCODE:
            if self.demand is Demand.NAME:
                return self.knows_user(name)
            return self.knows_passcode(name, identity.secondary.decode("utf-8", "replace"))
        return False


def _says_yes(answer: object) -> bool:
    """A coroutine, which is true as a value, has not decided anything yet."""
    return not is_later(answer) and bool(answer)
