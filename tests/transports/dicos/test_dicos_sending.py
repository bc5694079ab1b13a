"""Objects from memory to memory in every adapter: views out, one buffer in, progress, refusals by name."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from dicos_proto.conversation.flows import AssociationAborted, ContextNotAccepted
from dicos_proto.data import DataSetError, decode_object, encode
from dicos_proto.dicos import CT, view
from dicos_proto.dicos.content import pieces
from dicos_proto.dicos.profile import Compression, Family, accept_policy, contexts_for
from dicos_proto.limits import Limits
from dicos_proto.registry import uids
from dicos_proto.upper_layer.negotiation import propose
from dicos_transports.blocking import Session, StoreRequest, connect
from dicos_transports.blocking.server import Server, serve
from dicos_transports.dicos import Encoded, receive, send, stamp
from tests.transports.loops import LOOPS, run

EXPLICIT, EXTENDED, IMPLICIT = uids.EXPLICIT_VR_LE, uids.DICOS_EXPLICIT_VR_LE_EXTENDED, uids.IMPLICIT_VR_LE
JPEG = uids.JPEG_LOSSLESS_SV1
DICOS = uids.DICOS_APPLICATION_CONTEXT_V03


def volume(frames: int = 8, dtype: str = "<u2") -> Any:
    return np.arange(frames * 12 * 16, dtype=np.int64).reshape(frames, 12, 16).astype(dtype)


def bag(frames: int = 8, dtype: str = "<u2") -> CT:
    return CT.new(volume(frames, dtype), ooi_id="BAG-1", stamp=stamp())


class Kept:
    """The objects that a server has received."""

    def __init__(self, **options: Any) -> None:
        self.objects: list[Dataset] = []
        self.errors: list[str] = []
        self.options = options

    def handle(self, session: Session) -> None:
        for request in session:
            if isinstance(request, StoreRequest):
                try:
                    self.objects.append(receive(request, **self.options))
                except DataSetError as error:
                    self.errors.append(str(error))
                else:
                    request.respond()

    async def handle_async(self, session: Any) -> None:
        async for request in session:
            try:
                self.objects.append(await receive(request, **self.options))
            except DataSetError as error:
                self.errors.append(str(error))
            else:
                await request.respond()


@contextmanager
def receiving(kept: Kept, **options: Any) -> Iterator[Server]:
    options.setdefault("policy", accept_policy())
    with serve(("127.0.0.1", 0), kept.handle, **options) as server:
        yield server


def asked(server: Server, contexts: Any = None, **options: Any) -> Session:
    contexts = contexts_for(Family.CT, Compression.FORBIDDEN) if contexts is None else contexts
    return connect(("127.0.0.1", server.port), contexts, application_context=DICOS, **options)


@pytest.mark.parametrize(
    ("dtype", "syntax"),
    [(dtype, syntax) for dtype in ("u1", "<u2", "<i2", "<i4", "<u8", "<f4") for syntax in (EXPLICIT, EXTENDED)]
    + [("<u2", IMPLICIT)],
)
def test_a_volume_arrives_as_it_was_sent(dtype: str, syntax: str) -> None:
    kept, ct = Kept(), bag(dtype=dtype)
    with receiving(kept) as server, asked(server, propose([ct.sop_class_uid], (syntax,))) as session:
        assert send(session, ct).status == 0
        assert send(session, ct.dataset).status == 0
    first, second = kept.objects
    assert first.file_meta.TransferSyntaxUID == syntax
    found = view(first)
    assert isinstance(found, CT)
    assert np.array_equal(found.volume, ct.volume)
    assert found.volume.dtype == ct.volume.dtype
    assert first == second == decode_object(encode(ct.dataset, syntax), syntax)


def test_a_volume_of_many_pieces_and_its_progress() -> None:
    ct = CT.new(np.arange(9 << 20, dtype="<u2").reshape(9, 1024, 1024), ooi_id="BAG-1", stamp=stamp())
    sent: list[tuple[int, int]] = []
    arrived: list[tuple[int, int]] = []
    kept = Kept(progress=lambda done, total: arrived.append((done, total)))
    with receiving(kept) as server, asked(server) as session:
        assert send(session, ct, progress=lambda done, total: sent.append((done, total))).status == 0
    size = Encoded(ct).size(EXPLICIT)
    assert sent[-1] == (size, size)
    assert [done for done, _ in sent] == sorted({done for done, _ in sent})
    assert len(sent) >= 5
    assert arrived[-1] == (size, 0)
    assert len(kept.objects[0].PixelData) == 18 << 20
    assert np.array_equal(view(kept.objects[0]).volume, ct.volume)


def test_what_is_received_can_be_sent_on() -> None:
    kept, ct = Kept(), bag()
    with receiving(kept) as server:
        with asked(server) as session:
            send(session, ct)
        with asked(server, propose([ct.sop_class_uid], (IMPLICIT,))) as session:
            send(session, kept.objects[0])
    assert kept.objects[1] == decode_object(encode(kept.objects[0], IMPLICIT), IMPLICIT)


@pytest.mark.parametrize("name", LOOPS)
def test_in_an_event_loop(name: str) -> None:
    kept, ct = Kept(), bag(64)

    async def main(module: Any) -> None:
        async with module.serve(("127.0.0.1", 0), kept.handle_async, policy=accept_policy()) as server:
            where = ("127.0.0.1", server.port)
            contexts = contexts_for(Family.CT, Compression.FORBIDDEN)
            async with await module.connect(where, contexts, application_context=DICOS) as session:
                assert (await send(session, ct)).status == 0
                wrong = bag()
                wrong.dataset.SOPInstanceUID = "1.2.3"
                parts = pieces(wrong.dataset, EXPLICIT)
                response = await session.store(ct.sop_class_uid, "1.2.4", EXPLICIT, parts)
                assert response.status == 0xA900
                assert (await send(session, ct)).status == 0

    run(name, main)
    assert [np.array_equal(view(one).volume, ct.volume) for one in kept.objects] == [True, True]
    assert kept.errors == ["SOP instance UID (0008,0018) is not the command's [PS3.4 B.2.3]"]


# -- refused -----------------------------------------------------------------------------------------------------------


def test_a_data_set_that_is_refused_is_answered_and_the_next_one_is_received() -> None:
    kept, ct = Kept(), bag()
    with receiving(kept) as server, asked(server) as session:

        def stored(data: Any) -> tuple[int, str]:
            response = session.store(ct.sop_class_uid, ct.sop_instance_uid, EXPLICIT, data)
            return response.status, response.error_comment or ""

        assert stored(b"") == (0xC000, "no data set")
        assert stored(b"garbage!" * 10)[0] == 0xC000
        assert stored(encode(ct.dataset, EXPLICIT)[:-10])[0] == 0xC000
        assert session.store(ct.sop_class_uid, "1.2.3", EXPLICIT, pieces(ct.dataset, EXPLICIT)).status == 0xA900
        assert send(session, ct).status == 0
    assert len(kept.errors) == 4
    assert isinstance(kept.objects[0], Dataset)


def test_pixel_data_beyond_the_limit_is_refused() -> None:
    kept = Kept(limits=Limits(pixels=1000))
    with receiving(kept) as server, asked(server) as session:
        response = send(session, bag())
        assert (response.status, response.error_comment) == (
            0xC000, "(7FE0,0010) of 3072 bytes; at most 1000 (limit pixels)",
        )  # fmt: skip
    kept = Kept()
    with receiving(kept, limits=Limits(pixels=1000)) as server, asked(server) as session:
        assert send(session, bag()).status == 0xC000


def test_a_transfer_syntax_that_is_not_known_is_refused() -> None:
    kept, private = Kept(), "2.25.1"
    policy = accept_policy(Family(0), also=[])
    policy = type(policy)(contexts={uids.DICOS_CT: (private,)}, application_contexts=(DICOS,))
    with receiving(kept, policy=policy) as server, asked(server, propose([uids.DICOS_CT], (private,))) as session:
        assert session.store(uids.DICOS_CT, "1.2.3", private, b"abcd").status == 0xC000
        assert session.store(uids.DICOS_CT, "1.2.3", private, b"").status == 0xC000
    assert all("no codec for data sets in 2.25.1" in error for error in kept.errors)


def test_an_association_that_ends_within_an_object_is_an_error() -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    def handle(session: Session) -> None:
        for request in session:
            assert isinstance(request, StoreRequest)
            try:
                receive(request)
            except AssociationAborted as error:
                errors.append(error)
                done.set()
                raise

    def source() -> Iterator[bytes]:
        yield from pieces(bag().dataset, EXPLICIT)[:1]
        raise OSError("the scanner stopped")

    with serve(("127.0.0.1", 0), handle, policy=accept_policy()) as server:
        session = asked(server)
        with pytest.raises(OSError, match="the scanner stopped"):
            session.store(uids.DICOS_CT, "1.2.3", EXPLICIT, source())
        session.abort()
        assert done.wait(30)
    assert errors


def test_what_cannot_be_sent_raises_before_anything_is_sent() -> None:
    kept = Kept()
    with receiving(kept) as server:
        with asked(server, contexts_for(Family.TDR)) as session:
            with pytest.raises(ContextNotAccepted):
                send(session, bag())
            with pytest.raises(TypeError):
                send(session, b"bytes")  # type: ignore[call-overload]
        compressed = bag().dataset
        compressed["PixelData"].is_undefined_length = True
        with asked(server, propose([uids.DICOS_CT], (JPEG, EXPLICIT))) as session:
            with pytest.raises(DataSetError, match="whose transfer syntax is not known"):
                send(session, compressed)
            compressed.file_meta = FileMetaDataset()
            with pytest.raises(DataSetError, match="whose transfer syntax is not known"):
                send(session, compressed)
            compressed.file_meta.TransferSyntaxUID = uids.RLE_LOSSLESS
            with pytest.raises(ContextNotAccepted):
                send(session, compressed)
    assert kept.objects == kept.errors == []


def test_compressed_pixel_data_is_sent_as_it_is() -> None:
    kept, ct = Kept(), bag()
    fragments = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\4\0\0\0\xff\xd8\xff\xd9"
    ct.dataset["PixelData"]._value = fragments
    ct.dataset["PixelData"].is_undefined_length = True
    ct.dataset.file_meta = FileMetaDataset()
    ct.dataset.file_meta.TransferSyntaxUID = JPEG
    with receiving(kept) as server, asked(server, propose([uids.DICOS_CT], (JPEG,))) as session:
        assert send(session, ct).status == 0
    (found,) = kept.objects
    assert (found.PixelData, found.file_meta.TransferSyntaxUID) == (fragments, JPEG)


def test_an_object_is_encoded_once_for_each_syntax() -> None:
    encoded = Encoded(bag())
    assert encoded.pieces(EXPLICIT) is encoded.pieces(EXPLICIT)
    assert encoded.pieces(IMPLICIT) is not encoded.pieces(EXPLICIT)
    assert encoded.transfer_syntaxes == (EXPLICIT, EXTENDED, IMPLICIT, JPEG, uids.RLE_LOSSLESS)
    with pytest.raises(TypeError):
        Encoded("a path")  # type: ignore[arg-type]
