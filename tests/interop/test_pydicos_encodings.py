"""pyDICOS 1.3.0 reads the transfer syntaxes that we convert to, and we read those that it writes.

Its wheel is in a virtual environment of its own (`tools/peers.sh`); `pydicos_objects.py` runs there. All objects are
synthetic. Its 64-bit classes are here in the extended syntax only: elsewhere it writes OD with a header that is not
DICOM's, 64 bits of length after the VR, or after the tag in implicit VR.
"""

import subprocess
from pathlib import Path

import pytest

from dicos_proto.data import decode_object, transcode
from dicos_proto.registry import uids
from dicos_transports.files import Part10File, convert_chunks, inspect
from dicos_transports.files.writer import file_header
from tests.interop.pydicos_peer import PYTHON, SCRIPT

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"pyDICOS is not installed: no {PYTHON}"),
]

EXPLICIT, IMPLICIT = uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE
EXTENDED, JPEG, RLE = uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS
NAMES = {
    "LittleEndianExplicit": EXPLICIT,
    "LittleEndianExplicitExtended": EXTENDED,
    "LittleEndianImplicit": IMPLICIT,
    "LosslessJPEG": JPEG,
    "LosslessRLE": RLE,
}
KINDS = ("Unsigned8Bit", "Signed8Bit", "Unsigned16Bit", "Signed16Bit", "Unsigned32Bit", "Unsigned64Bit", "Float")
PLAIN = tuple(NAMES)[:3]


def run(*words: str) -> list[str]:
    done = subprocess.run([PYTHON, SCRIPT, *words], capture_output=True, text=True, timeout=120, check=True)
    return [line for line in done.stdout.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    assert all(line.startswith("True") for line in run("make", str(folder)))
    return folder


def put(folder: Path, file: Part10File, syntax: str, data: bytes) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.dcs"
    path.write_bytes(file_header(file.sop_class_uid, file.sop_instance_uid, syntax) + data)
    return path


def data_of(file: Part10File) -> bytes:
    return file.path.read_bytes()[file.data_offset :]


@pytest.mark.parametrize("kind", KINDS)
def test_its_transfer_syntaxes_convert_into_each_other_byte_for_byte(theirs: Path, kind: str) -> None:
    names = [name for name in PLAIN if kind != "Unsigned64Bit" or NAMES[name] == EXTENDED]
    files = {name: inspect(theirs / f"{kind}_{name}.dcs") for name in names}
    for name, file in files.items():
        assert file.transfer_syntax == NAMES[name]
        for other, wanted in files.items():
            made = b"".join(convert_chunks(file, NAMES[other]))
            if "8Bit" in kind and NAMES[name] == IMPLICIT != NAMES[other]:
                made = made.replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0OB")  # DICOM allows both for 8 bits
            assert made == data_of(wanted), (name, other)


def test_it_reads_what_is_converted(theirs: Path, tmp_path: Path) -> None:
    pairs, wanted = [], []
    for kind in KINDS:
        for name in PLAIN:
            for syntax in (EXPLICIT, EXTENDED, IMPLICIT):
                if kind == "Unsigned64Bit" and {syntax, NAMES[name]} != {EXTENDED}:
                    continue
                file = inspect(theirs / f"{kind}_{name}.dcs")
                made = put(tmp_path, file, syntax, b"".join(convert_chunks(file, syntax)))
                pairs += [str(made), str(made.with_suffix(".again.dcs"))]
                wanted.append(theirs / f"{kind}_LittleEndianExplicitExtended.dcs")
    assert all(line.startswith("True") for line in run("again", "LittleEndianExplicitExtended", *pairs))
    for again, original in zip(pairs[1::2], wanted, strict=True):
        one, other = inspect(Path(again)), inspect(original)
        assert one.transfer_syntax == EXTENDED
        assert decode_object(data_of(one), EXTENDED) == decode_object(data_of(other), EXTENDED)


@pytest.mark.parametrize("kind", ["Unsigned8Bit", "Signed8Bit", "Unsigned16Bit", "Signed16Bit"])
def test_its_compressed_files_decompress_to_its_uncompressed_ones(theirs: Path, kind: str) -> None:
    for name in ("LosslessJPEG", "LosslessRLE"):
        file = inspect(theirs / f"{kind}_{name}.dcs")
        for plain in PLAIN:
            wanted = data_of(inspect(theirs / f"{kind}_{plain}.dcs"))
            assert b"".join(convert_chunks(file, NAMES[plain])) == wanted, (name, plain)


def test_it_reads_what_is_compressed(theirs: Path, tmp_path: Path) -> None:
    pairs, wanted = [], []
    for kind in ("Unsigned8Bit", "Signed8Bit", "Unsigned16Bit", "Signed16Bit"):
        for name in NAMES:
            for syntax in (JPEG, RLE):
                file = inspect(theirs / f"{kind}_{name}.dcs")
                made = put(tmp_path, file, syntax, b"".join(convert_chunks(file, syntax)))
                pairs += [str(made), str(made.with_suffix(".again.dcs"))]
                wanted.append(theirs / f"{kind}_LittleEndianExplicit.dcs")
    assert all(line.startswith("True") for line in run("again", "LittleEndianExplicit", *pairs))
    for again, original in zip(pairs[1::2], wanted, strict=True):
        one, other = (decode_object(data_of(inspect(Path(path))), EXPLICIT) for path in (again, original))
        assert one == other


def test_the_data_sets_it_sent_convert_into_each_other() -> None:
    folder = Path(__file__).resolve().parents[3] / "shared" / "captures" / "pydicos" / "datasets"
    if not folder.is_dir():
        pytest.skip(f"no captures of pyDICOS in {folder}")
    data = {
        EXPLICIT: (folder / "ct_exp.ds").read_bytes(),
        EXTENDED: (folder / "ct_ext64.ds").read_bytes(),
        IMPLICIT: (folder / "ct_imp.ds").read_bytes(),
    }
    for from_ts, given in data.items():
        for to_ts in data:
            made = b"".join(transcode.convert(lambda: iter_of(given), from_ts, to_ts, sop_class_uid=uids.DICOS_CT))  # noqa: B023
            assert [one.tag for one in decode_object(made, to_ts)] == [one.tag for one in decode_object(given, from_ts)]
            assert decode_object(made, to_ts).PixelData == decode_object(given, from_ts).PixelData


def iter_of(data: bytes):  # type: ignore[no-untyped-def]
    yield data
