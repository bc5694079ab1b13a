"""The values of threat detection reports by the original's names, and the standard's texts for them.

Knows: names and numbers of the original, terms of the standard. Must not know: data sets.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeVar

__all__ = [
    "ABILITY_ASSESSMENT", "ALARM_DECISION", "ASSESSMENT_FLAG", "OBJECT_OF_INSPECTION_TYPE", "SCAN_TYPE", "TDR_TYPE",
    "THREAT_CATEGORY", "member_of", "term_of",
]  # fmt: skip


class SCAN_TYPE(IntEnum):
    """Scan Type (4010,1048)."""

    enumUnknownScanType = 0
    enumOperational = 1
    enumNonOperational = 2


class ALARM_DECISION(IntEnum):
    """Alarm Decision (4010,1031)."""

    enumUnknownAlarmDecision = 0
    enumAlarm = 1
    enumClear = 2


class ASSESSMENT_FLAG(IntEnum):
    """ATD Assessment Flag (4010,1015)."""

    enumUnknownAssessmentFlag = 0
    enumHighThreat = 1
    enumThreat = 2
    enumNoThreat = 3
    enumUnknown = 4


class THREAT_CATEGORY(IntEnum):
    """Threat Category (4010,1012)."""

    enumUnknownThreatCategory = 0
    enumExplosive = 1
    enumProhibitedItem = 2
    enumContraband = 3
    enumAnomaly = 4
    enumLaptop = 5
    enumOther = 6
    enumPharmaceutical = 7


class ABILITY_ASSESSMENT(IntEnum):
    """ATD Ability Assessment (4010,1014)."""

    enumUnknownAbilityAssessment = 0
    enumNoInterference = 1
    enumShield = 2


class OBJECT_OF_INSPECTION_TYPE(IntEnum):
    """OOI Type (4010,1042)."""

    enumUnknownObjectOfInspectionType = 0
    enumTypeBioSample = 1
    enumTypeCargo = 2
    enumTypeBaggage = 3
    enumTypeAnimal = 4
    enumTypeOther = 5
    enumTypePerson = 6


class TDR_TYPE(IntEnum):
    """TDR Type (4010,1027)."""

    enumUnknownTDRType = 0
    enumMachine = 1
    enumOperator = 2
    enumGroundTruth = 3
    enumAggregate = 4
    enumModAggregate = 5
    enumUndefined = 6


_TERMS: Final[dict[type[IntEnum], dict[int, str]]] = {
    SCAN_TYPE: {
        SCAN_TYPE.enumOperational: "OPERATIONAL",
        SCAN_TYPE.enumNonOperational: "NON_OPERATIONAL",
    },
    ALARM_DECISION: {
        ALARM_DECISION.enumAlarm: "ALARM",
        ALARM_DECISION.enumClear: "CLEAR",
        ALARM_DECISION.enumUnknownAlarmDecision: "UNKNOWN",
    },
    ASSESSMENT_FLAG: {
        ASSESSMENT_FLAG.enumHighThreat: "HIGH_THREAT",
        ASSESSMENT_FLAG.enumThreat: "THREAT",
        ASSESSMENT_FLAG.enumNoThreat: "NO_THREAT",
        ASSESSMENT_FLAG.enumUnknown: "UNKNOWN",
    },
    THREAT_CATEGORY: {
        THREAT_CATEGORY.enumExplosive: "EXPLOSIVE",
        THREAT_CATEGORY.enumProhibitedItem: "PI",
        THREAT_CATEGORY.enumContraband: "CONTRABAND",
        THREAT_CATEGORY.enumAnomaly: "ANOMALY",
        THREAT_CATEGORY.enumLaptop: "LAPTOP",
        THREAT_CATEGORY.enumOther: "OTHER",
        THREAT_CATEGORY.enumPharmaceutical: "PHARMACEUTICAL",
    },
    ABILITY_ASSESSMENT: {
        ABILITY_ASSESSMENT.enumNoInterference: "NO_INTERFERENCE",
        ABILITY_ASSESSMENT.enumShield: "SHIELD",
    },
    OBJECT_OF_INSPECTION_TYPE: {
        OBJECT_OF_INSPECTION_TYPE.enumTypeBioSample: "BIO_SAMPLE",
        OBJECT_OF_INSPECTION_TYPE.enumTypeCargo: "CARGO",
        OBJECT_OF_INSPECTION_TYPE.enumTypeBaggage: "BAGGAGE",
        OBJECT_OF_INSPECTION_TYPE.enumTypeAnimal: "ANIMAL",
        OBJECT_OF_INSPECTION_TYPE.enumTypeOther: "OTHER",
        OBJECT_OF_INSPECTION_TYPE.enumTypePerson: "PERSON",
    },
    TDR_TYPE: {
        TDR_TYPE.enumMachine: "MACHINE",
        TDR_TYPE.enumOperator: "OPERATOR",
        TDR_TYPE.enumGroundTruth: "GROUND TRUTH",
        TDR_TYPE.enumAggregate: "AGGREGATE",
        TDR_TYPE.enumModAggregate: "MOD_AGGREGATE",
    },
}
"""Members of different enumerations are equal if their numbers are, so each has a table of its own."""

E = TypeVar("E", bound=IntEnum)


def term_of(member: IntEnum) -> str:
    """Returns the standard's term; "" for a member that means that nothing is known."""
    return _TERMS[type(member)].get(member, "")


def member_of(kind: type[E], term: str) -> E:
    """Returns the member for a term of the standard; the one with the number 0 for one that the original lacks."""
    return next((one for one in kind if _TERMS[kind].get(one) == term), kind(0))
