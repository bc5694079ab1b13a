"""pyDICOS' client and our provider: every CT that it can make is stored as it writes it to a file, and more.

Voxels of 16 bits without sign come from a numpy array; it has no way to set others from Python.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from dicos_proto.data import DataSetError, encode
from dicos_proto.dicos import view
from dicos_proto.dicos.profile import Clients, Compression, accept_policy, identity_policy
from dicos_proto.registry import uids
from dicos_proto.tolerance import STRATOVAN, Tolerance
from dicos_proto.upper_layer.events import Deviation
from dicos_proto.upper_layer.policy import AcceptPolicy
from dicos_proto.upper_layer.recognition import AUTOMATIC, STRATOVAN_TOOLKIT
from dicos_transports.blocking import EchoRequest, Session, StoreRequest
from dicos_transports.blocking.server import Server, serve
from dicos_transports.dicos import receive
from dicos_transports.dicos.part10 import read_dataset
from dicos_transports.tls import ClientCertificate, Identity, ServerTLS
from tests.interop.peers import our_provider
from tests.interop.pydicos_network import needs_pydicos, outcomes, their_client
from tests.transports.certificates import hospital

pytestmark = [pytest.mark.interop, needs_pydicos]

EXPLICIT, EXTENDED, JPEG = uids.EXPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.JPEG_LOSSLESS_SV1
TYPES = (
    "Unsigned8Bit", "Signed8Bit", "Unsigned16Bit", "Signed16Bit", "Unsigned32Bit", "Signed32Bit", "Unsigned64Bit",
    "Signed64Bit", "Float",
)  # fmt: skip
SMALL = [16, 12, 5]


class Kept:
    """The data sets that our provider received, and the deviations that it accepted."""

    def __init__(self) -> None:
        self.objects: list[Dataset] = []
        self.instances: list[str] = []
        self.echoes = 0
        self.deviations: list[Deviation] = []

    def handle(self, session: Session) -> None:
        try:
            for request in session:
                if isinstance(request, StoreRequest):
                    try:
                        self.objects.append(receive(request))
                    except DataSetError:
                        continue
                    self.instances.append(request.sop_instance_uid)
                elif isinstance(request, EchoRequest):
                    self.echoes += 1
                request.respond()
        finally:
            self.deviations += session.deviations


@contextmanager
def provider(kept: Kept, policy: AcceptPolicy, tolerance: Tolerance = AUTOMATIC, **options: Any) -> Iterator[Server]:
    with serve(("127.0.0.1", 0), kept.handle, policy=policy, tolerance=tolerance, **options) as server:
        yield server


PLAIN = accept_policy(compression=Compression.FORBIDDEN)


def written(folder: Path, number: int) -> list[Dataset]:
    return [read_dataset(path) for path in sorted(folder.glob(f"{number}-*.dcs"))]


def volume_of(dataset: Dataset) -> Any:
    """The voxels; frames of JPEG are decoded by libjpeg-turbo."""
    if "PixelData" not in dataset or not dataset["PixelData"].is_undefined_length:
        return view(dataset).volume  # type: ignore[attr-defined]
    frames = generate_frames(bytes(dataset.PixelData), number_of_frames=len(dataset.PerFrameFunctionalGroupsSequence))
    return np.stack([imagecodecs.jpeg_decode(frame) for frame in frames])


def same(received: list[Dataset], files: list[Dataset]) -> bool:
    """Returns True if these are the same data sets, in any order: the files are written in another one."""

    def whole(each: list[Dataset]) -> list[bytes]:
        return sorted(encode(one, JPEG) for one in each)

    return whole(received) == whole(files)


# -- every CT ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "syntax", "name"),
    [
        (TYPES, EXTENDED, "LittleEndianExplicitExtended"),
        ([one for one in TYPES if "64" not in one], EXPLICIT, "LittleEndianExplicit"),
    ],
    ids=["extended", "explicit"],
)
@pytest.mark.parametrize("kind", ["Standard", "SDI", "CDI"])
def test_every_type_of_voxels_is_stored_as_it_is_written(
    kind: str, types: list[str], syntax: str, name: str, tmp_path: Path
) -> None:
    """In explicit VR it writes 64 bits of length for OD, so that nobody can read its 64-bit integers."""
    kept = Kept()
    scans = [{"type": one, "kind": kind, "sections": [SMALL]} for one in types]
    policy = AcceptPolicy(other_contexts=(syntax,), application_contexts=uids.APPLICATION_CONTEXTS)
    with provider(kept, policy) as server:
        said = their_client(
            server.port, tmp_path, scans=scans, compress=False, sop="CT|Echo", echo=True, syntax=name
        )  # fmt: skip
    assert outcomes(said, "written") == outcomes(said, "sent") == [True] * len(types), said
    assert all(one["log"] == "" for one in said if "log" in one), said
    assert outcomes(said, "echo") == [True]
    assert kept.echoes == 1
    array = np.load(tmp_path / f"{types.index('Unsigned16Bit')}_0.npy")
    assert np.array_equal(volume_of(kept.objects[types.index("Unsigned16Bit")]), array)
    for number, (received, instance) in enumerate(zip(kept.objects, kept.instances, strict=True)):
        assert volume_of(received).shape == (5, 12, 16)
        assert same([received], written(tmp_path, number)), types[number]
        assert received.SOPInstanceUID == instance
    classes = {one.SOPClassUID for one in kept.objects}
    assert len(classes) == (4 if syntax == EXTENDED else 3), "integers of up to 16, of 32 and of 64 bits, and floats"


def test_its_64_bit_integers_are_asked_for_in_the_extended_syntax_and_refused_in_another(tmp_path: Path) -> None:
    kept, scans = Kept(), [{"type": "Unsigned64Bit", "sections": [SMALL]}]
    with provider(kept, accept_policy()) as server:
        assert outcomes(their_client(server.port, tmp_path, scans=scans), "sent") == [True]
    assert kept.objects[0].file_meta.TransferSyntaxUID == EXTENDED
    explicit = AcceptPolicy(other_contexts=(EXPLICIT,), application_contexts=uids.APPLICATION_CONTEXTS)
    with provider(Kept(), explicit) as server:
        assert outcomes(their_client(server.port, tmp_path, scans=scans), "sent") == [False]


@pytest.mark.parametrize(
    ("compress", "policy", "syntax", "name"),
    [
        (None, accept_policy(), JPEG, "LosslessJPEG"),
        (True, accept_policy(), JPEG, "LosslessJPEG"),
        (None, PLAIN, EXPLICIT, "LittleEndianExplicit"),
        (False, accept_policy(), EXPLICIT, "LittleEndianExplicit"),
        (False, AcceptPolicy(other_contexts=(EXTENDED,), application_contexts=uids.APPLICATION_CONTEXTS), EXTENDED,
         "LittleEndianExplicitExtended"),
        (False, AcceptPolicy(other_contexts=(uids.IMPLICIT_VR_LE,)), uids.IMPLICIT_VR_LE, "LittleEndianImplicit"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "sections",
    [[SMALL], [SMALL, [16, 12, 3]], [SMALL, [8, 6, 4]], [SMALL, [8, 6, 4], [16, 12, 3], [9, 7, 1]]],
    ids=["one section", "two equal ones", "two unequal ones", "four"],
)
def test_sections_in_every_transfer_syntax(
    compress: bool | None, policy: AcceptPolicy, syntax: str, name: str, sections: list[list[int]], tmp_path: Path
) -> None:
    """Sections of one size are one object; others are objects of their own, with the same SOP Instance UID."""
    kept = Kept()
    with provider(kept, policy) as server:
        said = their_client(server.port, tmp_path, scans=[{"sections": sections}], compress=compress, syntax=name)
    assert outcomes(said, "sent") == [True], said
    files = written(tmp_path, 0)
    assert len(files) == len(kept.objects) == len({(width, height) for width, height, _ in sections})
    assert {one.file_meta.TransferSyntaxUID for one in kept.objects} == {syntax}
    assert len(set(kept.instances)) == 1
    volumes = [volume_of(received) for received in kept.objects]  # before `same`, which decodes every value
    assert same(kept.objects, files)
    arrays = [np.load(tmp_path / f"0_{number}.npy") for number in range(len(sections))]
    for found in volumes:
        wanted = [array for array in arrays if array.shape[1:] == found.shape[1:]]
        assert np.array_equal(found, np.concatenate(wanted[::-1])), "it puts the last section first"


@pytest.mark.slow
def test_100_mb(tmp_path: Path) -> None:
    kept = Kept()
    with provider(kept, PLAIN) as server:
        said = their_client(server.port, tmp_path, scans=[{"sections": [[512, 512, 200]]}], compress=False)
    assert outcomes(said, "sent") == [True], said
    assert np.array_equal(volume_of(kept.objects[0]), np.load(tmp_path / "0_0.npy"))
    assert same(kept.objects, written(tmp_path, 0))


def test_it_makes_its_own_connection_for_each_call(tmp_path: Path) -> None:
    """Such a call never compresses."""
    kept = Kept()
    with provider(kept, accept_policy()) as server:
        said = their_client(server.port, tmp_path, scans=[{"sections": [SMALL]}] * 3, apart=True)
        assert outcomes(said, "sent") == [True] * 3, said
        assert outcomes(their_client(server.port, tmp_path, alone=True), "echo") == [True]
    assert [same([received], written(tmp_path, number)) for number, received in enumerate(kept.objects)] == [True] * 3
    assert kept.echoes == 1


def test_all_its_contexts_are_accepted(tmp_path: Path) -> None:
    """It gives up if any of its contexts is refused."""
    kept = Kept()
    flags = ("CT", "AIT2D", "AIT3D", "DXProcessing", "DXPresentation", "QR", "TDR", "Echo", "All")
    with provider(kept, accept_policy()) as server:
        for flag in flags:
            said = their_client(server.port, tmp_path, sop=flag, echo="E" in flag or flag == "All")
            assert outcomes(said, "session") == outcomes(said, "stopped") == [True], (flag, said)
    assert kept.echoes == 2


# -- automatic ---------------------------------------------------------------------------------------------------------


def test_it_is_recognized_once_for_each_association(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    with provider(kept, accept_policy()) as server:
        for _ in range(2):
            their_client(server.port, tmp_path, scans=[{"sections": [SMALL]}])
    recognized = [one for one in kept.deviations if one.recognized]
    assert [(one.name, one.recognized) for one in recognized] == [("uid_invalid_root", STRATOVAN_TOOLKIT.name)] * 2
    assert {one.name for one in kept.deviations} <= set(STRATOVAN.names())
    assert "joined_data_set" in {one.name for one in kept.deviations}
    assert sum("the peer is recognized as Stratovan's toolkit" in text for text in caplog.messages) == 2


@pytest.mark.parametrize("tolerance", ["auto", "stratovan"])
def test_our_command_stores_it(tolerance: str, tmp_path: Path) -> None:
    """Each section becomes a file of its own, and the log says so."""
    folder = tmp_path / "archive"
    folder.mkdir()
    sections = [SMALL, [8, 6, 4], [9, 7, 1]]
    with our_provider("storescp", 0, "-od", folder, "--tolerance", tolerance) as ours:
        said = their_client(ours.port, tmp_path, scans=[{"sections": sections}], syntax="LosslessJPEG", echo=True,
                            sop="CT|Echo")  # fmt: skip
        assert outcomes(said, "sent") == [True], said
    summary = ours.of("summary")[0]
    assert (summary["stored"], summary["echoes"]) == (3, 1)
    assert same([read_dataset(path) for path in folder.iterdir()], written(tmp_path, 0))
    warned = [event["text"] for event in ours.of("log")]
    assert sum("the peer is recognized as Stratovan's toolkit" in text for text in warned) == (tolerance == "auto")
    assert sum("accepted (joined_data_set)" in text for text in warned) == 1
    assert sum("another object has the same SOP Instance UID: both are kept" in text for text in warned) == 2


@pytest.mark.parametrize(
    ("tolerance", "text"),
    [("strict", "begins with invalid arcs"), ("field", "command group length")],
)
def test_it_is_refused_by_name_where_it_is_not_accepted(tolerance: str, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    with our_provider("storescp", 0, "-od", folder, "--tolerance", tolerance, "--max-pdu", 0) as ours:
        said = their_client(ours.port, tmp_path, scans=[{"sections": [SMALL]}], compress=False)
    assert True not in outcomes(said, "sent")
    assert any(text in event["text"] for event in ours.of("log"))
    assert list(folder.iterdir()) == []


# -- who may connect ---------------------------------------------------------------------------------------------------

USERS = {"UserA": "Pass0A"}


@pytest.mark.parametrize(
    ("policy", "plan", "welcome"),
    [
        (identity_policy(Clients.ANONYMOUS), {}, True),
        (identity_policy(Clients.ANONYMOUS), {"user": "UserA"}, False),
        (identity_policy(Clients.NAMED, USERS.keys()), {"user": "UserA"}, True),
        (identity_policy(Clients.NAMED, USERS.keys()), {"user": "UserX"}, False),
        (identity_policy(Clients.NAMED, USERS.keys()), {}, False),
        (identity_policy(Clients.NAMED_WITH_PASSCODE, USERS), {"user": "UserA", "passcode": "Pass0A"}, True),
        (identity_policy(Clients.NAMED_WITH_PASSCODE, USERS), {"user": "UserA", "passcode": "nope"}, False),
        (identity_policy(Clients.NAMED_WITH_PASSCODE, USERS), {"user": "UserA"}, False),
    ],
)
def test_users(policy: Any, plan: dict[str, str], welcome: bool, tmp_path: Path) -> None:
    kept = Kept()
    with provider(kept, accept_policy(identity=policy)) as server:
        said = their_client(server.port, tmp_path, scans=[{"sections": [SMALL]}], **plan)
    assert outcomes(said, "session") == [welcome], said
    assert outcomes(said, "sent") == [True] * welcome
    assert len(kept.objects) == welcome


@pytest.mark.parametrize(
    ("plan", "welcome"),
    [({}, True), ({"source": "NOBODY"}, False), ({"destination": "ELSEWHERE"}, False)],
)
def test_application_names(plan: dict[str, str], welcome: bool, tmp_path: Path) -> None:
    policy = accept_policy(called_aets=["CENTRAL_SERVER"], calling_aets=["CT_SCANNER_1"])
    with provider(Kept(), policy) as server:
        assert outcomes(their_client(server.port, tmp_path, **plan), "session") == [welcome]


def test_tls(tmp_path: Path) -> None:
    """It verifies no certificate, and presents none."""
    subject, kept = hospital(), Kept()
    identity: Identity = subject.rsa_server
    tls = ServerTLS(identity=identity, client_certificates=ClientCertificate.NONE)
    with provider(kept, accept_policy(), tls=tls) as server:
        said = their_client(server.port, tmp_path, scans=[{"sections": [SMALL]}], ssl=True, syntax="LosslessJPEG")
    assert outcomes(said, "sent") == [True], said
    assert same(kept.objects, written(tmp_path, 0))


def test_the_script_ends_by_itself(tmp_path: Path) -> None:
    """A port where nobody listens is an outcome, not a failure of the script."""
    try:
        said = their_client(1, tmp_path)
    except subprocess.TimeoutExpired:
        pytest.fail("the client does not end")
    assert outcomes(said, "connected") == [False]
