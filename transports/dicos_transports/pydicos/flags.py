"""The kinds of objects that a session is for, and the results of clients and servers, by the original's names.

Knows: names and numbers of the original, and the SOP classes of each kind. Must not know: networks, objects.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from dicos_proto.registry import uids

__all__ = ["KINDS", "RESULT_DCSCLIENT", "RETRIEVE_METHOD", "SOPCLASSUID", "classes_of", "kind_of_class"]


class SOPCLASSUID(IntFlag):
    """The kinds of objects that a session is for; `|` joins several."""

    enumSopCT = 1
    enumSopAIT2D = 2
    enumSopAIT3D = 4
    enumSopDXProcessing = 8
    enumSopDXPresentation = 16
    enumSopDX = 24
    enumSopQR = 32
    enumSopTDR = 64
    enumSopEcho = 128
    enumSopCTTDR = 65
    enumSopAIT2DTDR = 66
    enumSopAIT3DTDR = 68
    enumSopDXTDR = 88
    enumSopQRTDR = 96
    enumSopAll = 255


class RESULT_DCSCLIENT(IntEnum):as in the original
    """What became of the last call of a client."""

    enumResultUnknown = 0
    enumResultNone = 1
    enumResultSuccess = 2
    enumResultFailed = 3


class RETRIEVE_METHOD(IntEnum):
    """Accepted by `StartListening` for programs that name one; all of them deliver objects."""

    enumMethodTagAPI = 0
    enumMethodModuleAPI = 1
    enumMethodUserAPI = 2


_STORAGE = "1.2.840.10008.5.1.4.1.1.501."
KINDS: Final[dict[SOPCLASSUID, tuple[str, ...]]] = {
    SOPCLASSUID.enumSopCT: tuple(
        _STORAGE + end for end in "1 1.1 1.2 1.3 7.1 7.2 7.3 7.4 8.1 8.2 8.3 8.4".split()
    ),
    SOPCLASSUID.enumSopAIT2D: tuple(_STORAGE + end for end in "4 4.1 4.2 4.3".split()),
    SOPCLASSUID.enumSopAIT3D: tuple(_STORAGE + end for end in "5 5.1 5.2 5.3".split()),
    SOPCLASSUID.enumSopDXProcessing: tuple(_STORAGE + end for end in "2.2 2.2.1 2.2.2 2.2.3".split()),
    SOPCLASSUID.enumSopDXPresentation: tuple(_STORAGE + end for end in "2.1 2.1.1 2.1.2 2.1.3".split()),
    SOPCLASSUID.enumSopQR: (uids.DICOS_QR,),
    SOPCLASSUID.enumSopTDR: (uids.DICOS_TDR,),
    SOPCLASSUID.enumSopEcho: (uids.VERIFICATION,),
}  # fmt: skip
"""The SOP classes of each single kind, as the original proposes them."""
