"""DCMTK's command-line tools and ours, both ways: C-ECHO, C-STORE of every file at hand, refusals, aborts."""

import os
from pathlib import Path

import pytest

from dicos_proto import propose
from dicos_proto.conversation import flows
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import UNCOMPRESSED
from dicos_transports.blocking import connect
from dicos_transports.files import part10, sending
from tests.interop import peers
from tests.interop.peers import (
    contents,
    dcmtk,
    dcmtk_storescp,
    digest,
    files_in,
    needs_dcmtk,
    our_provider,
    ours,
    shipped_files,
)

pytestmark = [
    pytest.mark.interop,
    needs_dcmtk,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),  # of values in files that are none too well
]

FILES = shipped_files()
EXPLICIT = [file for file in FILES if file.transfer_syntax == uids.EXPLICIT_VR_LE]
PLAIN = (uids.EXPLICIT_VR_LE, uids.IMPLICIT_VR_LE, uids.DEFLATED_EXPLICIT_VR_LE)


def test_the_files_at_hand_are_of_many_transfer_syntaxes() -> None:
    found = {uids.name_of(file.transfer_syntax) for file in FILES}
    print(f"{len(FILES)} files in {len(found)} transfer syntaxes: {', '.join(sorted(found))}")
    assert len(FILES) > 100
    assert len(found) >= 10


# -- ours as the user ------------------------------------------------------------------------------------------------


def test_our_echo(folder: Path) -> None:
    with dcmtk_storescp(folder) as port:
        result = ours("echoscu", "127.0.0.1", port, "--repeat", 3)
        assert (result.returncode, result.stdout) == (0, "")
        assert "3 of 3 C-ECHOs succeeded" in result.stderr
        with connect(("127.0.0.1", port), propose([uids.VERIFICATION])) as session:
            assert session.echo().status == 0


def test_every_file_arrives_as_it_was(folder: Path) -> None:
    """DCMTK keeps the bits (+B) of every transfer syntax (+xa)."""
    with dcmtk_storescp(folder, "+xa", "+B", "-pm") as port:
        result = ours("storescu", "127.0.0.1", port, *[file.path for file in FILES])
    assert result.returncode == 0, result.stderr
    stored = files_in(folder)
    for file in FILES:
        copy = stored[file.sop_instance_uid]
        assert copy.transfer_syntax == file.transfer_syntax
        assert digest(copy) == digest(file), file.path


def test_what_is_accepted_only_in_implicit_vr_is_converted(folder: Path) -> None:
    plain = [file for file in FILES if file.transfer_syntax in PLAIN]
    with dcmtk_storescp(folder, "+xi", "+B", "-pm") as port:
        result = ours("storescu", "127.0.0.1", port, *[file.path for file in plain])
    stored = files_in(folder)
    assert {file.transfer_syntax for file in stored.values()} == {uids.IMPLICIT_VR_LE}
    assert len(stored) == len(plain), result.stderr
    assert result.returncode == 0
    for file in plain:
        copy = stored[file.sop_instance_uid]
        assert contents(copy.path, private=False) == contents(file.path, private=False), file.path


def test_the_api_sends_files_over_one_association(folder: Path) -> None:
    chosen = [file for file in FILES if file.data_length < 20_000][:30]
    (batch,) = sending.plan(chosen)
    with (
        dcmtk_storescp(folder, "+xa", "+B", "-pm") as port,
        connect(("127.0.0.1", port), batch.contexts, calling_aet="SCANNER") as session,
    ):
        assert [sending.send_file(session, file).status for file in batch.files] == [0] * len(chosen)
    assert {uid: digest(file) for uid, file in files_in(folder).items()} == {
        file.sop_instance_uid: digest(file) for file in chosen
    }


@pytest.mark.parametrize("size", [4096, 16384, 131072])
def test_pdus_of_the_size_that_dcmtk_receives(folder: Path, size: int) -> None:
    file = max(FILES, key=lambda one: one.data_length)
    with dcmtk_storescp(folder, "+xa", "+B", "-pm", "--max-pdu", size) as port:
        result = ours("storescu", "-v", "127.0.0.1", port, file.path)
    assert result.returncode == 0, result.stderr
    assert f"maximum PDU length {size} bytes" in result.stderr
    assert digest(files_in(folder)[file.sop_instance_uid]) == digest(file)


def test_a_refusal_is_told_with_its_reason(folder: Path) -> None:
    with dcmtk_storescp(folder, "--refuse") as port:
        result = ours("echoscu", "127.0.0.1", port)
        assert result.returncode == 3
        assert result.stderr.startswith("error: association rejected permanently by the service")
        with pytest.raises(flows.AssociationRejected):
            connect(("127.0.0.1", port), propose([uids.VERIFICATION]))


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during"])
def test_an_abort_is_told_with_its_source(folder: Path, option: str) -> None:
    file = max(FILES, key=lambda one: one.data_length)
    with dcmtk_storescp(folder, "+xa", "-pm", option) as port:
        result = ours("storescu", "127.0.0.1", port, file.path)
    assert result.returncode == 1
    assert "failed: the peer says: association aborted by the service user" in result.stderr


def test_contexts_that_are_refused_are_reported(folder: Path) -> None:
    jpeg = next(file for file in FILES if file.transfer_syntax == uids.JPEG_BASELINE)
    with dcmtk_storescp(folder) as port:  # uncompressed only
        result = ours("storescu", "127.0.0.1", port, jpeg.path)
    assert result.returncode == 1
    assert "with JPEG Baseline (Process 1): " in result.stderr
    assert "propose other syntaxes" in result.stderr


def test_dicos_application_contexts_are_refused_by_dcmtk(folder: Path) -> None:
    with dcmtk_storescp(folder) as port:
        result = ours("echoscu", "127.0.0.1", port, "--application-context", "dicos")
    assert result.returncode == 3
    assert "application context name not supported (1/1/2)" in result.stderr


# -- ours as the provider ----------------------------------------------------------------------------------------------


def test_their_echo(folder: Path) -> None:
    with our_provider("echoscp", 0) as provider:
        result = dcmtk("echoscu", "-v", "127.0.0.1", provider.port, "--repeat", 5)
        assert result.returncode == 0, result.stderr
        result = dcmtk("echoscu", "-pts", 38, "-ppc", 128, "127.0.0.1", provider.port)
        assert result.returncode == 0, result.stderr
        result = dcmtk("echoscu", "--abort", "127.0.0.1", provider.port)
        assert result.returncode == 0, result.stderr
    assert len(provider.of("echo")) == 7


def test_dcmsend_sends_every_file_it_can_read(folder: Path) -> None:
    readable = [file for file in FILES if file.path.name not in MISREAD]
    with our_provider("storescp", 0, "-od", folder) as provider:
        result = dcmtk("dcmsend", "-dn", "-nuc", "+ma", "127.0.0.1", provider.port, *[file.path for file in readable])
    assert result.returncode == 0, result.stderr
    stored = files_in(folder)
    assert len(stored) == len(readable) > 110
    for file in readable:
        if file.path.name != "SC_rgb_small_odd_big_endian.dcm":  # DCMTK swaps the bytes of its OB pixels
            assert contents(stored[file.sop_instance_uid].path) == contents(file.path), file.path


MISREAD = {
    "UN_sequence.dcm": "a private UN of undefined length, which DCMTK reads in another syntax than it is in",
    "rtdose_expb.dcm": "DCMTK finds no SOP class in it",
    "no_meta_group_length.dcm": "DCMTK finds no SOP class in it",
    "priv_SQ.dcm": "DCMTK finds no SOP class in it",
    "rtplan.dcm": "its data set has another SOP Instance UID than its meta information",
    "rtdose.dcm": "its data set has another SOP Instance UID than its meta information",
    "rtdose_rle.dcm": "DCMTK decompresses it although an option forbids it",
}
"""Files that DCMTK 3.6.7 cannot read, and why. We can send them to DCMTK, which then keeps the bits."""

SYNTAX_OPTIONS = {
    uids.EXPLICIT_VR_LE: "-xe",
    uids.IMPLICIT_VR_LE: "-xi",
    uids.EXPLICIT_VR_BE: "-xb",
    uids.DEFLATED_EXPLICIT_VR_LE: "-xd",
    uids.JPEG_BASELINE: "-xy",
    uids.JPEG_EXTENDED: "-xx",
    uids.JPEG_LOSSLESS_SV1: "-xs",
    uids.JPEG_LS_LOSSLESS: "-xt",
    uids.JPEG_LS_NEAR_LOSSLESS: "-xu",
    uids.JPEG_2000_LOSSLESS: "-xv",
    uids.JPEG_2000: "-xw",
    uids.RLE_LOSSLESS: "-xr",
}


@pytest.mark.parametrize("syntax", SYNTAX_OPTIONS, ids=uids.name_of)
def test_storescu_sends_each_transfer_syntax(folder: Path, syntax: str) -> None:
    chosen = [file for file in shipped_files(syntax) if file.path.name not in MISREAD][:4]
    assert chosen
    with our_provider("storescp", 0, "-od", folder) as provider:
        result = dcmtk(
            "storescu", "-R", SYNTAX_OPTIONS[syntax], "127.0.0.1", provider.port, *[file.path for file in chosen]
        )
    assert result.returncode == 0, result.stderr
    stored = files_in(folder)
    for file in chosen:
        copy = stored[file.sop_instance_uid]
        assert copy.transfer_syntax == syntax
        if file.path.name != "SC_rgb_small_odd_big_endian.dcm":  # DCMTK swaps the bytes of its OB pixels
            assert contents(copy.path) == contents(file.path), file.path


def test_storescu_that_aborts_leaves_nothing_behind(folder: Path) -> None:
    file = EXPLICIT[0]
    with our_provider("storescp", 0, "-od", folder) as provider:
        result = dcmtk("storescu", "-R", "--abort", "-xe", "127.0.0.1", provider.port, file.path)
    assert result.returncode == 0
    assert len(list(folder.iterdir())) == 1  # it aborts when everything is sent
    (line,) = provider.of("log")
    assert line["text"].endswith("aborted by the service user")


def test_a_called_title_that_is_not_ours_is_rejected(folder: Path) -> None:
    with our_provider("echoscp", 0, "-aet", "OURS", "--require-called-aet") as provider:
        result = dcmtk("echoscu", "-aec", "THEIRS", "127.0.0.1", provider.port)
        assert result.returncode != 0
        assert "Called AE Title Not Recognized" in result.stderr
        assert dcmtk("echoscu", "-aec", "OURS", "127.0.0.1", provider.port).returncode == 0


@pytest.mark.parametrize("size", [4096, 16384, 131072])
def test_pdus_of_the_size_that_we_receive(folder: Path, size: int) -> None:
    file = max(EXPLICIT, key=lambda one: one.data_length)
    with our_provider("storescp", 0, "-od", folder, "--max-pdu", size) as provider:
        result = dcmtk("storescu", "-R", "-xe", "127.0.0.1", provider.port, file.path)
    assert result.returncode == 0, result.stderr
    assert contents(files_in(folder)[file.sop_instance_uid].path) == contents(file.path)


def test_user_identities_are_taken(folder: Path) -> None:
    with our_provider("storescp", 0, "--ignore") as provider:
        for words in (("-usr", "ada"), ("-usr", "ada", "-pwd", "secret")):
            result = dcmtk("storescu", "-R", "-xe", *words, "127.0.0.1", provider.port, EXPLICIT[0].path)
            assert result.returncode == 0, result.stderr
        words = ("-usr", "ada", "-rsp")  # the certificate was not verified, and is not reported as verified
        result = dcmtk("storescu", "-R", "-xe", *words, "127.0.0.1", provider.port, EXPLICIT[0].path)
        assert "Positive response requested but none received" in result.stderr


def test_small_objects_pass_a_peer_with_nagle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged DCMTK waits for acknowledgements; it has to get them."""
    monkeypatch.setattr(peers, "_dcmtk_environment", lambda: {**os.environ})
    file = min(EXPLICIT, key=lambda one: one.data_length)
    with dcmtk_storescp(folder, "--ignore", "-pm") as port:
        assert ours("storescu", "127.0.0.1", port, file.path, "--repeat", 50).returncode == 0
    with our_provider("storescp", 0, "--ignore") as provider:
        assert dcmtk("storescu", "-R", "-xe", "127.0.0.1", provider.port, "--repeat", 50, file.path).returncode == 0
    assert len(provider.of("stored")) == 50


def test_inspect_reads_what_dcmtk_wrote(folder: Path) -> None:
    with dcmtk_storescp(folder, "-pm") as port:
        file = EXPLICIT[0]
        assert ours("storescu", "127.0.0.1", port, file.path).returncode == 0
    (copy,) = folder.iterdir()
    assert part10.inspect(copy).transfer_syntax in UNCOMPRESSED
