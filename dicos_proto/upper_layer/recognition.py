"""Recognizes a toolkit by its first PDU, an A-ASSOCIATE-RQ or A-ASSOCIATE-AC, so that its deviations are accepted.

Knows: how to compare a decoded PDU with the signs of a `Toolkit`. Must not know: states, bytes, DIMSE.

The PDU is decoded with the tolerance that was chosen, and once more with the toolkit's added if that fails. It counts
only if all signs are there; else the first result stands: a peer that only breaks the same rule is refused as before,
with the same reason. A toolkit whose first PDU has no fault is suspected, and recognized by its first violation.
"""

from __future__ import annotations

from typing import Final

from ..errors import Malformed
from ..registry import uids
from ..tolerance import FIELD, STRATOVAN, Judge, Toolkit
from .pdu import decode_body
from .pdu_types import AssociateAccept, AssociateRequest, Managed, PduType

STRATOVAN_TOOLKIT: Final = Toolkit(
    name="Stratovan's toolkit",
    tolerance=STRATOVAN,
    application_contexts=frozenset(uids.APPLICATION_CONTEXTS) - {uids.DICOM_APPLICATION_CONTEXT},
    transfer_syntaxes=frozenset({uids.DICOS_EXPLICIT_VR_LE_EXTENDED}),
    class_uids=frozenset({"589819685.55210.17349.165143.11411818077180154"}),
    version_names=frozenset({"1.0.1"}),
    echoes=True,
)
"""The signs of pyDICOS 1.3.0 in each role. Its implementation class UID, which is not a valid one, is the same in each
association; another release may have another one, hence the version name as well."""

AUTOMATIC: Final = FIELD.recognizing(STRATOVAN_TOOLKIT)
"""Like `FIELD`; and like `STRATOVAN` too on an association with a peer that is recognized as Stratovan's toolkit, by
what it proposes or answers and by its first violation. The event of that violation says so (`Deviation.recognized`)."""


def decode_first(kind: PduType, body: memoryview, judge: Judge, asked: AssociateRequest | None) -> Managed:
    """Decodes an A-ASSOCIATE-RQ, or an A-ASSOCIATE-AC that answers `asked`, and notes in `judge` the toolkit that it
    shows. Raises `Malformed` as `decode_body` does."""
    try:
        pdu = decode_body(kind, body, judge)
    except Malformed as fault:
        for toolkit in judge.tolerance.toolkits:
            trial = judge.trial(toolkit)
            found = _attempt(kind, body, trial)
            if found is not None and _is_shown(toolkit, found, asked):
                judge.settle(trial, toolkit)
                return found
        raise fault.with_traceback(None) from None
    for toolkit in judge.tolerance.toolkits:
        if _is_shown(toolkit, pdu, asked):
            judge.settle(judge, toolkit)
            break
    return pdu


def _attempt(kind: PduType, body: memoryview, judge: Judge) -> Managed | None:
    try:
        return decode_body(kind, body, judge)
    except Malformed:
        return None


def _is_shown(toolkit: Toolkit, pdu: Managed, asked: AssociateRequest | None) -> bool:
    """Returns True if all signs of the toolkit are in this PDU."""
    if isinstance(pdu, AssociateRequest):
        own = pdu.user_information
        offered = {syntax for context in pdu.contexts for syntax in context.transfer_syntaxes}
        named = (
            own.implementation_class_uid in toolkit.class_uids
            or own.implementation_version_name in toolkit.version_names
        )
        return (
            pdu.application_context in toolkit.application_contexts
            and named
            and bool(offered & toolkit.transfer_syntaxes)
        )
    if not isinstance(pdu, AssociateAccept) or asked is None or not toolkit.echoes:
        return False
    return pdu.application_context in toolkit.application_contexts and _identity(pdu) == _identity(asked)


def _identity(pdu: AssociateRequest | AssociateAccept) -> tuple[int, str, str | None]:
    one = pdu.user_information
    return one.max_length, one.implementation_class_uid, one.implementation_version_name
