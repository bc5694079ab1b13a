"""Objects from memory to memory, their pixel data compressed on the way, in every adapter and to pyDICOS."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicos_proto.conversation.flows import ContextNotAccepted
from dicos_proto.data import DataSetError, encode
from dicos_proto.dicos import CT, view
from dicos_proto.dicos.content import pieces
from dicos_proto.dicos.profile import Compression
from dicos_proto.registry import uids
from dicos_proto.tolerance import STRATOVAN
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports.blocking import connect
from dicos_transports.dicos import Encoded, send, stamp
from dicos_transports.dicos.compression import can_recode, recode
from tests.interop.pydicos_network import needs_pydicos, their_server
from tests.transports.dicos.test_dicos_sending import Kept, asked, receiving

pytest.importorskip("imagecodecs")

EXPLICIT, EXTENDED, IMPLICIT = uids.EXPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.IMPLICIT_VR_LE
JPEG, RLE = uids.JPEG_LOSSLESS_SV1, uids.RLE_LOSSLESS
PREFERRED, ALLOWED, FORBIDDEN = Compression.PREFERRED, Compression.ALLOWED, Compression.FORBIDDEN
VOLUME = (np.arange(9 * 40 * 30).reshape(9, 40, 30) // 3 % 4000).astype("<u2")


def bag(volume: Any = VOLUME) -> CT:
    return CT.new(volume, ooi_id="BAG-1", stamp=stamp())


def test_what_the_peer_accepts_alone_is_used_without_being_asked_for() -> None:
    kept = Kept()
    with receiving(kept) as server, asked(server, propose([uids.DICOS_CT], (JPEG,))) as session:
        assert send(session, bag()).status == 0
        with pytest.raises(ContextNotAccepted, match="accepted with JPEG Lossless"):
            send(session, bag(), compression=FORBIDDEN)
    assert [one.file_meta.TransferSyntaxUID for one in kept.objects] == [JPEG]


def test_without_codecs_nothing_is_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    compressed = Kept()
    with receiving(compressed) as server, asked(server, propose([uids.DICOS_CT], (JPEG,))) as session:
        assert send(session, bag()).status == 0
        monkeypatch.setattr("dicos_proto.dicos.codecs.available", lambda: False)
        with pytest.raises(ContextNotAccepted):
            send(session, bag())
        assert send(session, compressed.objects[0]).status == 0, "it is compressed already"
    with (
        receiving(Kept()) as server,
        asked(server, propose([uids.DICOS_CT], (EXPLICIT,))) as session,
        pytest.raises(ContextNotAccepted),
    ):
        send(session, compressed.objects[0])


@pytest.mark.parametrize(
    ("accepted", "compression", "used"),
    [
        ((JPEG, EXPLICIT), PREFERRED, JPEG),
        ((JPEG, EXPLICIT), ALLOWED, EXPLICIT),
        ((JPEG,), ALLOWED, JPEG),
        ((JPEG, IMPLICIT), FORBIDDEN, IMPLICIT),
    ],
)
def test_a_volume_arrives_as_it_was(accepted: tuple[str, ...], compression: Compression | None, used: str) -> None:
    kept, seen = Kept(decompress=True), list[str]()
    contexts = tuple(one for syntax in accepted for one in propose([uids.DICOS_CT], (syntax,)))
    contexts = tuple(type(one)(id=2 * at + 1, abstract_syntax=one.abstract_syntax,
                               transfer_syntaxes=one.transfer_syntaxes) for at, one in enumerate(contexts))  # fmt: skip
    with receiving(kept) as server, asked(server, contexts) as session:
        encoded = Encoded(bag(), compression=compression)
        seen = list(encoded.transfer_syntaxes)
        assert send(session, encoded).status == 0
        assert send(session, bag(), compression=compression).status == 0
    assert next(one for one in seen if one in accepted) == used
    for found in kept.objects:
        made = view(found)
        assert isinstance(made, CT)
        assert np.array_equal(made.volume, VOLUME)
    assert len(kept.objects) == 2
    assert kept.errors == []


def test_a_compressed_object_is_decompressed_for_a_peer_that_wants_it() -> None:
    kept, compressed = Kept(), Kept()
    with receiving(compressed) as server, asked(server, propose([uids.DICOS_CT], (JPEG,))) as session:
        assert send(session, bag(), compression=PREFERRED).status == 0
    (found,) = compressed.objects
    assert found.file_meta.TransferSyntaxUID == JPEG
    with receiving(kept) as server, asked(server, propose([uids.DICOS_CT], (IMPLICIT,))) as session:
        assert send(session, found).status == 0
        assert send(session, found, compression=FORBIDDEN).status == 0
        assert Encoded(found, compression=ALLOWED).transfer_syntaxes[0] == JPEG
    plain, again = kept.objects
    assert encode(plain, IMPLICIT) == encode(again, IMPLICIT)
    made = view(plain)
    assert isinstance(made, CT)
    assert np.array_equal(made.volume, VOLUME)


def test_damaged_frames_are_refused() -> None:
    kept = Kept(decompress=True)
    data = b"".join(map(bytes, recode(pieces(bag().dataset, EXPLICIT), EXPLICIT, JPEG, sop_class_uid=uids.DICOS_CT)))
    with receiving(kept) as server, asked(server, propose([uids.DICOS_CT], (JPEG,))) as session:
        for bad in (data.replace(b"\xff\xc3", b"\xff\xc0"), data[:-300]):
            assert session.store(uids.DICOS_CT, "1.2", JPEG, bad).status == 0xC000
    assert len(kept.errors) == 2
    assert "frame 1: JPEG process" in kept.errors[0]


def test_what_is_wide_is_sent_as_it_is_and_pairs_are_checked() -> None:
    assert Encoded(bag(VOLUME.astype("<u4")), compression=PREFERRED).transfer_syntaxes == (EXPLICIT, EXTENDED, IMPLICIT)
    assert can_recode(EXPLICIT, RLE)
    with pytest.raises(ValueError, match="cannot be converted"):
        list(recode([b""], EXPLICIT, IMPLICIT))
    with pytest.raises(DataSetError):
        list(recode([b"abc"], EXPLICIT, RLE))


@needs_pydicos
@pytest.mark.interop
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<i2"])
def test_pydicos_reads_what_is_compressed_on_the_way(dtype: str, tmp_path: Path) -> None:
    with their_server(tmp_path) as (port, log), connect(
        ("127.0.0.1", port), propose([uids.DICOS_CT], (JPEG,)), called_aet="CENTRAL_SERVER",
        application_context=uids.DICOS_APPLICATION_CONTEXT_V03, tolerance=STRATOVAN,
    ) as session:  # fmt: skip
        assert send(session, bag(VOLUME.astype(dtype)), compression=PREFERRED).status == 0
    assert log.is_clean(), log.text
