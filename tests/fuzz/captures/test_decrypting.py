"""TLS with a key log: the plaintext of connections made by OpenSSL, in every suite; tshark reads the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from dicos_fuzz.captures import Recorder, Recording
from dicos_fuzz.captures.decrypting import MOST_HELD, Decryption
from dicos_fuzz.captures.events import Connection, Data, Ended, Event, Gap, How, Note, Opened, Over
from dicos_fuzz.captures.keylog import KeyLog
from dicos_fuzz.captures.packets import Endpoint
from dicos_fuzz.captures.recording import START
from dicos_transports.tls.openssl import resumed
from tests.fuzz.captures.shark import needs_tshark, run
from tests.fuzz.captures.tls import ALLOW_RENEGOTIATION, NO_ENCRYPT_THEN_MAC, Ends, Said
from tests.interop.test_tshark import store_and_release
from tests.upper_layer.layouts import split

TLS12, TLS13 = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION
LONG = bytes(range(256)) * 200
TALK: list[Said] = [(True, b"asked"), (False, LONG), (True, b"more"), (False, b"")]


def connection(number: int = 1) -> Connection:
    return Connection(number, Endpoint("10.0.0.1", 40_000), Endpoint("10.0.0.2", 2762), 0)


class Read:
    """The events that the stage makes of records. `streams`: the bytes of server and client, a gap of n as `<n>`."""

    def __init__(self, said: Iterable[Said | int], keys: KeyLog, *, piece: int = 1 << 20) -> None:
        self.stage = Decryption(keys)
        self.connection = connection()
        self.streams = [b"", b""]
        self.notes: list[str] = []
        self.rest: list[Event] = []
        self._feed(Opened(self.connection))
        for each in said:
            if isinstance(each, int):
                self._feed(Gap(self.connection, True, 0, each))
                continue
            for at in range(0, len(each[1]), piece):
                self._feed(Data(self.connection, each[0], 0, memoryview(each[1][at : at + piece])))
        self._feed(Ended(self.connection, True, 0))
        self._feed(Over(self.connection, 0, How.CLOSED))

    def _feed(self, event: Event) -> None:
        for made in self.stage.feed(event):
            if isinstance(made, Data):
                self.streams[made.by_client] += made.data
            elif isinstance(made, Gap):
                self.streams[made.by_client] += b"<%d>" % made.size
            elif isinstance(made, Note):
                self.notes.append(made.text)
            else:
                self.rest.append(made)


def log_of(*ends: Ends) -> KeyLog:
    keys = KeyLog()
    for end in ends:
        keys.add(bytes(end.log))
    return keys


def talk(ends: Ends) -> Ends:
    for by_client, data in TALK:
        if data:
            ends.send(by_client, data)
    ends.end()
    return ends


def check(read: Read, about: str) -> None:
    assert read.streams == [LONG, b"askedmore"]
    assert (read.notes, read.stage.failures, read.stage.decrypted) == ([], {}, 1)
    assert read.connection.tls == about
    assert [type(one) for one in read.rest] == [Opened, Ended, Over]
    assert read.stage._cost == 0


GCM, CHACHA, CBC = "AES-GCM", "ChaCha20-Poly1305", "AES-CBC"
SUITES_12 = {
    "AES128-GCM-SHA256": f"{GCM} (128 bits)",
    "AES256-GCM-SHA384": f"{GCM} (256 bits)",
    "DHE-RSA-AES128-GCM-SHA256": f"{GCM} (128 bits)",
    "ECDHE-RSA-AES128-GCM-SHA256": f"{GCM} (128 bits)",
    "ECDHE-ECDSA-AES256-GCM-SHA384": f"{GCM} (256 bits)",
    "ECDHE-RSA-CHACHA20-POLY1305": f"{CHACHA} (256 bits)",
    "ECDHE-ECDSA-CHACHA20-POLY1305": f"{CHACHA} (256 bits)",
    "AES128-SHA": f"{CBC} (128 bits)",
    "AES256-SHA256": f"{CBC} (256 bits)",
    "ECDHE-RSA-AES256-SHA384": f"{CBC} (256 bits)",
    "AES128-CCM": "AES-CCM (128 bits)",
    "AES256-CCM8": "AES-CCM-8 (256 bits)",
}
SUITES_13 = {
    "TLS_AES_128_GCM_SHA256": f"{GCM} (128 bits)",
    "TLS_AES_256_GCM_SHA384": f"{GCM} (256 bits)",
    "TLS_CHACHA20_POLY1305_SHA256": f"{CHACHA} (256 bits)",
    "TLS_AES_128_CCM_SHA256": "AES-CCM (128 bits)",
    "TLS_AES_128_CCM_8_SHA256": "AES-CCM-8 (128 bits)",
}


@pytest.mark.parametrize(("suite", "about"), SUITES_12.items())
def test_every_suite_of_tls_1_2(suite: str, about: str) -> None:
    ends = talk(Ends(TLS12, ciphers=suite))
    check(Read(ends.said, log_of(ends)), f"TLS 1.2, {about}")


@pytest.mark.parametrize(("suite", "about"), SUITES_13.items())
def test_every_suite_of_tls_1_3(suite: str, about: str) -> None:
    ends = talk(Ends(suites=suite))
    check(Read(ends.said, log_of(ends)), f"TLS 1.3, {about}")


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("piece", [1, 4, 1000])
def test_records_cut_anywhere(version: int, piece: int) -> None:
    ends = talk(Ends(version))
    about = f"TLS 1.{3 if version == TLS13 else 2}, AES-GCM (256 bits)"
    check(Read(ends.said, log_of(ends), piece=piece), about)


def test_blocks_with_the_mac_inside() -> None:
    ends = talk(Ends(TLS12, ciphers="AES128-SHA256", options=NO_ENCRYPT_THEN_MAC))
    check(Read(ends.said, log_of(ends)), "TLS 1.2, AES-CBC (128 bits)")


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_a_resumed_session(version: int) -> None:
    first = talk(Ends(version))
    second = talk(Ends(version, resumes=first))
    assert resumed(second.client)
    check(Read(second.said, log_of(second)), f"TLS 1.{3 if version == TLS13 else 2}, AES-GCM (256 bits)")


def test_a_second_negotiation_in_the_protection_of_the_first() -> None:
    ends = Ends(TLS12, options=ALLOW_RENEGOTIATION)
    ends.send(True, b"one")
    before = len(ends.log)
    ends.renegotiate()
    assert len(ends.log) > before
    ends.send(True, b"two")
    ends.send(False, b"three")
    read = Read(ends.said, log_of(ends))
    assert (read.streams, read.notes) == ([b"three", b"onetwo"], [])


def derive(secret: bytes, label: bytes, size: int) -> bytes:
    info = size.to_bytes(2, "big") + bytes((len(label) + 6,)) + b"tls13 " + label + b"\0"
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)


def record(secret: bytes, sequence: int, kind: int, plain: bytes, padding: int = 0) -> bytes:
    """A record of TLS 1.3 with AES-128-GCM."""
    nonce = (int.from_bytes(derive(secret, b"iv", 12), "big") ^ sequence).to_bytes(12, "big")
    inner = plain + bytes((kind,)) + bytes(padding)
    head = b"\x17\3\3" + (len(inner) + 16).to_bytes(2, "big")
    return head + AESGCM(derive(secret, b"key", 16)).encrypt(nonce, inner, head)


def test_key_updates_and_padding() -> None:
    ends = Ends(suites="TLS_AES_128_GCM_SHA256")
    lines = dict(line.split()[::2] for line in ends.log.decode().splitlines())
    secret = bytes.fromhex(lines["CLIENT_TRAFFIC_SECRET_0"])
    update = b"\x18\0\0\1\0"
    made = record(secret, 0, 23, b"before", 40) + record(secret, 1, 22, update)
    secret = derive(secret, b"traffic upd", 32)
    made += record(secret, 0, 23, b"after") + record(secret, 1, 22, update[:3]) + record(secret, 2, 22, update[3:])
    secret = derive(secret, b"traffic upd", 32)
    made += record(secret, 0, 23, b"") + record(secret, 1, 23, b"last")
    read = Read([*ends.said, (True, made)], log_of(ends))
    assert (read.streams[1], read.notes) == (b"beforeafterlast", [])


def test_early_data_is_left_out() -> None:
    ends = talk(Ends())
    early = b"\x17\3\3\0\x30" + bytes(48)
    check(Read([ends.said[0], (True, early), *ends.said[1:]], log_of(ends)), "TLS 1.3, AES-GCM (256 bits)")


# -- what cannot be decrypted --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_without_its_secret_a_connection_shows_only_that_it_is_tls(version: int) -> None:
    ends, other = talk(Ends(version)), Ends(version)
    read = Read(ends.said, log_of(other))
    assert [stream[:2] for stream in read.streams] == [b"\x16\3", b"\x16\3"]
    assert max(map(len, read.streams)) <= 12
    label = "CLIENT_RANDOM" if version == TLS12 else "SERVER_HANDSHAKE_TRAFFIC_SECRET"
    assert read.stage.failures == {f"the key log has no {label} for this connection": 1}
    assert read.stage.decrypted == 0


def test_without_any_key_log_nothing_is_touched() -> None:
    ends = talk(Ends())
    read = Read(ends.said, KeyLog())
    assert read.streams[1] == b"".join(data for by_client, data in ends.said if by_client)


def test_other_protocols_pass_as_they_are() -> None:
    for said in ([(True, b"GET / HTTP/1.1")], [(False, b"220 hello"), (True, b"EHLO")], [(True, b"\x16\4\4\4")]):
        read = Read(said, log_of(Ends()), piece=1)
        assert read.streams == [b"".join(data for who, data in said if who == side) for side in (False, True)]
    read = Read([(True, b"\x16")], log_of(Ends()))
    assert read.streams == [b"", b"\x16"]


def test_versions_and_suites_that_are_not_known_are_named() -> None:
    keys = log_of(Ends())
    hello = bytes.fromhex("16030300290100002503") + b"\3" + bytes(35)
    random = bytes(32)
    for version, suite, text in (
        (0x0302, 0x002F, "TLS 1.1, cipher suite 0x002f, which cannot be decrypted here"),
        (0x0303, 0x0005, "TLS 1.2, cipher suite 0x0005, which cannot be decrypted here"),
        (0x7F1C, 0x1301, "version 0x7f1c, cipher suite 0x1301, which cannot be decrypted here"),
    ):
        body = version.to_bytes(2, "big") + random + b"\0" + suite.to_bytes(2, "big") + b"\0"
        answer = b"\x16\3\3" + (len(body) + 4).to_bytes(2, "big") + b"\2" + len(body).to_bytes(3, "big") + body
        read = Read([(True, hello), (False, answer)], keys)
        assert read.stage.failures == {text: 1}


def test_damage_ends_one_direction() -> None:
    ends = Ends()
    ends.send(True, b"one")
    damaged = bytearray(ends.said[-1][1])
    damaged[-1] ^= 1
    before = ends.said[:-1]
    ends.send(True, b"two")
    ends.send(False, b"answer")
    said = [*before, ends.said[-2], ends.said[-1]]  # one record is missing, so the next one does not decrypt
    read = Read(said, log_of(ends))
    assert read.streams[0] == b"answer"
    ends.send(True, b"x")
    first = Read([*before, (True, ends.said[len(before)][1]), (True, bytes(damaged))], log_of(ends))
    assert first.streams[1] == b"one"
    assert first.notes == ["TLS: a record that does not decrypt: another secret, or damage"]


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize(("start", "stop"), [(5, 30), (10, 20), (50, 10**9), (5, 10**9)])
def test_a_gap_within_a_record_is_a_gap_of_its_plaintext(version: int, start: int, stop: int) -> None:
    ends = Ends(version)
    ends.send(True, b"one")
    done = len(ends.said)
    ends.send(True, bytes(100))
    ends.send(True, b"three")
    holed, rest = ends.said[done][1], ends.said[done + 1 :]
    said: list[Said | int] = [*ends.said[:done], (True, holed[:start]), len(holed[start:stop])]
    if holed[stop:]:
        said.append((True, holed[stop:]))
    read = Read([*said, *rest], log_of(ends))
    assert (read.streams[1], read.notes) == (b"one<100>three", [])


def test_a_gap_over_the_header_of_a_record_ends_the_direction() -> None:
    ends = Ends()
    ends.send(True, b"one")
    ends.send(True, b"two")
    read = Read([*ends.said[:-1], 3, (True, ends.said[-1][1][3:])], log_of(ends))
    assert read.streams[1] == b"one"
    assert read.notes == ["TLS: the recording has a gap here; the rest of this side cannot be decrypted"]


def test_the_bytes_that_wait_are_bounded() -> None:
    keys = log_of(Ends())
    stage = Decryption(keys)
    half = memoryview(b"\x16\3\3\x40\0" + bytes(16_000))
    number = 0
    while not stage.failures and number < 10_000:
        number += 1
        one = connection(number)
        for event in (Opened(one), Data(one, True, 0, half), Data(one, False, 0, half)):
            list(stage.feed(event))
        assert stage._cost <= MOST_HELD
    assert stage.failures == {"too many TLS connections at once": 1}
    assert number > 1000
    first = connection(1)
    assert list(stage.feed(Data(first, True, 0, memoryview(b"x")))) == []
    assert len(list(stage.feed(Over(first, 0, How.CUT)))) == 1


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=6), st.sampled_from([TLS12, TLS13]))
def test_any_bytes_after_a_handshake_raise_nothing(said: list[Said], version: int) -> None:
    ends = _ready(version)
    Read([*ends.said, *said], log_of(ends))
    Read([(True, b"\x16\3\1"), *said], log_of(ends))


@given(st.data())
def test_any_changed_byte_raises_nothing(data: st.DataObject) -> None:
    ends = _ready(data.draw(st.sampled_from([TLS12, TLS13])))
    said = list(ends.said)
    which = data.draw(st.integers(0, len(said) - 1))
    raw = bytearray(said[which][1])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    said[which] = (said[which][0], bytes(raw))
    Read(said, log_of(ends))


_READY: dict[int, Ends] = {}


def _ready(version: int) -> Ends:
    if version not in _READY:
        _READY[version] = talk(Ends(version))
    return _READY[version]


# -- the key log ---------------------------------------------------------------------------------------------------

RANDOM, SECRET = "ab" * 32, "cd" * 48


def test_a_key_log_is_read_with_its_comments_and_its_faults() -> None:
    keys = KeyLog()
    keys.add(b"# a comment\n\nCLIENT_RANDOM " + RANDOM.encode() + b" " + SECRET.encode() + b"\r\n")
    keys.add(f"EXPORTER_SECRET {RANDOM} {SECRET}\nCLIENT_RANDOM {RANDOM[2:]} {SECRET}\nhello\n".encode())
    assert keys.secret("CLIENT_RANDOM", bytes.fromhex(RANDOM)) == bytes.fromhex(SECRET)
    assert keys.secret("CLIENT_RANDOM", bytes(32)) is None
    assert (len(keys), keys.ignored, keys.may_have) == (1, 2, True)


def test_a_key_log_that_grows_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_bytes(b"")
    keys = KeyLog(path)
    assert (len(keys), keys.may_have) == (0, True)
    line = f"CLIENT_RANDOM {RANDOM} {SECRET}"
    for written in (line[:50], line, line + "\n"):
        path.write_text(written)
        found = keys.secret("CLIENT_RANDOM", bytes.fromhex(RANDOM))
    assert found == bytes.fromhex(SECRET)
    path.unlink()
    assert keys.secret("CLIENT_RANDOM", bytes(32)) is None
    with pytest.raises(FileNotFoundError):
        KeyLog(path)


def test_a_key_log_without_a_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_text(f"CLIENT_RANDOM {RANDOM} {SECRET}")
    assert len(KeyLog(path)) == 1


def test_only_the_latest_secrets_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicos_fuzz.captures.keylog.MOST_KEYS", 10)
    keys = KeyLog()
    for number in range(30):
        keys.add(f"CLIENT_RANDOM {number:064x} {SECRET}\n".encode())
    assert len(keys) == 10
    assert keys.secret("CLIENT_RANDOM", (29).to_bytes(32, "big")) is not None
    assert keys.secret("CLIENT_RANDOM", (19).to_bytes(32, "big")) is None


@given(st.binary(max_size=300))
def test_any_lines_raise_nothing(lines: bytes) -> None:
    KeyLog().add(lines)


# -- tshark --------------------------------------------------------------------------------------------------------


def written(said: Sequence[Said], log: bytes, path: Path | None) -> bytes:
    """A capture file of the connection, with its secrets in it if it has no path for them."""
    file = BytesIO()
    recorder = Recorder(file)
    if path is None:
        recorder.secrets(log)
    else:
        path.write_bytes(log)
    recorder.open(0, START, server=Endpoint("127.0.0.2", 2762))
    for by_client, data in said:
        recorder.send(0, START, data, by_client=by_client)
    return file.getvalue()


class TestTshark:
    pytestmark = needs_tshark

    @pytest.mark.parametrize("version", [TLS12, TLS13])
    @pytest.mark.parametrize("inside", [True, False])
    def test_sees_the_same_bytes(self, version: int, inside: bool, tmp_path: Path) -> None:
        ends = Ends(version)
        for by_client, data in store_and_release():
            ends.send(by_client, data)
        path = tmp_path / "tls.pcapng"
        log = tmp_path / "keys.log"
        path.write_bytes(written(ends.said, bytes(ends.log), None if inside else log))
        options = [] if inside else ["-o", f"tls.keylog_file:{log}"]
        theirs = {False: b"", True: b""}
        followed = run(path, *options, "-q", "-z", "follow,tls,raw,0")
        client_first = "Node 0: 127.0.0.1:40000" in followed
        for line in followed.splitlines():
            if re.fullmatch(r"\t?[0-9a-f]+", line):
                theirs[(line[0] != "\t") == client_first] += bytes.fromhex(line.strip())
        streams = {False: b"", True: b""}
        keys = None if inside else KeyLog(log)
        for event in Recording(BytesIO(path.read_bytes()), "tls.pcapng", keys=keys).events():
            if isinstance(event, Data):
                streams[event.by_client] += event.data
        assert streams == theirs
        assert [pdu[0] for pdu in split(streams[True])].count(4) > 20
