"""DICOS objects of pyDICOS 1.3.0 read by ours, and ours read by it: the same values, and no error in its log.

Its wheel is for CPython 3.8 to 3.11 on Linux x86_64: `tools/peers.sh` puts it into a virtual environment of its own.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicos_proto.dicos import CT, DX, DicosObject, Place, Section, Severity
from dicos_proto.dicos.pixels import Array
from dicos_proto.registry import uids
from dicos_transports.dicos import read_file, stamp, write_file
from tests.interop.peers import PATIENCE

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicos-proto" / "pydicos"
PYTHON = Path(os.environ.get("PYDICOS_VENV") or CACHE) / "bin" / "python"
SCRIPT = Path(__file__).with_name("pydicos_object_files.py")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"pyDICOS is not installed: no {PYTHON}"),
]

Said = dict[str, Any]
DTYPES = {
    "uint8": "enumUnsigned8Bit", "int8": "enumSigned8Bit", "uint16": "enumUnsigned16Bit", "int16": "enumSigned16Bit",
    "uint32": "enumUnsigned32Bit", "int32": "enumSigned32Bit", "uint64": "enumUnsigned64Bit",
    "int64": "enumSigned64Bit", "float32": "enumFloat",
}  # fmt: skip
SYNTAXES = (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED)


def run(*words: object) -> list[Said]:
    done = subprocess.run(
        [PYTHON, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Said]]:
    folder = tmp_path_factory.mktemp("pydicos")
    return folder, run("write", folder)


def volume(dtype: str, shape: tuple[int, ...] = (3, 4, 6)) -> Array:
    return (np.arange(np.prod(shape)) % 100).reshape(shape).astype(dtype)


# -- its objects -----------------------------------------------------------------------------------------------------


def test_its_objects_are_read(theirs: tuple[Path, list[Said]]) -> None:
    folder, written = theirs
    assert len(written) == 59
    names = [name for said in written for name in said["files"]]
    own = dict(zip(names, run("read", *(f"{name.partition('_')[0]}:{folder / name}" for name in names)), strict=True))
    for said in written:
        assert said["ok"], said
        for name in said["files"]:
            one = read_file(folder / name)
            assert isinstance(one, DX if name.startswith("dx_") else CT)
            assert one.validate() == [], name
            assert one.acquisition_status == "SUCCESSFUL"
            for section, read in zip(sections_of(one), own[name]["sections"], strict=True):
                assert read["values"] in (None, section.tobytes().hex()), name
                assert (list(section.shape), DTYPES[str(section.dtype)]) == (read["shape"], read["type"])
            if isinstance(one, CT):
                assert (one.spacing, one.position[:2], one.energy) == ((1, 2, 3), (10, 20), "LOW ENERGY")
                assert one.sop_classes[one.sop_class_uid].startswith(said["kind"])


def sections_of(one: DicosObject) -> list[Array]:
    return [one.image] if isinstance(one, DX) else [section.volume for section in one.sections]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["equal", "contiguous", "longer", "unequal"])
def test_its_sections_are_found(theirs: tuple[Path, list[Said]], name: str) -> None:
    folder, written = theirs
    (said,) = (one for one in written if one["files"][0].startswith(f"ct_sections_{name}"))
    found = [section for file in said["files"] for section in read_file(folder / file).sections]  # type: ignore[attr-defined]
    order = [0, 1] if name == "unequal" else [1, 0]  # the last one comes first in an object
    for section, index in zip(found, order, strict=True):
        assert section.volume.tobytes().hex() == said["values"][index]
        assert (section.position, section.spacing) == ((10, 20, said["positions"][index]), (1, 2, 3))
    if name == "unequal":
        first, second = (read_file(folder / file) for file in said["files"])
        assert first.sop_instance_uid == second.sop_instance_uid


# -- ours ------------------------------------------------------------------------------------------------------------


def test_our_volumes_are_read_by_it(tmp_path: Path) -> None:
    made: list[tuple[Path, Array, str]] = []
    for dtype in DTYPES:
        for kind in ("standard", "raw", "corrected"):
            for syntax in SYNTAXES:
                if "64" in dtype and syntax != uids.DICOS_EXPLICIT_VR_LE_EXTENDED:
                    continue
                path, given = tmp_path / f"{dtype}_{kind}_{len(made)}.dcs", volume(dtype)
                ct = CT.new(given, ooi_id="BAG-1", stamp=stamp(), kind=kind, spacing=(1, 2, 3), position=(-1, 0.5, 9))
                write_file(ct, path, transfer_syntax=syntax)
                made.append((path, given, DTYPES[dtype]))
    for (path, given, data_type), said in zip(made, run("read", *(f"ct:{path}" for path, *_ in made)), strict=True):
        assert said["ok"], (path.name, said["log"])
        assert said["log"] == ""
        (section,) = said["sections"]
        assert section["values"] in (None, given.tobytes().hex())
        expected = {"type": data_type, "shape": [3, 4, 6], "position": [-1, 0.5, 9], "spacing": [1, 2, 3]}
        assert section == {**expected, "values": section["values"]}


def test_our_sections_are_read_by_it(tmp_path: Path) -> None:
    def sections(*places: Place) -> list[Section]:
        return [Section(volume=volume("uint16") + index, place=place) for index, place in enumerate(places)]

    made = [
        sections(Place(), Place(position=(0, 0, 3))),  # the second continues the first
        sections(Place(), Place(position=(0, 0, 30)), Place(position=(9, 0, 60))),
        sections(Place(spacing=(1, 1, 2)), Place(spacing=(2, 2, 4))),
        sections(Place(slope=2), Place(position=(0, 0, 30))),
    ]
    paths = [tmp_path / f"{number}.dcs" for number in range(len(made))]
    for path, given in zip(paths, made, strict=True):
        (ct,) = CT.new(sections=given, ooi_id="BAG-1", stamp=stamp())
        write_file(ct, path)
    for given, said in zip(made, run("read", *(f"ct:{path}" for path in paths)), strict=True):
        assert (said["ok"], said["log"]) == (True, "")
        assert [one["values"] for one in said["sections"]] == [one.volume.tobytes().hex() for one in given[::-1]]
        assert [tuple(one["position"]) for one in said["sections"]] == [one.position for one in given[::-1]]


def test_our_x_rays_are_read_by_it(tmp_path: Path) -> None:
    made = []
    for dtype in ("uint8", "uint16", "uint32", "uint64", "float32"):
        for intent in ("presentation", "processing"):
            path, given = tmp_path / f"{dtype}_{intent}.dcs", volume(dtype, (6, 8))
            syntax = uids.DICOS_EXPLICIT_VR_LE_EXTENDED if dtype == "uint64" else uids.EXPLICIT_VR_LE
            write_file(DX.new(given, ooi_id="BAG-1", stamp=stamp(), intent=intent), path, transfer_syntax=syntax)
            made.append((path, given, DTYPES[dtype]))
    for (path, given, data_type), said in zip(made, run("read", *(f"dx:{path}" for path, *_ in made)), strict=True):
        assert (said["ok"], said["log"]) == (True, ""), path.name
        (section,) = said["sections"]
        assert (section["type"], section["shape"]) == (data_type, [6, 8])
        assert section["values"] in (None, given.tobytes().hex())


# -- its rules -------------------------------------------------------------------------------------------------------


def test_what_it_refuses_is_a_finding(tmp_path: Path) -> None:
    """One file for each attribute at the top of our CT and DX, without it: if it cannot be read, we find that."""
    made = []
    for kind, whole in (
        ("ct", CT.new(volume("uint16"), ooi_id="BAG-1", stamp=stamp())),
        ("dx", DX.new(volume("uint16", (6, 8)), ooi_id="BAG-1", stamp=stamp(), intent="processing")),
    ):
        for tag in [element.tag for element in whole.dataset if element.tag not in (0x00080016, 0x00080018)]:
            held = whole.dataset[tag]
            del whole.dataset[tag]
            path = tmp_path / f"{kind}_{tag:08X}.dcs"
            write_file(whole, path)
            made.append((kind, path, whole.validate()))
            whole.dataset.add(held)
    said = run("read", *(f"{kind}:{path}" for kind, path, _ in made))
    for (_, path, found), answer in zip(made, said, strict=True):
        if not answer["ok"] or "Error" in answer["log"]:
            assert found, (path.name, answer["log"])
        elif found:  # it is more lenient than the headers and DICOM, which then agree
            assert {one.severity for one in found} == {Severity.ERROR}, path.name
