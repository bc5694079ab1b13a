"""The network profile of DICOS: what a checkpoint's devices propose and accept, by families of SOP classes.

Knows: the SOP classes of each family, transfer syntaxes and their order, who may connect. Must not know: data sets,
numpy, connections. Everything here is a value for `connect` and `serve`, and each may be written by hand instead.

| family | SOP classes: 16 bit, 32 bit, 64 bit, floating point |
|---|---|
| `CT` | CT, CT raw, CT corrected: 12 |
| `AIT2D`, `AIT3D` | 4 each; the raw classes are for `also` |
| `DX_PROCESSING`, `DX_PRESENTATION` | 4 each, 8 for `DX` |
| `QR`, `TDR`, `ECHO` | 1 each |

The numbers of the families are those of pyDICOS' `SOPCLASSUID`, and `ALL` proposes the same 31 contexts. A client of
pyDICOS gives up if any of its contexts is refused, so a provider accepts whole families.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, Flag
from types import MappingProxyType
from typing import Final

from ..arguments import one_for_many
from ..registry import uids
from ..upper_layer.negotiation import number_contexts
from ..upper_layer.pdu_types import ProposedContext, UserIdentity, UserIdentityType
from ..upper_layer.policy import AcceptPolicy, IdentityPolicy, Preference

__all__ = [
    "APPLICATION_CONTEXTS",
    "COMPRESSED",
    "SOP_CLASSES",
    "UNCOMPRESSED",
    "Clients",
    "Compression",
    "Family",
    "accept_policy",
    "contexts_for",
    "identity_policy",
    "sop_classes",
    "transfer_syntaxes",
    "user_identity",
]

APPLICATION_CONTEXTS: Final = tuple(one for one in uids.APPLICATION_CONTEXTS if one != uids.DICOM_APPLICATION_CONTEXT)
"""The application context names of DICOS: V03, V02A and the alternate of V02A. A requestor proposes one of them, by
`connect(..., application_context=...)`; pyDICOS always proposes V03, accepts these three, and refuses that of DICOM."""

UNCOMPRESSED: Final = (uids.EXPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.IMPLICIT_VR_LE)
"""The transfer syntaxes without compression, in the order in which pyDICOS proposes them. The extended one is for pixel
data of 4 GiB and more."""
COMPRESSED: Final = (uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS)
"""The transfer syntaxes with lossless compression, best first. pyDICOS knows only the first of them on a network."""


class Family(Flag):
    """SOP classes that go together; `|` unites them.

    >>> Family.DX == Family.DX_PROCESSING | Family.DX_PRESENTATION
    True
    >>> Family(65) == Family.CT | Family.TDR
    True
    """

    CT = 1
    AIT2D = 2
    AIT3D = 4
    DX_PROCESSING = 8
    DX_PRESENTATION = 16
    DX = 24
    QR = 32
    TDR = 64
    ECHO = 128
    ALL = 255


class Compression(Enum):
    """The place of lossless compression among the transfer syntaxes of an association.

    `PREFERRED`: before the uncompressed ones. `ALLOWED`: after them. `FORBIDDEN`: not among them."""

    PREFERRED = "preferred"
    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"


class Clients(Enum):
    """The clients that a provider accepts, by the user identity that they present [PS3.7 D.3.3.7].

    `ANONYMOUS`: those that present none. `NAMED`: those that present a name alone. `NAMED_WITH_PASSCODE`: those
    that present a name and a passcode."""

    ANONYMOUS = "anonymous"
    NAMED = "named"
    NAMED_WITH_PASSCODE = "named with passcode"


SOP_CLASSES: Final[Mapping[Family, tuple[str, ...]]] = MappingProxyType(
    {
        Family.CT: (
            uids.DICOS_CT, uids.DICOS_CT_INT32, uids.DICOS_CT_INT64, uids.DICOS_CT_FLOAT,
            uids.DICOS_CT_RAW, uids.DICOS_CT_RAW_INT32, uids.DICOS_CT_RAW_INT64, uids.DICOS_CT_RAW_FLOAT,
            uids.DICOS_CT_CORRECTED, uids.DICOS_CT_CORRECTED_INT32, uids.DICOS_CT_CORRECTED_INT64,
            uids.DICOS_CT_CORRECTED_FLOAT,
        ),
        Family.AIT2D: (uids.DICOS_AIT2D, uids.DICOS_AIT2D_INT32, uids.DICOS_AIT2D_INT64, uids.DICOS_AIT2D_FLOAT),
        Family.AIT3D: (uids.DICOS_AIT3D, uids.DICOS_AIT3D_INT32, uids.DICOS_AIT3D_INT64, uids.DICOS_AIT3D_FLOAT),
        Family.DX_PROCESSING: (
            uids.DICOS_DX_FOR_PROCESSING, uids.DICOS_DX_FOR_PROCESSING_INT32, uids.DICOS_DX_FOR_PROCESSING_INT64,
            uids.DICOS_DX_FOR_PROCESSING_FLOAT,
        ),
        Family.DX_PRESENTATION: (
            uids.DICOS_DX_FOR_PRESENTATION, uids.DICOS_DX_FOR_PRESENTATION_INT32,
            uids.DICOS_DX_FOR_PRESENTATION_INT64, uids.DICOS_DX_FOR_PRESENTATION_FLOAT,
        ),
        Family.QR: (uids.DICOS_QR,),
        Family.TDR: (uids.DICOS_TDR,),
        Family.ECHO: (uids.VERIFICATION,),
    }
)  # fmt: skip
"""Family -> its SOP classes, in the order in which their contexts are proposed."""

_COMPRESSIBLE: Final = frozenset(
    {
        uids.DICOS_CT, uids.DICOS_CT_RAW, uids.DICOS_CT_CORRECTED, uids.DICOS_DX_FOR_PROCESSING,
        uids.DICOS_DX_FOR_PRESENTATION, uids.DICOS_AIT2D, uids.DICOS_AIT2D_RAW, uids.DICOS_AIT3D, uids.DICOS_AIT3D_RAW,
    }
)  # fmt: skip
"""The classes of images of 8 to 16 bits: JPEG has no process for more [PS3.5 8.2.1]."""


_OF_64_BITS: Final = frozenset(
    {
        uids.DICOS_CT_INT64, uids.DICOS_CT_RAW_INT64, uids.DICOS_CT_CORRECTED_INT64, uids.DICOS_AIT2D_INT64,
        uids.DICOS_AIT3D_INT64, uids.DICOS_DX_FOR_PROCESSING_INT64, uids.DICOS_DX_FOR_PRESENTATION_INT64,
    }
)  # fmt: skip
"""The classes whose pixel data has VR OD. pyDICOS 1.3.0 gives it 64 bits of length in every transfer syntax [obs],
which only the extended one allows."""


def sop_classes(families: Family, *, also: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the SOP classes of these families, then those of `also`, each once.

    >>> [len(sop_classes(one)) for one in (Family.CT, Family.DX, Family.ALL)]
    [12, 8, 31]
    """
    one_for_many(also, "sop_classes(also={})", "UIDs")
    found = [uid for family, members in SOP_CLASSES.items() if family in families for uid in members]
    return tuple(dict.fromkeys((*found, *also)))


def transfer_syntaxes(
    sop_class_uid: str, compression: Compression = Compression.PREFERRED, *, rle: bool = False
) -> tuple[str, ...]:
    """Returns the transfer syntaxes for a SOP class, best first: compressed ones only for images of 8 to 16 bits, and
    the extended one first for integers of 64 bits.

    `rle`: RLE as well, after JPEG lossless.
    """
    if sop_class_uid in _OF_64_BITS:
        return (uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE)
    if compression is Compression.FORBIDDEN or sop_class_uid not in _COMPRESSIBLE:
        return UNCOMPRESSED
    compressed = COMPRESSED if rle else COMPRESSED[:1]
    return (*compressed, *UNCOMPRESSED) if compression is Compression.PREFERRED else (*UNCOMPRESSED, *compressed)


def contexts_for(
    families: Family,
    compression: Compression = Compression.PREFERRED,
    *,
    also: Iterable[str] = (),
    rle: bool = False,
    apart: bool = False,
) -> tuple[ProposedContext, ...]:
    """Returns the presentation contexts to propose for these families: one for each SOP class, the preferred transfer
    syntax first, although the acceptor may choose another one.

    `also`: more SOP classes. `rle`: as in `transfer_syntaxes`. `apart`: a context of its own for each transfer syntax,
    in their order, so that the sender chooses; a server of pyDICOS then accepts all of them. Raises
    `LocalProtocolError` for more than 128 contexts.

    >>> len(contexts_for(Family.CT | Family.ECHO))
    13
    """
    offered = [(uid, transfer_syntaxes(uid, compression, rle=rle)) for uid in sop_classes(families, also=also)]
    if apart:
        offered = [(uid, (syntax,)) for uid, syntaxes in offered for syntax in syntaxes]
    return number_contexts(offered)


def accept_policy(
    families: Family = Family.ALL,
    compression: Compression = Compression.PREFERRED,
    *,
    also: Iterable[str] = (),
    rle: bool = True,
    application_contexts: Iterable[str] = uids.APPLICATION_CONTEXTS,
    called_aets: Iterable[str] | None = None,
    calling_aets: Iterable[str] | None = None,
    identity: IdentityPolicy | None = None,
) -> AcceptPolicy:
    """Returns the policy of a provider that accepts these families, with its own order of transfer syntaxes.

    `application_contexts`: those that it accepts, by default DICOM's as well. `called_aets`, `calling_aets`: the
    application names that it accepts as its own and from clients; None does not check them. `identity`: see
    `identity_policy`; None accepts every client. Its Maximum Length is one that clients of pyDICOS accept.

    >>> accept_policy(Family.TDR).contexts[uids.DICOS_TDR] == UNCOMPRESSED
    True
    """
    for name, several in (("called_aets", called_aets), ("calling_aets", calling_aets)):
        if several is not None:
            one_for_many(several, f"accept_policy({name}={{}})", "AE titles")
    one_for_many(application_contexts, "accept_policy(application_contexts={})", "UIDs")
    classes = sop_classes(families, also=also)
    return AcceptPolicy(
        contexts={uid: transfer_syntaxes(uid, compression, rle=rle) for uid in classes},
        preference=Preference.OWN,
        application_contexts=tuple(application_contexts),
        called_aets=None if called_aets is None else frozenset(called_aets),
        calling_aets=None if calling_aets is None else frozenset(calling_aets),
        identity=IdentityPolicy() if identity is None else identity,
    )


def identity_policy(clients: Clients, users: Mapping[str, str] | Iterable[str] | None = None) -> IdentityPolicy:
    """Returns the policy for clients of one kind; the others are rejected.

    `users`: the names that are accepted, for `NAMED_WITH_PASSCODE` with their passcodes; None accepts every name, and
    every passcode, and sends no positive response. Names and passcodes are compared as UTF-8. Raises TypeError for
    users that do not fit the kind.

    >>> identity_policy(Clients.NAMED, ["operator"]).types
    (1,)
    """
    if clients is Clients.ANONYMOUS:
        if users is not None:
            raise TypeError("identity_policy(Clients.ANONYMOUS, users): a client without a name is not one of these")
        return IdentityPolicy(known={}, types=())
    if clients is Clients.NAMED:
        if isinstance(users, Mapping):
            raise TypeError(
                "identity_policy(Clients.NAMED, users): names without passcodes; Clients.NAMED_WITH_PASSCODE"
            )
        if users is not None:
            one_for_many(users, "identity_policy(..., {})", "names")
        known = None if users is None else {name.encode(): b"" for name in users}
        return IdentityPolicy(required=True, known=known, types=(UserIdentityType.USERNAME.value,))
    if users is not None and not isinstance(users, Mapping):
        raise TypeError("identity_policy(Clients.NAMED_WITH_PASSCODE, users): a mapping of names to passcodes")
    known = None if users is None else {name.encode(): passcode.encode() for name, passcode in users.items()}
    return IdentityPolicy(required=True, known=known, types=(UserIdentityType.USERNAME_AND_PASSCODE.value,))


def user_identity(name: str, passcode: str | None = None, *, confirmed: bool = True) -> UserIdentity:
    """Returns the user identity of a requestor, for `UserInformation`: a name, or a name and passcode, as UTF-8.

    `confirmed`: ask for a positive response, as pyDICOS does.
    """
    kind = UserIdentityType.USERNAME if passcode is None else UserIdentityType.USERNAME_AND_PASSCODE
    return UserIdentity(
        type=kind.value,
        primary=name.encode(),
        secondary=b"" if passcode is None else passcode.encode(),
        response_requested=confirmed,
    )
