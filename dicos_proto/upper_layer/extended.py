"""SOP class extended negotiation with names: what the application information of a service class says, byte by byte.

Knows: the tables of PS3.4 below. Must not know: which SOP class is proposed, what else is answered (`negotiation`).

| byte | storage, table B.3-1           | C-FIND, table C.5-1 (worklist: K.5-1) | C-MOVE, C-GET, tables C.5-3, C.5-5 |
|------|--------------------------------|---------------------------------------|------------------------------------|
| 1    | level of support, 0 to 3       | relational queries (K: reserved)      | relational retrieval               |
| 2    | reserved                       | date-time matching (K: reserved)      | enhanced multi-frame conversion    |
| 3    | digital signatures, 0 to 3     | fuzzy matching of person names        |                                    |
| 4    | reserved                       | timezone query adjustment             |                                    |
| 5    | element coercion, 0 to 2       | enhanced multi-frame conversion       |                                    |
| 6    | reserved                       | empty value matching                  |                                    |
| 7    |                                | multiple value matching               |                                    |

A byte that is absent says the least: not supported, not specified. Bytes beyond the table are left to later editions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Self, TypeVar, assert_never

from ..errors import Malformed
from ..registry import uids
from .pdu_types import ExtendedNegotiation


class StorageLevel(IntEnum):
    """The part of an object that a storage SCP keeps [PS3.4 B.3.1, B.4.1]."""

    LEVEL_0 = 0
    LEVEL_1 = 1
    LEVEL_2 = 2
    SCU_ONLY = 3


class SignatureLevel(IntEnum):
    """The treatment of digital signatures by a level 2 storage SCP [PS3.4 B.3.1, B.4.1]."""

    UNSPECIFIED = 0
    LEVEL_1 = 1
    LEVEL_2 = 2
    LEVEL_3 = 3


class Coercion(IntEnum):
    """How far a storage SCP may change data elements [PS3.4 B.3.1, B.4.1]."""

    NONE = 0
    POSSIBLE = 1
    SCU_ONLY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageExtension:
    """One side as a storage SCP: each side describes itself, and nothing is granted [PS3.4 B.3.1].

    The defaults are those of a side that only sends.
    """

    level: StorageLevel = StorageLevel.SCU_ONLY
    signatures: SignatureLevel = SignatureLevel.UNSPECIFIED
    coercion: Coercion = Coercion.SCU_ONLY

    def encode(self) -> bytes:
        """Six bytes, the reserved ones 0 [PS3.4 tables B.3-1, B.3-2]."""
        return bytes((self.level, 0, self.signatures, 0, self.coercion, 0))

    @classmethod
    def decode(cls, information: bytes) -> Self:
        """Raises `Malformed` for no bytes at all, and for a value that the table does not have."""
        _check_size(information, "PS3.4 B.3.1")
        return cls(
            level=_code(StorageLevel, information[0], "level of support"),
            signatures=_code(SignatureLevel, information[2] if len(information) > 2 else 0, "digital signature level"),
            coercion=_code(Coercion, information[4] if len(information) > 4 else 2, "element coercion"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryExtension:
    """Options of C-FIND, asked for or granted [PS3.4 C.5.1.1; of worklist queries the third and fourth, K.5]."""

    relational_queries: bool = False
    date_time_matching: bool = False
    fuzzy_names: bool = False
    timezone_adjustment: bool = False
    enhanced_conversion: bool = False
    empty_value_matching: bool = False
    multiple_value_matching: bool = False

    def encode(self, least: int = 1) -> bytes:
        """One to seven bytes: zeros at the end are left out where there are more than `least`, for they say nothing."""
        flags = (
            self.relational_queries,
            self.date_time_matching,
            self.fuzzy_names,
            self.timezone_adjustment,
            self.enhanced_conversion,
            self.empty_value_matching,
            self.multiple_value_matching,
        )
        return bytes(flags).rstrip(b"\0").ljust(least, b"\0")

    @classmethod
    def decode(cls, information: bytes) -> Self:
        """Raises `Malformed` for no bytes at all, and for a byte that is neither 0 nor 1."""
        relational, date_time, fuzzy, timezone, enhanced, empty, multiple = _flags(information, 7, "PS3.4 C.5.1.1")
        return cls(
            relational_queries=relational,
            date_time_matching=date_time,
            fuzzy_names=fuzzy,
            timezone_adjustment=timezone,
            enhanced_conversion=enhanced,
            empty_value_matching=empty,
            multiple_value_matching=multiple,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveExtension:
    """Options of C-MOVE and C-GET, asked for or granted [PS3.4 C.5.2.1, C.5.3.1]."""

    relational_retrieval: bool = False
    enhanced_conversion: bool = False

    def encode(self, least: int = 1) -> bytes:
        """One or two bytes: a zero at the end is left out where there are more than `least`."""
        return bytes((self.relational_retrieval, self.enhanced_conversion)).rstrip(b"\0").ljust(least, b"\0")

    @classmethod
    def decode(cls, information: bytes) -> Self:
        """Raises `Malformed` for no bytes at all, and for a byte that is neither 0 nor 1."""
        relational, enhanced = _flags(information, 2, "PS3.4 C.5.2.1, C.5.3.1")
        return cls(relational_retrieval=relational, enhanced_conversion=enhanced)


Extension = StorageExtension | QueryExtension | RetrieveExtension


def propose_extended(wishes: Mapping[str, bytes | Extension]) -> tuple[ExtendedNegotiation, ...]:
    """The sub-items of an A-ASSOCIATE-RQ, from SOP class -> the requested options; raw bytes are sent unchanged."""
    return tuple(
        ExtendedNegotiation(sop_class_uid=uid, information=_proposal(uid, wish)) for uid, wish in wishes.items()
    )


def _proposal(sop_class_uid: str, wish: bytes | Extension) -> bytes:
    if isinstance(wish, bytes):
        return wish
    if isinstance(wish, QueryExtension) and sop_class_uid == uids.MODALITY_WORKLIST_FIND:
        return wish.encode(least=3)  # three sub-fields or more  # PS3.4 K.5
    return wish.encode()


def grant(asked: bytes, own: bytes | Extension) -> bytes | None:
    """The answer of an acceptor that supports `own` to `asked`. None: no sub-item, which refuses everything.

    The options that both sides have are granted, in no more bytes than the request has; a storage level and raw bytes
    are answered unchanged. A proposal that cannot be read is not answered: the default conditions hold then.
    """
    try:
        match own:
            case bytes():
                return own
            case StorageExtension():
                StorageExtension.decode(asked)
                return own.encode()
            case QueryExtension():
                return _both(QueryExtension.decode(asked).encode(7), own.encode(7), len(asked))
            case RetrieveExtension():
                return _both(RetrieveExtension.decode(asked).encode(2), own.encode(2), len(asked))
            case _ as unreachable:
                assert_never(unreachable)
    except Malformed:
        return None


def _both(asked: bytes, own: bytes, size: int) -> bytes:
    """Each requested option (1) is granted or refused (0), and none is added [PS3.4 C.5.1.1, C.5.2.1, C.5.3.1, K.5]."""
    return bytes(wish & option for wish, option in zip(asked, own, strict=True))[:size]


def _check_size(information: bytes, clause: str) -> None:
    if not information:
        raise Malformed("service class application information of 0 bytes; at least 1", clause)


Code = TypeVar("Code", bound=IntEnum)


def _code(kind: type[Code], value: int, name: str) -> Code:
    try:
        return kind(value)
    except ValueError:
        raise Malformed(f"{name} {value}; 0 to {max(kind)}", "PS3.4 B.3.1") from None


def _flags(information: bytes, count: int, clause: str) -> Iterator[bool]:
    """`count` flags, absent ones False."""
    _check_size(information, clause)
    for index, value in enumerate(information[:count].ljust(count, b"\0"), 1):
        if value > 1:
            raise Malformed(f"byte {index} of the service class application information is {value}; 0 or 1", clause)
        yield bool(value)
