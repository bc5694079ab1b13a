"""The pieces that scenarios are made of: a good association with one peer, its messages, ends of conversations.

Knows: valid PDUs and messages for what the peer accepts. Must not know: what is wrong in a scenario.

Invariants: everything is deterministic. Conversations are short: what is awaited ends with the first reaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import (
    CCancelRequest,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    Command,
    CStoreRequest,
)
from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import Service, service_of
from dicos_proto.upper_layer.pdu_types import UserInformation

from ...conversation import Await, Conversation, End, Open, Send, Side, Step
from ...grammar.building import Offer, message, p_data, request
from ..knowledge import Accepted, Learned
from ..objects import composite, query, uid

__all__ = [
    "ABORT",
    "ACCEPTANCE",
    "ANSWER",
    "ANY",
    "CLOSE",
    "CONFIRMED",
    "ENDED",
    "FIN",
    "PROVIDER_ABORT",
    "RELEASE",
    "RELEASED",
    "RELEASE_RP",
    "RESET",
    "Talk",
    "pdu",
    "reject",
    "script",
]

ACCEPTANCE: Final = Await(kinds=(2, 3, 7))
ANY: Final = Await()
ANSWER: Final = Await(kinds=(4, 7))
CONFIRMED: Final = Await(kinds=(6, 7))
ENDED: Final = Await(kinds=(99,))
"""The end of the connection: no PDU has this type."""
CLOSE, FIN, RESET = End(), End(how="half"), End(how="reset")
GENERAL_FIND: Final = (Service.FIND, Service.WORKLIST)


def pdu(kind: int, body: bytes = b"", *, length: int | None = None, reserved: int = 0) -> bytes:
    """Returns a PDU of any type. `length`: a wrong one."""
    return bytes((kind, reserved)) + (len(body) if length is None else length).to_bytes(4, "big") + body


RELEASE: Final = pdu(5, bytes(4))
RELEASE_RP: Final = pdu(6, bytes(4))
ABORT: Final = pdu(7, bytes(4))
PROVIDER_ABORT: Final = pdu(7, bytes((0, 0, 2, 2)))
RELEASED: Final = (Send(message=RELEASE), CONFIRMED)


def reject(result: int = 1, source: int = 1, reason: int = 1) -> bytes:
    """Returns an A-ASSOCIATE-RJ."""
    return pdu(3, bytes((0, result, source, reason)))


def script(
    name: str, about: str, clause: str, expect: str, *steps: Step | tuple[Step, ...], side: Side = Side.USER
) -> Conversation:
    """Returns the conversation of these steps, and of tuples of steps, in order."""
    flat: list[Step] = []
    for one in steps:
        if isinstance(one, tuple):
            flat += one
        else:
            flat.append(one)
    return Conversation(name=name, about=about, clause=clause, expect=expect, steps=tuple(flat), side=side)


@dataclass(frozen=True)
class Talk:
    """A good association with the peer: one context of each kind that it accepts, and messages for them."""

    learned: Learned
    offer: Offer

    @classmethod
    def of(cls, learned: Learned) -> Talk:
        """Returns the same one for the same knowledge."""
        return _talk(learned)

    def with_user(self, **values: object) -> Talk:
        """Returns one that says something else in its user information, for example `max_length`."""
        return replace(self, offer=replace(self.offer, user_information=UserInformation(**values)))  # type: ignore[arg-type]

    @cached_property
    def rq(self) -> bytes:
        """The A-ASSOCIATE-RQ."""
        return request(self.offer)

    def begin(self, connection: int = 0, *, rq: bytes | None = None) -> tuple[Step, ...]:
        """Opens a connection, and an association on it."""
        return (
            Open(connection=connection),
            Send(message=self.rq if rq is None else rq, connection=connection),
            replace(ACCEPTANCE, connection=connection),
        )

    # -- contexts ------------------------------------------------------------------------------------------------

    def of_service(self, *services: Service) -> tuple[int, Accepted] | None:
        """Returns id and context of the first that belongs to one of these services."""
        for index, (abstract, _) in enumerate(self.offer.contexts):
            found = self.learned.context(abstract)
            if found is not None and service_of(abstract) in services:
                return 2 * index + 1, found
        return None

    @cached_property
    def storage(self) -> tuple[int, Accepted] | None:
        """The context for objects, None if the peer accepts none."""
        return self.of_service(Service.STORAGE)

    @cached_property
    def finding(self) -> tuple[int, Accepted] | None:
        """The context for queries."""
        return self.of_service(*GENERAL_FIND)

    @cached_property
    def getting(self) -> tuple[int, Accepted] | None:
        """The context for C-GET."""
        return self.of_service(Service.GET)

    @cached_property
    def moving(self) -> tuple[int, Accepted] | None:
        """The context for C-MOVE."""
        return self.of_service(Service.MOVE)

    @property
    def echoes(self) -> bool:
        """True if the peer accepts Verification."""
        return self.of_service(Service.VERIFICATION) is not None

    # -- messages, each as its P-DATA-TFs -----------------------------------------------------------------------

    def ask(self, message_id: int = 1) -> bytes:
        """Returns the smallest request that the peer serves: a C-ECHO, or a query that finds nothing, or an object."""
        if self.echoes or not (self.finding or self.storage):
            return b"".join(message(self.ask_context, self.ask_command(message_id)))
        if self.finding is not None:
            return self.find(message_id)
        return self.store(message_id, "asked")

    @cached_property
    def ask_context(self) -> int:
        """The id of the context of `ask`."""
        found = self.of_service(Service.VERIFICATION) or self.finding or self.storage
        return found[0] if found is not None else 1

    def ask_command(self, message_id: int = 1) -> CEchoRequest:
        """The command of a C-ECHO-RQ."""
        return CEchoRequest(message_id=message_id, affected_sop_class_uid=uids.VERIFICATION)

    def command(self, message_id: int = 1) -> bytes:
        """The command set of a C-ECHO-RQ as bytes."""
        return encode_command(self.ask_command(message_id), has_data=False)

    def parts(self, message_id: int, *seed: object, pixels: int = 0) -> tuple[int, bytes, bytes]:
        """Returns context, command set and data set of a C-STORE of an object of its own. Raises LookupError."""
        number, accepted = self._needed(self.storage)
        instance = uid("object", *seed)
        command = CStoreRequest(
            message_id=message_id,
            affected_sop_class_uid=accepted.abstract_syntax,
            affected_sop_instance_uid=instance,
        )
        data = composite(accepted.abstract_syntax, instance, accepted.transfer_syntax, pixels=pixels)
        return number, encode_command(command, has_data=True), data

    def store(self, message_id: int, *seed: object, pixels: int = 0) -> bytes:
        """Returns a C-STORE-RQ of an object of its own, made of `seed`. Raises LookupError."""
        number, accepted = self._needed(self.storage)
        instance = uid("object", *seed)
        command = CStoreRequest(
            message_id=message_id,
            affected_sop_class_uid=accepted.abstract_syntax,
            affected_sop_instance_uid=instance,
        )
        data = composite(accepted.abstract_syntax, instance, accepted.transfer_syntax, pixels=pixels)
        return self.said(number, command, data)

    def find(self, message_id: int, level: str = "STUDY") -> bytes:
        """Returns a C-FIND-RQ that finds nothing. Raises LookupError."""
        number, accepted = self._needed(self.finding)
        command = CFindRequest(message_id=message_id, affected_sop_class_uid=accepted.abstract_syntax)
        return self.said(number, command, query(accepted.transfer_syntax, level))

    def get(self, message_id: int, **keys: str) -> bytes:
        """Returns a C-GET-RQ of a study that nobody has, or with other `keys`. Raises LookupError."""
        number, accepted = self._needed(self.getting)
        command = CGetRequest(message_id=message_id, affected_sop_class_uid=accepted.abstract_syntax)
        return self.said(number, command, query(accepted.transfer_syntax, **keys))

    def move(self, message_id: int, destination: str = "NOWHERE") -> bytes:
        """Returns a C-MOVE-RQ of a study that nobody has. Raises LookupError."""
        number, accepted = self._needed(self.moving)
        command = CMoveRequest(
            message_id=message_id, affected_sop_class_uid=accepted.abstract_syntax, move_destination=destination
        )
        return self.said(number, command, query(accepted.transfer_syntax))

    def cancel(self, message_id: int, context: int | None = None) -> bytes:
        """Returns a C-CANCEL-RQ for an operation."""
        number = context if context is not None else (self.finding or (self.ask_context,))[0]
        return b"".join(message(number, CCancelRequest(message_id_being_responded_to=message_id)))

    def said(self, context: int, command: Command, data: bytes | None = None) -> bytes:
        """Returns a message, in P-DATA-TFs as long as the peer receives."""
        most = min(self.learned.max_length or 1 << 20, 1 << 20)
        return b"".join(message(context, command, data, max_length=max(most, 64)))

    def in_one(self, context: int, command: bytes, data: bytes | None = None) -> bytes:
        """Returns a message, its command set and its data set as bytes, in one P-DATA-TF."""
        if data is None:
            return p_data((context, True, True, command))
        return p_data((context, True, True, command), (context, False, True, data))

    @staticmethod
    def _needed(found: tuple[int, Accepted] | None) -> tuple[int, Accepted]:
        if found is None:
            raise LookupError("the peer accepts no such context")
        return found


@lru_cache(maxsize=8)
def _talk(learned: Learned) -> Talk:
    chosen: dict[Service | None, Accepted] = {}
    for one in learned.accepted:
        chosen.setdefault(service_of(one.abstract_syntax), one)
    kinds = (
        Service.VERIFICATION, Service.STORAGE, Service.FIND, Service.WORKLIST, Service.GET, Service.MOVE,
    )  # fmt: skip
    known = [chosen[kind] for kind in kinds if kind in chosen] or [*learned.accepted[:4]]
    contexts = tuple((one.abstract_syntax, (one.transfer_syntax,)) for one in known)
    return Talk(learned, Offer(called=learned.called, calling=learned.calling, contexts=contexts))
