"""The projects whose files are sent, and the known differences and faults, as in docs/files-of-others.md."""

from __future__ import annotations

PACKAGES = {
    "pydicom": "installed:pydicom/data/test_files",
    "pydicom charset": "installed:pydicom/data/charset_files",
    "pynetdicom": "installed:pynetdicom/tests/dicom_files",
    "pydicom-data": "pydicom_data-1.0.0/data_store/data",
    "dicognito": "dicognito-0.19.0/dicognito-0.19.0/tests",
}

CUT_SHORT = "its data set is truncated: refused with 0xC000, aborted by DCMTK; pynetdicom keeps what it could read"
OTHER_SYNTAX = "its data set is not in the transfer syntax of its meta information: refused with 0xC000"
NAMELESS = (
    "its data set does not name its SOP class and instance, which breaks no rule of the network: stored unchanged"
)
OTHER_INSTANCE = "its data set is of another SOP instance than its C-STORE: refused with 0xA900, as by DCMTK"
OTHER_META = (
    "its meta information is of another SOP instance than its data set: ours sends it under the names in the data "
    "set; a sender that uses the meta information is refused with 0xA900, as by DCMTK"
)
UNKNOWN_VR = (
    "its data set names its SOP class and instance with VR UN, where DCMTK does not find them: stored unchanged"
)
MEDIA = "a media directory: no storage provider accepts its SOP class"
NO_ZLIB = "deflated: Debian's DCMTK accepts the transfer syntax, is built without zlib, and aborts"
RETIRED = "of a retired SOP class that pynetdicom's storescp does not accept"
BARE = "a data set without meta information: stored unchanged; pydicom reads it only when forced, so it is not compared"

DIFFERENT: dict[str, str] = {
    "pydicom: MR_truncated.dcm": CUT_SHORT,
    "pydicom: rtplan_truncated.dcm": CUT_SHORT,
    "pydicom-data: emri_small_jpeg_2k_lossless_too_short.dcm": CUT_SHORT,
    "pydicom: SC_rgb_jpeg.dcm": OTHER_SYNTAX,
    "pydicom: UN_sequence.dcm": NAMELESS,
    "pydicom: no_meta_group_length.dcm": NAMELESS,
    "pydicom: priv_SQ.dcm": NAMELESS,
    "pydicom: rtdose_rle.dcm": UNKNOWN_VR,
    "pydicom: rtdose_rle_1frame.dcm": UNKNOWN_VR,
    "pydicom charset: chrSQEncoding.dcm": NAMELESS,
    "pydicom charset: chrSQEncoding1.dcm": NAMELESS,
    "pydicom-data: explicit_VR-UN.dcm": UNKNOWN_VR,
    "pydicom-data: bad_sequence.dcm": OTHER_INSTANCE,
    "pydicom: dicomdirtests/DICOMDIR": MEDIA,
    "pydicom: dicomdirtests/DICOMDIR-bigEnd": MEDIA,
    "pydicom: dicomdirtests/DICOMDIR-empty.dcm": MEDIA,
    "pydicom: dicomdirtests/DICOMDIR-implicit": MEDIA,
    "pydicom: dicomdirtests/DICOMDIR-nooffset": MEDIA,
    "pydicom: dicomdirtests/DICOMDIR-nopatient": MEDIA,
    "pydicom: dicomdirtests/DICOMDIR-reordered": MEDIA,
    "pydicom: dicomdirtests/TINY_ALPHA/DICOMDIR": MEDIA,
    "pydicom: image_dfl.dcm": NO_ZLIB,
    "pynetdicom: SCImageStorage_Deflated.dcm": NO_ZLIB,
    "pydicom-data: color-pl.dcm": RETIRED,
    "pydicom-data: color-px.dcm": RETIRED,
}
"""Files on which the providers differ, or that ours does not store, with any sender."""

ONLY_FROM: dict[str, dict[str, str]] = {
    "ours": {
        "pydicom-data: OT-PAL-8-face.dcm": BARE,
        "pydicom: rtstruct.dcm": BARE,
    },
    "pynetdicom": {
        "pydicom: badVR.dcm": OTHER_META,
        "pydicom: rtdose.dcm": OTHER_META,
        "pydicom: rtdose_1frame.dcm": OTHER_META,
        "pydicom: rtdose_expb.dcm": OTHER_META,
        "pydicom: rtdose_expb_1frame.dcm": OTHER_META,
        "pydicom: rtplan.dcm": OTHER_META,
        "pydicom charset: chrJapMulti.dcm": OTHER_META,
        "pydicom charset: chrJapMultiExplicitIR6.dcm": OTHER_META,
        "pynetdicom: RTImageStorage.dcm": OTHER_META,
    },
}
"""The same, for this sender only."""

NOT_SENT: dict[str, str] = {
    "pydicom: crayons.icc": "not a DICOM file: no DICM at byte 128",
    "pydicom: dicomdirtests/TINY_ALPHA/README": "not a DICOM file: no DICM at byte 128",
    "pydicom: empty_charset_LEI.dcm": "neither meta information nor data set name it: no (0008,0016)",
    "pydicom: meta_missing_tsyntax.dcm": "has no Transfer Syntax UID (0002,0010)",
    "pydicom: nested_priv_SQ.dcm": "neither meta information nor data set name it: no (0008,0016)",
    "pydicom: no_meta.dcm": "not a DICOM file: no DICM at byte 128",
    "pydicom: rtplan.dump": "not a DICOM file: no DICM at byte 128",
    "pydicom: rtstruct.dump": "not a DICOM file: no DICM at byte 128",
    "pydicom: zipMR.gz": "not a DICOM file: no DICM at byte 128",
    "dicognito: orig_data/test_conversion_error_logs_filename_and_error_type/bad.dcm": (
        "is cut short: no data set follows the meta information, at byte 336"
    ),
}
"""Our reason for each file that is not sent."""
