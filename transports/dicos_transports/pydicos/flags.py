"""The kinds of objects that a session is for, and the results of clients and servers, by the original's names.

Knows: names and numbers of the original. Must not know: networks, objects.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from operator import index

from dicos_proto.dicos.profile import Family

__all__ = ["Result", "RESULT_DCSCLIENT", "RETRIEVE_METHOD", "SOPCLASSUID", "family_of"]


class SOPCLASSUID(IntFlag):
    """The kinds of objects that a session is for; `|` joins several. The numbers are those of `Family`."""

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


class RESULT_DCSCLIENT(IntEnum):
    """The outcome of the last call of a client."""

    enumResultUnknown = 0
    enumResultNone = 1
    enumResultSuccess = 2
    enumResultFailed = 3


Result = RESULT_DCSCLIENT


class RETRIEVE_METHOD(IntEnum):
    """Accepted by `StartListening` for programs that name one; all of them deliver objects."""

    enumMethodTagAPI = 0
    enumMethodModuleAPI = 1
    enumMethodUserAPI = 2


def family_of(kinds: int) -> Family:
    """Returns the families of SOP classes. Raises ValueError for a number that names no kind.

    >>> family_of(SOPCLASSUID.enumSopCTTDR) == Family.CT | Family.TDR
    True
    """
    try:
        number = index(kinds)
    except TypeError:
        number = 0
    if not 0 < number <= SOPCLASSUID.enumSopAll:
        raise ValueError(f"kinds of objects {kinds!a:.40}; a number of SOPCLASSUID from 1 to 255")
    return Family(number)
