"""A path in place of a file, one path in place of several, a str in place of a Path: a clear TypeError."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dicos_proto import Association
from dicos_transports import blocking
from dicos_transports.files import (
    convert_chunks,
    find_files,
    inspect,
    instance,
    padded_chunks,
    plan,
    prepare,
    read_chunks,
    read_whole,
    send_file,
)
from dicos_transports.files.sending import ways
from tests.transports.cli.commands import dicom_file

# The types of these arguments are wrong, which a type checker reports.
# mypy: disable-error-code="arg-type, call-overload"
PATH, WORD = Path("scan.dcm"), "scan.dcm"

MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "inspect": (lambda: inspect(WORD), "inspect('scan.dcm'): str in place of Path; write inspect(Path('scan.dcm'))"),
    "inspect, None": (lambda: inspect(None), "inspect(...): None in place of Path"),
    "find_files, a path": (lambda: [*find_files(PATH, recurse=True)], "find_files(..., ...): PosixPath in place of"),
    "find_files, a word": (
        lambda: [*find_files(WORD, recurse=True)],
        "find_files('scan.dcm', ...): str in place of a list of paths; write [Path('scan.dcm')]",
    ),
    "find_files, words": (
        lambda: [*find_files([WORD], recurse=True)],
        "find_files(['scan.dcm']): str in place of Path; write Path('scan.dcm')",
    ),
    "plan": (lambda: plan([PATH]), "plan(...): PosixPath in place of Part10File; inspect(path) makes one"),
    "ways": (lambda: ways(WORD), "ways(...): str in place of Part10File; inspect(path) makes one"),
    "prepare": (lambda: prepare(Association.acceptor(), PATH), "prepare(...): PosixPath in place of Part10File"),
    "send_file": (
        lambda: send_file(blocking.Session.__new__(blocking.Session), PATH),
        "send_file(...): PosixPath in place of Part10File; inspect(path) makes one",
    ),
    "read_chunks": (lambda: [*read_chunks(PATH)], "read_chunks(...): PosixPath in place of Part10File"),
    "read_whole": (lambda: read_whole(None), "read_whole(...): None in place of Part10File"),
    "convert_chunks": (lambda: [*convert_chunks(PATH, "1.2")], "convert_chunks(...): PosixPath in place of Part10"),
    "padded_chunks": (lambda: [*padded_chunks(PATH)], "padded_chunks(...): PosixPath in place of Part10File"),
    "instance": (
        lambda: instance(WORD),
        "expected an Instance, a Path or a pydicom data set, not str; write Path(...)",
    ),
}


@pytest.mark.parametrize(("call", "text"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_argument_is_refused(call: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError) as error:
        call()
    assert str(error.value).startswith(text)


def test_one_transfer_syntax_in_place_of_several_is_refused(tmp_path: Path) -> None:
    file = inspect(dicom_file(tmp_path / "a.dcm"))
    for call in (lambda: plan([file], only="1.2"), lambda: prepare(Association.acceptor(), file, only="1.2")):
        with pytest.raises(TypeError, match=r"\(only='1.2'\): str in place of a tuple of transfer syntaxes"):
            call()
