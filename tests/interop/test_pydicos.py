"""Ours as the user of pyDICOS' server: every SOP class, every transfer syntax, names, users and contexts, TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicos_proto.conversation import flows
from dicos_proto.dicos import CT, DX, TDR, DicosObject
from dicos_proto.dicos.profile import (
    APPLICATION_CONTEXTS,
    Compression,
    Family,
    contexts_for,
    sop_classes,
    user_identity,
)
from dicos_proto.registry import uids
from dicos_proto.timers import Timeouts
from dicos_proto.tolerance import FIELD, STRATOVAN, STRICT
from dicos_proto.upper_layer.negotiation import number_contexts, propose
from dicos_proto.upper_layer.pdu_types import UserInformation
from dicos_proto.upper_layer.recognition import AUTOMATIC, STRATOVAN_TOOLKIT
from dicos_transports.blocking import Session, connect
from dicos_transports.dicos import Destination, fan_out, read_file, send, stamp
from dicos_transports.dicos.part10 import read_dataset
from dicos_transports.files import inspect, send_file
from dicos_transports.tls import ClientTLS
from tests.dicos.reports import new_ct, new_threat
from tests.interop.peers import ours
from tests.interop.pydicos_network import HERE, needs_pydicos, their_client, their_server
from tests.interop.pydicos_peer import PYTHON
from tests.transports.certificates import hospital, write_all

pytestmark = [pytest.mark.interop, needs_pydicos]

CAPTURED = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "captures" / "pydicos" / "datasets"
DICOS, CT16, ECHO = uids.DICOS_APPLICATION_CONTEXT_V03, uids.DICOS_CT, uids.VERIFICATION
EXPLICIT, EXTENDED, IMPLICIT = uids.EXPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.IMPLICIT_VR_LE
JPEG = uids.JPEG_LOSSLESS_SV1
ANSWERED = {"answer_item_length", "unasked_identity_response"}
QUICK = Timeouts(artim=1.0)


def ask(port: int, contexts: Any = None, **options: Any) -> Session:
    contexts = contexts_for(Family.ALL) if contexts is None else contexts
    return connect(
        ("127.0.0.1", port), contexts,
        **{"tolerance": AUTOMATIC, "called_aet": "CENTRAL_SERVER", "application_context": DICOS, **options},
    )  # fmt: skip


def as_user(name: str, passcode: str | None = None) -> UserInformation:
    return UserInformation(user_identity=user_identity(name, passcode))


# -- associations ------------------------------------------------------------------------------------------------------


def test_it_is_recognized_and_answers_an_echo(tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, log):
        for application in APPLICATION_CONTEXTS:
            with ask(port, application_context=application) as session:
                assert [session.echo().status for _ in range(3)] == [0, 0, 0]
                assert {one.name for one in session.deviations} == ANSWERED
                recognized = [one.name for one in session.deviations if one.recognized == STRATOVAN_TOOLKIT.name]
                assert recognized == ["answer_item_length"]
    assert log.is_clean(), log.text


@pytest.mark.parametrize("tolerance", ["auto", "stratovan"])
def test_our_command_asks_for_an_echo(tolerance: str, tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, log):
        result = ours("echoscu", "127.0.0.1", port, "--application-context", "dicos", "--tolerance", tolerance)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("accepted (answer_item_length): presentation context item of ") == 1
    assert result.stderr.count("the peer is recognized as Stratovan's toolkit") == (tolerance == "auto")
    assert log.is_clean(), log.text


@pytest.mark.parametrize("family", [one for one in Family if one.name != "ALL"], ids=lambda one: one.name)
def test_every_sop_class_is_accepted(family: Family, tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, log):
        for apart in (False, True):
            with ask(port, contexts_for(family | Family.ECHO, apart=apart)) as session:
                assert session.refused == ()
                accepted = {one.abstract_syntax for one in session.contexts.values()}
                assert accepted == set(sop_classes(family | Family.ECHO))
                assert session.echo().status == 0
    assert log.is_clean(), log.text


@pytest.mark.parametrize(
    ("compression", "syntaxes"),
    [(Compression.PREFERRED, {JPEG}), (Compression.ALLOWED, {JPEG}), (Compression.FORBIDDEN, {EXTENDED})],
)
def test_it_chooses_the_transfer_syntax(compression: Compression, syntaxes: set[str], tmp_path: Path) -> None:
    """It prefers compression wherever that is proposed, and then the extended syntax."""
    with their_server(tmp_path) as (port, _), ask(port, contexts_for(Family.CT, compression)) as session:
        chosen = {one.transfer_syntax for one in session.contexts.values() if one.abstract_syntax == CT16}
        assert chosen == syntaxes


def test_contexts_it_does_not_answer_are_refused(tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, _):
        contexts = number_contexts([(ECHO, (EXPLICIT,)), (CT16, (uids.RLE_LOSSLESS,))])
        with ask(port, contexts) as session:
            assert [(one.id, one.result) for one in session.refused] == [(3, None)]
            assert {one.name for one in session.deviations} == {*ANSWERED, "contexts_unanswered"}
            assert session.echo().status == 0


def test_its_silence_ends_at_a_deadline(tmp_path: Path) -> None:
    """It does not answer a request without a context that it accepts."""
    with their_server(tmp_path) as (port, _):
        brief = Timeouts(association=0.5, artim=0.5)
        with pytest.raises(
            flows.AssociationAborted, match=r"association: waiting for the answer: nothing within 0\.5 s"
        ):
            ask(port, propose([uids.DICOS_TDR], (JPEG,)), timeouts=brief)


# -- rejections --------------------------------------------------------------------------------------------------------


def test_it_rejects_wrong_names_and_contexts(tmp_path: Path) -> None:
    with their_server(tmp_path, names=True) as (port, _):
        with pytest.raises(flows.AssociationRejected, match=r"calling AE title not recognized \(1/1/3\)"):
            ask(port, calling_aet="NOBODY")
        with pytest.raises(flows.AssociationRejected) as caught:
            ask(port, called_aet="SOMEBODY", calling_aet="ClientAppA")
        assert (caught.value.reject.source, caught.value.reject.reason) == (1, 4), "a reserved reason, not 7"
        with pytest.raises(flows.AssociationRejected, match=r"application context name not supported \(1/1/2\)"):
            ask(port, application_context=uids.DICOM_APPLICATION_CONTEXT, calling_aet="ClientAppA")
        with ask(port, calling_aet="ClientAppA") as session:
            assert session.echo().status == 0


def outcome(port: int, information: UserInformation | None) -> tuple[int, int, int] | int:
    """Returns the status of an echo by this user, or how it rejects it."""
    try:
        with ask(port, user_information=information) as session:
            return session.echo().status
    except flows.AssociationRejected as error:
        return error.reject.result, error.reject.source, error.reject.reason


@pytest.mark.parametrize(
    ("options", "welcome", "unwelcome"),
    [
        ({}, [None], [as_user("UserA"), as_user("UserA", "Pass0A")]),
        ({"user": True}, [], [None, as_user("UserA"), as_user("UserX"), as_user("UserA", "Pass0A")]),
        ({"passcode": True}, [as_user("UserA", "Pass0A")], [None, as_user("UserA"), as_user("UserA", "nope")]),
    ],
    ids=["nobody", "a user", "a user with a passcode"],
)
def test_it_rejects_wrong_users(
    options: dict[str, bool],
    welcome: list[UserInformation | None],
    unwelcome: list[UserInformation | None],
    tmp_path: Path,
) -> None:
    """The one check of user names that it has in Python accepts nobody, its own client included."""
    with their_server(tmp_path, **options) as (port, _):
        assert [outcome(port, one) for one in welcome] == [0] * len(welcome)
        assert [outcome(port, one) for one in unwelcome] == [(1, 2, 1)] * len(unwelcome)


@pytest.mark.parametrize("tolerance", [STRICT, FIELD], ids=["strict", "field"])
def test_its_answer_is_refused_by_name_where_it_is_not_accepted(tolerance: Any, tmp_path: Path) -> None:
    refused = pytest.raises(flows.AssociationAborted, match="counts the 4 of its own header")
    with their_server(tmp_path) as (port, _), refused:
        ask(port, tolerance=tolerance, timeouts=QUICK)


# -- storing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "syntax"),
    [
        (dtype, syntax)
        for dtype in ("u1", "<u2", "<i2", "<u4", "<i4", "<f4")
        for syntax in (EXPLICIT, EXTENDED, IMPLICIT)
    ]
    + [("<u8", EXTENDED), ("<i8", EXTENDED)],
)
def test_it_reads_our_ct_of_every_kind(dtype: str, syntax: str, tmp_path: Path) -> None:
    """It answers success to anything; its log shows whether it could read it.

    It reads 64 bits of length of OD in every transfer syntax, so 64-bit integers can be sent in the extended one only.
    """
    volume = np.arange(960).reshape(5, 12, 16).astype(dtype)
    with their_server(tmp_path) as (port, log):
        for kind in ("standard", "raw", "corrected"):
            ct = CT.new(volume, ooi_id="BAG0001", stamp=stamp(), kind=kind)
            with ask(port, propose([ct.sop_class_uid], (syntax,))) as session:
                assert [send(session, ct).status for _ in range(2)] == [0, 0]
    assert log.is_clean(), log.text


def test_it_reads_what_it_wrote_in_every_syntax(tmp_path: Path) -> None:
    subprocess.run([PYTHON, HERE / "pydicos_objects.py", "make", tmp_path], check=True, capture_output=True)
    files = [path for path in sorted(tmp_path.glob("*.dcs")) if not path.stem.endswith("RLE")]
    assert len(files) > 20
    with their_server(tmp_path) as (port, log):
        for path in files:
            file = inspect(path)
            with ask(port, propose([file.sop_class_uid], (file.transfer_syntax,))) as session:
                assert send_file(session, file).status == 0
                if path.stem.startswith("Unsigned16Bit") and not path.stem.endswith("JPEG"):
                    assert send(session, read_file(path)).status == 0
    assert log.is_clean(), log.text


@pytest.mark.parametrize("syntax", [EXPLICIT, EXTENDED, IMPLICIT])
def test_it_reads_our_x_rays_and_reports(syntax: str, tmp_path: Path) -> None:
    ct = new_ct()
    made: list[DicosObject] = [TDR.new(ct, [new_threat(ct, probability=0.75)], stamp=stamp())]
    for dtype in ("u1", "<u2", "<u4", "<f4"):
        image = np.arange(48).reshape(6, 8).astype(dtype)
        for intent in ("presentation", "processing"):
            made.append(DX.new(image, ooi_id="BAG0001", stamp=stamp(), intent=intent))
    assert len({one.sop_class_uid for one in made}) == 7
    contexts = propose({one.sop_class_uid for one in made}, (syntax,))
    with their_server(tmp_path) as (port, log), ask(port, contexts) as session:
        assert [send(session, one).status for one in made] == [0] * len(made)
    assert log.is_clean(), log.text


@pytest.mark.parametrize("what", ["not a data set", "no rows"])
def test_its_log_shows_what_it_cannot_read(what: str, tmp_path: Path) -> None:
    """It answers success, so the log is what the other tests judge by."""
    ct = CT.new(np.zeros((2, 4, 6), "<u2"), ooi_id="BAG0001", stamp=stamp())
    del ct.dataset.Rows
    with their_server(tmp_path) as (port, log), ask(port, propose([CT16], (EXPLICIT,))) as session:
        if what == "no rows":
            assert send(session, ct).status == 0
        else:
            assert session.store(CT16, "1.2.3", EXPLICIT, b"\xff" * 400).status == 0
    assert not log.is_clean()


def test_it_reads_its_report(tmp_path: Path) -> None:
    their_client(1, tmp_path, tdr=True)
    file = inspect(tmp_path / "tdr.dcs")
    assert file.sop_class_uid == uids.DICOS_TDR
    with their_server(tmp_path) as (port, log):
        for syntax in (EXPLICIT, EXTENDED, IMPLICIT):
            with ask(port, propose([uids.DICOS_TDR], (syntax,))) as session:
                assert send(session, read_dataset(file.path)).status == 0
    assert log.is_clean(), log.text


@pytest.mark.skipif(not CAPTURED.is_dir(), reason=f"no captured data sets in {CAPTURED}")
@pytest.mark.parametrize(
    ("name", "sop_class", "syntax"),
    [
        ("ct_exp", CT16, EXPLICIT),
        ("ct_ext64", CT16, EXTENDED),
        ("ct_imp", CT16, IMPLICIT),
        ("ct_jpeg", CT16, JPEG),
        ("dx_exp", uids.DICOS_DX_FOR_PRESENTATION, EXPLICIT),
        ("tdr_exp", uids.DICOS_TDR, EXPLICIT),
    ],
)
def test_it_reads_what_was_captured(name: str, sop_class: str, syntax: str, tmp_path: Path) -> None:
    content = (CAPTURED / f"{name}.ds").read_bytes()
    pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    with their_server(tmp_path) as (port, log), ask(port, propose([sop_class], (syntax,))) as session:
        assert [session.store(sop_class, f"2.25.{one}", syntax, pieces).status for one in range(3)] == [0, 0, 0]
    assert log.is_clean(), log.text


def test_sections_and_a_second_server(tmp_path: Path) -> None:
    """The object goes to both servers, encoded once for each syntax that they choose."""
    volume = np.arange(48, dtype="<u2").reshape(2, 4, 6)
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    uid = stamp().uid()
    both = [CT.new(each, ooi_id="BAG0001", stamp=stamp(), sop_instance_uid=uid) for each in (volume, volume[:, :2, :2])]
    with their_server(first) as (one, log), their_server(second, compress=False) as (two, other):
        wanted = [Destination(where=("127.0.0.1", port), options={"tolerance": STRATOVAN}) for port in (one, two)]
        found = list(fan_out(both, wanted))
    assert [(each.done, each.statuses) for each in found] == [(True, (0, 0))] * 2
    assert log.is_clean(), log.text
    assert other.is_clean(), other.text


# -- TLS ---------------------------------------------------------------------------------------------------------------


def test_tls_1_2(tmp_path: Path) -> None:
    """It never does TLS 1.3, and offers cipher suites of old as well; ours takes one of today."""
    subject = hospital()
    files = write_all(tmp_path, subject.rsa_server)
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-out", tmp_path / "legacy.pfx", "-inkey", files.key, "-in",
         files.certificate, "-passout", "pass:secret", "-legacy"],
        check=True, capture_output=True,
    )  # fmt: skip
    options = {"pfx": [str(tmp_path / "legacy.pfx"), "secret"], "ciphers": "best-practices"}
    with their_server(tmp_path, **options) as (port, log):
        tls = ClientTLS(trust=(subject.root.certificate,))
        with ask(port, contexts_for(Family.CT | Family.ECHO, Compression.FORBIDDEN), tls=tls) as session:
            assert session.echo().status == 0
            ct = CT.new(np.arange(48, dtype="<u2").reshape(2, 4, 6), ooi_id="BAG0001", stamp=stamp())
            assert send(session, ct).status == 0
            assert session.tls is not None
            assert session.tls.protocol == "TLSv1.2"
    assert log.is_clean(), log.text
