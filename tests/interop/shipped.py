"""The storage objects among pydicom's own files, which tests send to other implementations."""

from dicos_proto.registry import uids
from tests.interop.peers import shipped_files

FILES = shipped_files()
BY_UID = {file.sop_instance_uid: file for file in FILES}
PLAIN = [
    file
    for file in FILES
    if file.transfer_syntax in (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE)
]
SMALL = next(file for file in FILES if file.path.name == "CT_small.dcm")
LARGEST = max(FILES, key=lambda one: one.data_length)
