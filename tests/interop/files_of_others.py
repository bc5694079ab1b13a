"""Whose files are sent, and what is known of those with which not all goes well."""

PACKAGES = {
    "pydicom": "installed:pydicom/data/test_files",
    "pydicom charset": "installed:pydicom/data/charset_files",
    "pynetdicom": "installed:pynetdicom/tests/dicom_files",
    "pydicom-data": "pydicom_data-1.0.0/data_store/data",
    "dicognito": "dicognito-0.19.0/dicognito-0.19.0/tests",
}
NOT_SENT = {}
DIFFERENT = {}
