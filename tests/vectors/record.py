"""Makes the vectors of this folder: `python -m tests.vectors.record FOLDER`. The README says what is what.

DCMTK's tools talk to each other over 127.0.0.1 through a recorder that writes what passes; pynetdicom's PDU classes
encode themselves. Needs DCMTK 3.6.7 (echoscu storescu storescp getscu dcmqrscp dump2dcm) and pynetdicom 3.0.4.
"""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pynetdicom import build_context, build_role, pdu
from pynetdicom.pdu_primitives import (
    A_ABORT,
    A_ASSOCIATE,
    A_P_ABORT,
    A_RELEASE,
    P_DATA,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

VERIFICATION = "1.2.840.10008.1.1"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STORAGE_SERVICE = "1.2.840.10008.4.2"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"

DUMP = """\
(0002,0010) UI =LittleEndianExplicit
(0008,0016) UI =SecondaryCaptureImageStorage
(0008,0018) UI [1.2.3.4]
(0008,0060) CS [OT]
(0010,0010) PN [Test^Vector]
(0020,000d) UI [1.2.3.1]
(0020,000e) UI [1.2.3.2]
"""
QRSCP = """\
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 4
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ANY-SCP {folder} RW (10, 1mb) ANY
AETable END
"""


def hex_lines(stream: bytes) -> str:
    """A stream of PDUs as text: a comment before each PDU, 32 bytes a line."""
    lines: list[str] = []
    at = 0
    while at < len(stream):
        length = 6 + int.from_bytes(stream[at + 2 : at + 6], "big")
        lines.append(f"# PDU type {stream[at]:02x}, {length} bytes")
        whole = stream[at : at + length]
        lines += [whole[i : i + 32].hex(" ") for i in range(0, length, 32)]
        at += length
    return "\n".join(lines) + "\n"


class Recorder:
    """Forwards one connection to `port` and keeps what passes each way."""

    def __init__(self, port: int) -> None:
        self.peer = port
        self.streams = [bytearray(), bytearray()]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        near, _ = self.listener.accept()
        far = socket.create_connection(("127.0.0.1", self.peer))
        ways = ((near, far, self.streams[0]), (far, near, self.streams[1]))
        pumps = [threading.Thread(target=self.pump, args=way) for way in ways]
        for thread in pumps:
            thread.start()
        for thread in pumps:
            thread.join()
        for end in (near, far, self.listener):
            end.close()

    @staticmethod
    def pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def record(folder: Path, name: str, server: list[str], client: list[str], *after: str) -> None:
    """One conversation: `server` + its port, `client` + 127.0.0.1 + the recorder's port + `after`."""
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        if server[0] == "dcmqrscp":
            Path(scratch, "db").mkdir()
            Path(scratch, "cfg").write_text(QRSCP.format(port=port, folder=Path(scratch, "db")))
            server = [*server, "-c", str(Path(scratch, "cfg"))]
        process = subprocess.Popen([*server, str(port)], cwd=scratch, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            recorder = Recorder(port)
            subprocess.run([*client, "127.0.0.1", str(recorder.port), *after], cwd=scratch, stderr=subprocess.DEVNULL)
            recorder.thread.join()
        finally:
            process.terminate()
            process.wait()
    for way, stream in zip(("c2s", "s2c"), recorder.streams, strict=True):
        (folder / f"{name}.{way}.hex").write_text(hex_lines(bytes(stream)))


def dcmtk(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        dump, file = Path(scratch, "sc.dump"), str(Path(scratch, "sc.dcm"))
        dump.write_text(DUMP)
        subprocess.run([shutil.which("dump2dcm") or "dump2dcm", str(dump), file], check=True)
        login = ["storescu", "-R", "-usr", "alice", "-pwd", "open sesame", "-rsp"]
        record(folder, "dcmtk_echo", ["storescp"], ["echoscu", "-pts", "4", "-ppc", "3"])
        record(folder, "dcmtk_store", ["storescp", "--ignore"], ["storescu", "-R"], file)
        record(folder, "dcmtk_identity", ["storescp", "--ignore"], login, file)
        record(folder, "dcmtk_refused", ["storescp", "--refuse"], ["echoscu"])
        record(folder, "dcmtk_unsupported", ["storescp"], ["findscu", "-S", "-k", "QueryRetrieveLevel=STUDY"])
        record(folder, "dcmtk_abort_by_scu", ["storescp"], ["echoscu", "--abort"])
        record(folder, "dcmtk_abort_by_scp", ["storescp", "--abort-after"], ["storescu", "-R"], file)
        keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3"]
        record(folder, "dcmtk_roles", ["dcmqrscp"], ["getscu", *keys])


def user_items(request: bool) -> list[object]:
    length, uid, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = 0x00012345
    uid.implementation_class_uid = "1.2.826.0.1.3680043.9.3811.3.0.4"
    version.implementation_version_name = "PYNETDICOM_304"
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 0x0102
    window.maximum_number_operations_performed = 0x0304
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = FIND
    extended.service_class_application_information = b"\x01\x00\x01"
    identity, common = UserIdentityNegotiation(), SOPClassCommonExtendedNegotiation()
    common.sop_class_uid = MR
    common.service_class_uid = STORAGE_SERVICE
    common.related_general_sop_class_identification = [CT, "1.2.840.10008.5.1.4.1.1.22"]
    if request:
        identity.user_identity_type = 2
        identity.positive_response_requested = True
        identity.primary_field = b"bob"
        identity.secondary_field = b"pass"
    else:
        identity.server_response = b"welcome"
    items: list[object] = [length, uid, version, window, build_role(CT, scu_role=True, scp_role=True)]
    items += [build_role(MR, scu_role=False, scp_role=True), extended, identity]
    return [*items, common] if request else items


def associate(request: bool) -> A_ASSOCIATE:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "PYNETDICOM", "ARCHIVE 1"
    contexts = [build_context(VERIFICATION), build_context(CT, [EXPLICIT, IMPLICIT]), build_context(MR, BIG)]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
        context.result = (0, 0, 4)[number]
        if not request:
            context.transfer_syntax = context.transfer_syntax[:1]
    primitive.user_information = user_items(request)
    if request:
        primitive.presentation_context_definition_list = contexts
    else:
        primitive.result = 0
        primitive.presentation_context_definition_results_list = contexts
    return primitive


def pynetdicom(folder: Path) -> None:
    reject, abort, provider, data, response = A_ASSOCIATE(), A_ABORT(), A_P_ABORT(), P_DATA(), A_RELEASE()
    reject.result, reject.result_source, reject.diagnostic = 1, 1, 7
    abort.abort_source = 0
    provider.provider_reason = 6
    response.result = "affirmative"
    data.presentation_data_value_list = [[1, b"\x03" + bytes(range(20))], [3, b"\x00" + bytes(7)], [3, b"\x02"]]
    made = {
        "associate_rq": pdu.A_ASSOCIATE_RQ(associate(True)),
        "associate_ac": pdu.A_ASSOCIATE_AC(associate(False)),
        "associate_rj": pdu.A_ASSOCIATE_RJ(reject),
        "p_data_tf": pdu.P_DATA_TF(data),
        "release_rq": pdu.A_RELEASE_RQ(A_RELEASE()),
        "release_rp": pdu.A_RELEASE_RP(response),
        "abort_user": pdu.A_ABORT_RQ(abort),
        "abort_provider": pdu.A_ABORT_RQ(provider),
    }
    for name, made_pdu in made.items():
        (folder / f"pynetdicom_{name}.hex").write_text(hex_lines(made_pdu.encode()))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    pynetdicom(target)
    dcmtk(target)
