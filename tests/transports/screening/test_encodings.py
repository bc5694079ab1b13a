"""The station takes scans in every transfer syntax of DICOS, and talks to pyDICOS as scanner and as destination."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

pytest.importorskip("hypercorn")
pytest.importorskip("imagecodecs")
from dicos_proto.dicos import CT, DX
from dicos_proto.dicos.profile import Compression
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports import blocking
from dicos_transports.dicos import send, stamp, write_file
from dicos_transports.files import inspect, send_file
from tests.interop.pydicos_network import needs_pydicos, outcomes, their_client, their_server
from tests.transports.screening.stations import destination, scan_file, station, until

SYNTAXES = (
    uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.JPEG_LOSSLESS_SV1,
    uids.RLE_LOSSLESS,
)  # fmt: skip


def bag(number: int) -> CT:
    """A bag with 110 cm3 of something dense."""
    volume = np.zeros((40, 48, 56), np.uint16)
    volume[10:34, 12:36, 8:32] = 650
    return CT.new(volume, ooi_id=f"BAG-{number}", stamp=stamp(), spacing=(2.0, 2.0, 2.0))


def with_rle(ct: CT, path: Path) -> Path:
    """The CT in RLE, which is not what `send` compresses to."""
    write_file(ct, path)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    return path


def test_every_transfer_syntax(tmp_path: Path) -> None:
    with destination() as goal, station(tmp_path / "s", "--report-to", goal.name) as running:
        for number, syntax in enumerate(SYNTAXES):
            contexts = propose([uids.DICOS_CT], (syntax,))
            how = Compression.PREFERRED if number > 2 else Compression.FORBIDDEN
            with blocking.connect(("127.0.0.1", running.port), contexts) as session:
                if syntax == uids.RLE_LOSSLESS:
                    answer = send_file(session, inspect(with_rle(bag(number), tmp_path / "rle.dcs")))
                else:
                    answer = send(session, bag(number), compression=how)
                assert answer.status == 0, syntax
        found = running.done(len(SYNTAXES))
    assert [scan["decision"] for scan in found] == ["ALARM"] * len(SYNTAXES), found
    assert [len(scan["threats"]) for scan in found] == [1] * len(SYNTAXES)
    assert [scan["error"] for scan in found] == [None] * len(SYNTAXES)
    assert {str(report.ThreatSequence[0].PTORepresentationSequence[0].ThreatROIVoxelSequence[0].ThreatROIBase)
            for report in goal.reports} == {"[8.0, 12.0, 10.0]"}  # fmt: skip


def test_an_image_is_not_made_for_the_threshold(tmp_path: Path) -> None:
    image = DX.new(np.full((30, 40), 7, np.uint16), ooi_id="BAG-1", stamp=stamp())
    with destination() as goal, station(tmp_path / "s", "--report-to", goal.name) as running:
        contexts = propose([image.sop_class_uid])
        with blocking.connect(("127.0.0.1", running.port), contexts) as session:
            assert send(session, image).status == 0
        (scan,) = running.done(1)
        assert scan["error"] == "the threshold recogniser needs a volume; this is an image"
        assert scan["picture"]
    (report,) = goal.reports
    assert (report.AbortFlag, report.AlarmDecision, report.AbortReason) == ("ABORT", "UNKNOWN", "UNKNOWN_DATATYPE")


@pytest.mark.interop
@needs_pydicos
@pytest.mark.slow  # several runs of pyDICOS
def test_pydicos_is_a_scanner(tmp_path: Path) -> None:
    scans = [{"sections": [[16, 12, 5]]}, {"sections": [[16, 12, 5], [20, 10, 4]]}]
    with station(tmp_path / "s", "--recogniser", "nothing") as running:
        for compress in (False, None):
            said = their_client(running.port, tmp_path, scans=scans, sop="All", echo=True, compress=compress)
            assert outcomes(said, "sent") == [True, True], (said, running.said)
        found = running.done(6)  # sections of different sizes are objects of their own, under one UID
        assert {scan["state"] for scan in found} == {"reported"}
        assert {scan["ooi_id"] for scan in found} == {"BAG0001"}


@pytest.mark.interop
@needs_pydicos
@pytest.mark.slow
def test_pydicos_is_a_destination(tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, log):
        to = f"CENTRAL_SERVER@127.0.0.1:{port}"
        words = "--report-to", to, "--report-context", "dicos", "--recogniser", "nothing"
        with station(tmp_path / "s", *words) as running:
            running.store(scan_file(tmp_path, 1))
            until(lambda: running.done(1))
            running.stop()
    assert log.is_clean(), log.text
