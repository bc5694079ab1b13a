"""Send a scanner's volume and real files to an archive, and compare the stored files with the sent ones.

    make demo

Starts `dicos storescp` on a free port of 127.0.0.1, makes a DICOS CT of a phantom suitcase (512 x 512 x 200, 16 bit),
sends it with `dicos storescu` together with files that pydicom ships, shows the negotiated contexts, the rates and the
stored files, compares every stored data set with its source, and stops.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom
from phantom import make_ct

from dicos_proto.registry.uids import name_of
from dicos_transports.files import finding, part10

DICOS = [sys.executable, "-m", "dicos_transports.cli"]
FRAMES = 200
FILES = ("CT_small.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "JPGExtended.dcm", "rtplan.dcm")
PATIENCE = 60  # seconds


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="dicos-demo-") as name:
        folder = Path(name)
        outgoing, archive = folder / "outgoing", folder / "archive"
        outgoing.mkdir()
        archive.mkdir()
        heading(f"A DICOS CT of a phantom suitcase, 512 x 512 x {FRAMES}, 16 bit")
        begun = time.perf_counter()
        make_ct(outgoing / "suitcase.dcs", frames=FRAMES)
        size = (outgoing / "suitcase.dcs").stat().st_size
        print(f"{size / 1e6:.1f} MB made in {time.perf_counter() - begun:.1f} s")
        shipped = Path(pydicom.__file__).parent / "data" / "test_files"
        for name in FILES:
            shutil.copy(shipped / name, outgoing)
        os.chdir(folder)
        return demonstrate(Path("outgoing"), Path("archive"))


def demonstrate(outgoing: Path, archive: Path) -> int:
    heading("dicos storescp: an archive on a free port")
    with subprocess.Popen(
        [*DICOS, "storescp", "0", "-aet", "ARCHIVE", "-od", str(archive), "--json"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            port = str(json.loads(server.stdout.readline())["port"])
            heading("dicos echoscu: does it answer?")
            run("echoscu", "127.0.0.1", port, "-aec", "ARCHIVE")
            heading("dicos storescu: the volume and real files, over one association")
            failed = run("storescu", "-v", "--progress", "127.0.0.1", port, "-aec", "ARCHIVE", "-r", str(outgoing))
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()
    return compare(outgoing, archive) or failed


def run(*words: str) -> int:
    sys.stdout.flush()
    return subprocess.run([*DICOS, *words], timeout=PATIENCE, check=False).returncode


def compare(outgoing: Path, archive: Path) -> int:
    heading("The stored data sets, compared with the sent ones")
    sent, stored = (
        {file.sop_instance_uid: file for file in map(part10.inspect, finding.find_files([folder], recurse=True))}
        for folder in (outgoing, archive)
    )
    different = 0
    for uid, file in sent.items():
        copy = stored.get(uid)
        same = copy is not None and digest(copy) == digest(file)
        different += not same
        what = "the same data set" if same else "DIFFERENT" if copy else "MISSING"
        kind, syntax = name_of(file.sop_class_uid), name_of(file.transfer_syntax)
        print(f"{file.data_length / 1e6:9.3f} MB  {kind:<24} {syntax}: {what}")
    print(f"{len(sent) - different} of {len(sent)} data sets are the same, byte for byte")
    return 1 if different else 0


def digest(file: part10.Part10File) -> bytes:
    """The digest of the data set, with the padding that one of these files lacks and the sender adds [PS3.5 A.5]."""
    found = hashlib.sha256()
    for piece in part10.read_chunks(file):
        found.update(piece)
    if file.data_length % 2:
        found.update(b"\0")
    return found.digest()


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
