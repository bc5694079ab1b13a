"""TLS with a key log: the plaintext of connections made by OpenSSL, in every suite; tshark reads the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from dicos_fuzz.captures import Recorder, Recording
from dicos_fuzz.captures.decrypting import MOST_HELD, MOST_WAITING, PATIENCE, Decryption
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
        self.stage = self.stage_of(keys)
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

    def stage_of(self, keys: KeyLog) -> Decryption:
        return Decryption(keys)

    def _feed(self, event: Event) -> None:
        for made in self.stage.feed(event):
            self.take(made)

    def take(self, made: Event) -> None:
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


# -- what real peers do beside the plain handshake -----------------------------------------------------------------

CHANGE = b"\x14\3\3\0\1\1"
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
PLAIN_12, PLAIN_13 = f"TLS 1.2, {GCM} (256 bits)", f"TLS 1.3, {GCM} (256 bits)"


@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_a_hello_retry_request(piece: int) -> None:
    """As DCMTK's storescp, whose only curve is not the one of the client's first key share."""
    ends = talk(Ends(curve=ec.SECP384R1()))
    assert RETRY in b"".join(data for _, data in ends.said)
    assert ends.said[2][1].startswith(CHANGE)
    check(Read(ends.said, log_of(ends), piece=piece), PLAIN_13)


@pytest.mark.parametrize("curve", [None, ec.SECP384R1()], ids=["", "retry"])
def test_change_cipher_spec_anywhere_in_a_handshake_of_tls_1_3(curve: ec.EllipticCurve | None) -> None:
    ends = talk(Ends(curve=curve))
    said = [one for each in ends.said for one in (each, (True, CHANGE), (False, CHANGE))]
    check(Read(said, log_of(ends)), PLAIN_13)
    check(Read([said[0], (True, CHANGE), *said[1:]], log_of(ends), piece=3), PLAIN_13)


@pytest.mark.parametrize(("version", "about"), [(TLS12, PLAIN_12), (TLS13, PLAIN_13)])
def test_a_client_certificate(version: int, about: str) -> None:
    ends = talk(Ends(version, client_certificate=True))
    check(Read(ends.said, log_of(ends)), about)


@pytest.mark.parametrize(("version", "about"), [(TLS12, PLAIN_12), (TLS13, PLAIN_13)])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_handshake_messages_in_many_records(version: int, about: str, size: int) -> None:
    ends = talk(Ends(version))
    said = [(by_client, again(data, size)) for by_client, data in ends.said]
    assert said != ends.said
    check(Read(said, log_of(ends)), about)


def test_handshake_messages_in_one_record() -> None:
    ends = talk(Ends(TLS12))
    joined = joined_handshake(ends.said[1][1])
    assert joined.count(b"\x16\3\3") < ends.said[1][1].count(b"\x16\3\3")
    check(Read([ends.said[0], (False, joined), *ends.said[2:]], log_of(ends)), PLAIN_12)


def test_a_certificate_after_the_handshake_changes_no_keys() -> None:
    """Post-handshake authentication [RFC 8446 4.6.2] ends with another Finished."""
    ends = Ends(suites="TLS_AES_128_GCM_SHA256")
    secret = secret_of(ends, "CLIENT_TRAFFIC_SECRET_0")
    made = record(secret, 0, 23, b"one") + record(secret, 1, 22, b"\x14\0\0\x20" + bytes(32))
    read = Read([*ends.said, (True, made + record(secret, 2, 23, b"two"))], log_of(ends))
    assert (read.streams[1], read.notes) == (b"onetwo", [])


def test_early_data_behind_the_answer_is_left_out() -> None:
    ends = talk(Ends())
    early = b"\x17\3\3\0\x30" + bytes(48)
    hello = ends.said[0][1]
    body = hello[9:] + b"\0\x2a\0\0"
    sizes = 9 + 35 + hello[43]  # where the cipher suites begin, in the record
    sizes += 2 + int.from_bytes(hello[sizes : sizes + 2], "big")
    sizes += 1 + hello[sizes] - 9  # where the extensions begin, in the body
    body = body[:sizes] + (int.from_bytes(body[sizes : sizes + 2], "big") + 4).to_bytes(2, "big") + body[sizes + 2 :]
    offering = hello[:3] + (len(body) + 4).to_bytes(2, "big") + b"\1" + len(body).to_bytes(3, "big") + body
    said = [(True, offering), (True, early), ends.said[1], (True, early), *ends.said[2:]]
    check(Read(said, log_of(ends)), PLAIN_13)


def test_records_without_bytes_and_heartbeats_are_left_out() -> None:
    ends = talk(Ends())
    odd = b"\x17\3\3\0\0\x16\3\3\0\0\x18\3\3\0\3\1\0\0"
    check(Read([ends.said[0], (True, odd), *ends.said[1:]], log_of(ends)), PLAIN_13)


def test_an_alert_is_told() -> None:
    ends = Ends(suites="TLS_AES_128_GCM_SHA256")
    secret = secret_of(ends, "CLIENT_TRAFFIC_SECRET_0")
    made = record(secret, 0, 23, b"one") + record(secret, 1, 21, b"\2\x2a") + record(secret, 2, 21, b"\1\0")
    read = Read([*ends.said, (True, made)], log_of(ends))
    assert (read.streams[1], read.notes) == (b"one", ["TLS: alert 42 (bad_certificate)"])


@pytest.mark.parametrize(
    ("kept", "alert", "why"),
    [
        (1, b"\x15\3\3\0\2\2\x28", "the handshake failed: alert 40 (handshake_failure) of the server"),
        (1, b"\x15\3\3\0\2\2\xfe", "the handshake failed: alert 254 (unknown) of the server"),
        (1, b"", "it ended before any application data"),
        (99, b"", "it ended before any application data"),
    ],
)
def test_a_handshake_that_comes_to_nothing(kept: int, alert: bytes, why: str) -> None:
    ends = Ends()
    read = Read([*ends.said[:kept], *([(False, alert)] if alert else [])], log_of(ends))
    assert (read.stage.failures, read.connection.undecrypted) == ({why: 1}, why)
    assert read.streams[1][:2] == b"\x16\3"
    assert read.stage._cost == 0


def test_a_secret_that_one_side_lacks_ends_that_side() -> None:
    """The other side is shown all the same."""
    ends = Ends()
    for by_client, data in TALK[:2]:
        ends.send(by_client, data)
    keys = KeyLog()
    for line in ends.log.splitlines():
        if not line.startswith(b"CLIENT_TRAFFIC"):
            keys.add(line)
    read = Read(ends.said, keys)
    assert read.streams == [LONG, b""]
    assert [note.partition(" (")[0] for note in read.notes] == [
        "TLS: the key log has no CLIENT_TRAFFIC_SECRET_0 for this connection"
    ]


def secret_of(ends: Ends, label: str) -> bytes:
    return bytes.fromhex(dict(line.split()[::2] for line in ends.log.decode().splitlines())[label])


def records_of(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    """The header and the body of each record."""
    while data:
        stop = 5 + int.from_bytes(data[3:5], "big")
        yield data[:5], data[5:stop]
        data = data[stop:]


def again(data: bytes, size: int) -> bytes:
    """The records, with handshake messages in plaintext cut into records of `size` bytes."""
    made = b""
    for head, body in records_of(data):
        plain = head[0] == 22 and body[0] in (1, 2, 11, 12, 13, 14, 16) and body[1] == 0
        step = size if plain else len(body)
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            made += head[:3] + len(piece).to_bytes(2, "big") + piece
    return made


def joined_handshake(data: bytes) -> bytes:
    whole = b"".join(body for head, body in records_of(data) if head[0] == 22)
    return b"\x16\3\3" + len(whole).to_bytes(2, "big") + whole


# -- secrets that come later: the tap ------------------------------------------------------------------------------


class Live(Read):
    """The same behind a tap, with a key log that gets its lines later."""

    def __init__(self, said: Iterable[Said | int]) -> None:
        self.keys = KeyLog()
        self.keys.add(b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"00" * 48)  # something, so that it is asked
        super().__init__(said, self.keys)

    def stage_of(self, keys: KeyLog) -> Decryption:
        return Decryption(keys, waits=True)

    def go_on(self, now: int) -> None:
        for made in self.stage.go_on(now):
            self.take(made)


@pytest.mark.parametrize(("version", "about"), [(TLS12, PLAIN_12), (TLS13, PLAIN_13)])
def test_secrets_that_come_after_everything(version: int, about: str) -> None:
    ends = talk(Ends(version))
    live = Live(ends.said)
    assert live.stage.waiting
    assert live.streams == [b"", b""]
    for line in reversed(ends.log.splitlines()):
        live.go_on(1)
        live.keys.add(line)
    live.go_on(1)
    assert not live.stage.waiting
    check(live, about)


@pytest.mark.parametrize("curve", [None, ec.SECP384R1()], ids=["", "retry"])
def test_secrets_that_come_in_between(curve: ec.EllipticCurve | None) -> None:
    ends = talk(Ends(curve=curve))
    keys = KeyLog()
    keys.add(b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"00" * 48)
    stage = Decryption(keys, waits=True)
    one = connection()
    lines = ends.log.splitlines()
    got = [b"", b""]
    events: list[Event] = [Opened(one), *(Data(one, who, 0, memoryview(data)) for who, data in ends.said)]
    for number, event in enumerate([*events, Over(one, 0, How.CLOSED)]):
        for made in stage.feed(event):
            if isinstance(made, Data):
                got[made.by_client] += made.data
        if number > 2 and lines:
            keys.add(lines.pop(0))
    assert (got, stage.waiting, stage._cost) == ([LONG, b"askedmore"], False, 0)


def test_a_secret_that_does_not_come_is_waited_for_until_a_while_after_the_end() -> None:
    ends = talk(Ends())
    live = Live(ends.said)
    live.go_on(PATIENCE - 1)
    assert live.stage.waiting
    assert [type(one) for one in live.rest] == [Opened]
    live.go_on(PATIENCE)
    assert not live.stage.waiting
    assert live.connection.undecrypted.startswith("the key log has no SERVER_HANDSHAKE_TRAFFIC_SECRET for this conn")
    assert [stream[:2] for stream in live.streams] == [b"\x16\3", b"\x16\3"]
    assert [type(one) for one in live.rest] == [Opened, Ended, Over]
    assert live.stage._cost == 0


def test_at_the_end_nothing_waits() -> None:
    ends = talk(Ends())
    live = Live(ends.said)
    for line in ends.log.splitlines():
        if b"_HANDSHAKE_" in line:
            live.keys.add(line)
    for made in live.stage.end():
        live.take(made)
    assert live.connection.undecrypted.startswith("the key log has no CLIENT_TRAFFIC_SECRET_0")
    assert not live.stage.waiting
    assert [type(one) for one in live.rest] == [Opened, Ended, Over]


def test_what_waits_is_bounded() -> None:
    ends = Ends()
    for _ in range(200):
        ends.send(True, LONG)
    live = Live(ends.said)
    assert live.connection.undecrypted
    assert sum(len(data) for _, data in ends.said) > MOST_WAITING
    keys = KeyLog()
    keys.add(b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"00" * 48)
    stage = Decryption(keys, waits=True)
    for number in range(1, 200):
        one = connection(number)
        for event in (Opened(one), *(Data(one, who, 0, memoryview(data)) for who, data in ends.said[:20])):
            list(stage.feed(event))
        assert stage._cost <= MOST_HELD
        assert sum(found.queued for found in stage._sessions.values()) <= MOST_HELD
    assert stage.failures["too many TLS connections at once"] > 0
    for made in stage.end():
        assert not isinstance(made, Note)
    assert not stage.waiting


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
    path.write_text(f"CLIENT_RANDOM {RANDOM} {SECRET}\nCLIENT_RANDOM {RANDOM[::-1]} {SECRET}")
    assert len(KeyLog(path)) == 2


def test_a_key_log_that_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    keys = KeyLog(path, grows=True)
    random = bytes.fromhex(RANDOM)
    assert (keys.may_have, keys.secret("CLIENT_RANDOM", random)) == (True, None)
    path.write_text(f"CLIENT_RANDOM {RANDOM} {SECRET[:64]}")  # half a line, which looks like a shorter secret
    assert (keys.secret("CLIENT_RANDOM", random), keys.ignored) == (None, 0)
    path.write_text(f"CLIENT_RANDOM {RANDOM} {SECRET}\n")
    assert keys.secret("CLIENT_RANDOM", random) == bytes.fromhex(SECRET)
    path.write_text(f"CLIENT_RANDOM {'12' * 32} {SECRET}\n"[:-51] + "\n")  # another program begins it again
    assert keys.secret("CLIENT_RANDOM", b"\x12" * 32) == bytes.fromhex(SECRET[:-50])
    assert keys.secret("CLIENT_RANDOM", random) is not None
    with pytest.raises(IsADirectoryError):
        KeyLog(tmp_path, grows=True)


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

    @pytest.mark.parametrize(("version", "retry"), [(TLS12, False), (TLS13, False), (TLS13, True)])
    @pytest.mark.parametrize("inside", [True, False])
    def test_sees_the_same_bytes(self, version: int, retry: bool, inside: bool, tmp_path: Path) -> None:
        ends = Ends(version, curve=ec.SECP384R1() if retry else None)
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
