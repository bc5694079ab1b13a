"""Handwritten peers with deviations seen in the field: DCMTK and pynetdicom accept them; so do we, and report it."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from tests.interop.peers import PATIENCE, dcmtk, dcmtk_storescp, needs_dcmtk, needs_pynetdicom, our_provider, ours
from tests.transports.cli.commands import dicom_file
from tests.transports.connections import read_pdu
from tests.upper_layer import layouts
from tests.upper_layer.layouts import (
    associate,
    command_set,
    element,
    item,
    p_data,
    pdu,
    pdv,
    sized,
    split_items,
    us,
    user_item,
)

Fields = dict[int, bytes]
Answer = Callable[[int, Fields], list[bytes]]
FOUND = b"\x08\0\x52\0CS\6\0STUDY \x10\0\x20\0LO\4\0PAT1"
"""An identifier, explicit VR: level and patient id."""
OBJECT = b"\x08\0\x16\0UI\x1a\0" + layouts.CT + b"\0" + b"\x08\0\x18\0UI\x08\x001.2.3.9\0"
"""A minimal object, explicit VR."""
PLAIN = user_item()


# -- a provider by hand ----------------------------------------------------------------------------------------------


def accepted(request: bytes, user: bytes, *, title: bytes | None = None) -> bytes:
    """An A-ASSOCIATE-AC that accepts all contexts, each with its first transfer syntax."""
    answers = []
    for kind, value in split_items(request[74:]):
        if kind == 0x20:
            syntax = next(found for sub, found in split_items(value[4:]) if sub == 0x40)
            answers.append(item(0x21, value[:1] + b"\0\0\0" + item(0x40, syntax)))
    titles = (title or request[10:26], title or request[26:42])
    return associate(2, layouts.APPLICATION_ITEM, *answers, user, called=titles[0], calling=titles[1])


def contexts_of(request: bytes) -> dict[bytes, int]:
    """Abstract syntax -> its context."""
    return {
        next(found for sub, found in split_items(value[4:]) if sub == 0x30): value[0]
        for kind, value in reversed(split_items(request[74:]))
        if kind == 0x20
    }


def fields_of(raw: bytes) -> Fields:
    found = {}
    while raw:
        number, length = struct.unpack_from("<HL", raw, 2)
        found[number] = raw[8 : 8 + length]
        raw = raw[8 + length :]
    return found


@dataclass
class Provider:
    """`answer`: a function from the context and command set of a request to the PDUs of the response."""

    answer: Answer
    user: bytes = PLAIN
    title: bytes | None = None
    request: bytes = b""

    def serve(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(PATIENCE)
            self.request = read_pdu(sock)
            sock.sendall(accepted(self.request, self.user, title=self.title))
            command: tuple[int, Fields] | None = None
            while (received := read_pdu(sock))[:1] == b"\4":
                body = received[6:]
                while body:
                    length, context, control = struct.unpack_from(">LBB", body)
                    data, body = body[6 : 4 + length], body[4 + length :]
                    if control & 1:
                        command = context, fields_of(data)
                    if command and control & 2 and (not control & 1 or command[1][0x0800] == b"\1\1"):
                        if command[1][0x0100][1] & 0x80 == 0 or command[1][0x0100] == b"\1\x80":
                            sock.sendall(b"".join(self.answer(*command)))
                        command = None
            if received[:1] == b"\5":
                sock.sendall(pdu(6, bytes(4)))
                sock.recv(1)


@contextmanager
def provider(made: Provider) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


def response(request: Fields, *more: bytes, status: int = 0, follows: int = 0x0101) -> bytes:
    """The command set that answers a request, with `more` elements."""
    own = [
        element(0x0002, request[0x0002]), us(0x0100, struct.unpack("<H", request[0x0100])[0] | 0x8000),
        element(0x0120, request[0x0110]), us(0x0800, follows), us(0x0900, status), *more,
    ]  # fmt: skip
    return command_set(*sorted(own, key=lambda one: one[2:4][::-1]))


def say(*more: bytes, change: Callable[[bytes], bytes] = bytes, status: int = 0) -> Answer:
    return lambda context, request: [p_data(pdv(context, 3, change(response(request, *more, status=status))))]


def reordered(raw: bytes) -> bytes:
    elements = [element(number, value) for number, value in fields_of(raw).items()]
    return elements[0] + b"".join(reversed(elements[1:]))


WITH_WINDOW, TWO_LENGTHS = user_item(item(0x53, bytes(4))), user_item(item(0x51, b"\0\0\x20\0"))
ECHOES: dict[str, tuple[Provider, str]] = {
    "comment padded with NUL": (Provider(say(element(0x0902, b"fine\0\0"))), "informative_text"),
    "comment of 70": (Provider(say(element(0x0902, b"x" * 70))), "informative_text"),
    "comment beyond ASCII": (Provider(say(element(0x0902, b"gr\xfc\xdfe\0"))), "informative_text"),
    "invalid SOP class UID": (
        Provider(lambda context, request: [p_data(pdv(context, 3, response(request | {0x0002: b"VERIFY"})))]),
        "informative_text",
    ),
    "error id of four bytes": (Provider(say(element(0x0903, bytes(4)))), "informative_number"),
    "no group length": (Provider(say(change=lambda raw: raw[12:])), "command_layout"),
    "wrong group length": (Provider(say(change=lambda raw: element(0, b"\7\0\0\0") + raw[12:])), "command_layout"),
    "elements in another order": (Provider(say(change=reordered)), "command_layout"),
    "window that nobody proposed": (Provider(say(), WITH_WINDOW), "unasked_window"),
    "two Maximum Lengths": (Provider(say(), TWO_LENGTHS), "repeated_item"),
    "two version names": (Provider(say(), user_item(item(0x55, b"A"), item(0x55, b"B"))), "repeated_item"),
    "version name of 20": (Provider(say(), user_item(item(0x55, b"V" * 20))), "informative_text"),
    "version name of none": (Provider(say(), user_item(item(0x55, b""))), "informative_text"),
    "titles of anything": (Provider(say(), title=b"\xff\x1b\0\0"), ""),
}  # fmt: skip
EACH_ECHO = pytest.mark.parametrize(("made", "flag"), ECHOES.values(), ids=ECHOES)


def events(done: subprocess.CompletedProcess[str], name: str) -> list[dict[str, object]]:
    return [event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == name]


def deviations(done: subprocess.CompletedProcess[str]) -> list[object]:
    return [event["flag"] for event in events(done, "deviation")]


@EACH_ECHO
def test_our_echo_is_answered(made: Provider, flag: str) -> None:
    with provider(made) as port:
        done = ours("echoscu", "127.0.0.1", port, "--json")
    assert done.returncode == 0, done.stderr
    assert deviations(done) == ([flag] if flag else [])
    if flag:
        with provider(made) as port:
            assert ours("echoscu", "127.0.0.1", port, "--tolerance", "strict").returncode != 0


@needs_dcmtk
@EACH_ECHO
def test_the_echo_of_dcmtk_is_answered_too(made: Provider, flag: str) -> None:
    with provider(made) as port:
        done = dcmtk("echoscu", "127.0.0.1", port)
    assert done.returncode == 0, done.stderr


@needs_pynetdicom
@pytest.mark.parametrize("name", [name for name in ECHOES if name != "version name of 20"])
def test_the_echo_of_pynetdicom_is_answered_too(name: str) -> None:
    made, _ = ECHOES[name]
    with provider(made) as port:
        words = [sys.executable, "-m", "pynetdicom", "echoscu", "127.0.0.1", str(port)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


# -- storing, finding, moving, getting ---------------------------------------------------------------------------------


def on_another_context(made: list[Provider]) -> Answer:
    def answer(context: int, request: Fields) -> list[bytes]:
        numbers = [value[0] for kind, value in split_items(made[0].request[74:]) if kind == 0x20]
        other = next(number for number in numbers if number != context)
        return [p_data(pdv(other, 3, response(request)))]

    return answer


@needs_dcmtk
@pytest.mark.parametrize("whose", ["ours", "dcmtk"])
def test_a_store_answered_on_another_context_is_stored(whose: str, tmp_path: Path) -> None:
    file = dicom_file(tmp_path / "a.dcm", uid="1.2.3.9", data=OBJECT)
    made: list[Provider] = []
    made.append(Provider(on_another_context(made)))
    with provider(made[0]) as port:
        if whose == "ours":
            done = ours("storescu", "127.0.0.1", port, file, "--json")
            assert deviations(done) == ["response_on_other_context"]
        else:
            done = dcmtk("storescu", "127.0.0.1", port, file)
    assert done.returncode == 0, done.stderr


KEYS = ("-S", "-k", "StudyInstanceUID=1.2.3")
LEVEL = ("-k", "QueryRetrieveLevel=STUDY")


def find(context: int, request: Fields) -> list[bytes]:
    """A match, then a success response that repeats the identifier."""
    match = response(request, status=0xFF00, follows=1)
    last = response(request, follows=1)
    return [
        p_data(pdv(context, 3, match), pdv(context, 2, FOUND)),
        p_data(pdv(context, 3, last)),
        p_data(pdv(context, 2, FOUND)),
    ]


def test_a_query_whose_success_has_a_data_set_succeeds() -> None:
    """DCMTK assumes that there is no data set, and then cannot handle it."""
    with provider(Provider(find)) as port:
        done = ours("findscu", "127.0.0.1", port, *KEYS, *LEVEL, "--json")
    assert done.returncode == 0, done.stderr
    assert deviations(done) == ["unwanted_data_set"]
    assert len(events(done, "match")) == 1


def moved(*pending: bytes) -> Answer:
    def answer(context: int, request: Fields) -> list[bytes]:
        commands = [response(request, *pending, status=0xFF00), response(request)]
        return [p_data(pdv(context, 3, one)) for one in commands]

    return answer


@needs_dcmtk
@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((us(0x1020, 3), us(0x1021, 1), us(0x1022, 0), us(0x1023, 0)), "moved 1 object in"),
        ((), "moved in"),
    ],
    ids=["pending ones counted", "none counted"],
)
def test_a_move_without_final_counts_succeeds(counts: tuple[bytes, ...], text: str) -> None:
    with provider(Provider(moved(*counts))) as port:
        done = ours("movescu", "127.0.0.1", port, *KEYS, *LEVEL, "-aem", "DEST")
    assert done.returncode == 0, done.stderr
    assert text in done.stderr
    assert f"; the peer gave no {'final ' if counts else ''}counts" in done.stderr
    assert "remaining" not in done.stderr
    with provider(Provider(moved(*counts))) as port:
        theirs = dcmtk("movescu", *KEYS, *LEVEL, "-aem", "DEST", "127.0.0.1", port)
    assert theirs.returncode == 0, theirs.stderr


def get_without_roles(made: list[Provider]) -> Answer:
    asked: list[tuple[int, Fields]] = []

    def answer(context: int, request: Fields) -> list[bytes]:
        if request[0x0100] == b"\x10\0":
            asked.append((context, request))
            storage = contexts_of(made[0].request)[layouts.CT]
            command = command_set(
                element(0x0002, layouts.CT + b"\0"), us(0x0100, 1), us(0x0110, 77), us(0x0700, 0), us(0x0800, 1),
                element(0x1000, b"1.2.3.9\0"),
            )  # fmt: skip
            return [p_data(pdv(storage, 3, command), pdv(storage, 2, OBJECT))]
        number, first = asked[0]
        return [p_data(pdv(number, 3, response(first, us(0x1021, 1), us(0x1022, 0), us(0x1023, 0))))]

    return answer


@needs_dcmtk
@pytest.mark.parametrize("whose", ["ours", "dcmtk"])
def test_a_get_from_a_provider_that_answers_no_roles(whose: str, tmp_path: Path) -> None:
    made: list[Provider] = []
    made.append(Provider(get_without_roles(made)))
    with provider(made[0]) as port:
        if whose == "ours":
            words = (*KEYS, *LEVEL, "--sop-class", layouts.CT.decode(), "-od", tmp_path, "--json")
            done = ours("getscu", "127.0.0.1", port, *words)
            assert deviations(done) == ["store_without_role"]
        else:
            done = dcmtk("getscu", *KEYS, *LEVEL, "-od", tmp_path, "127.0.0.1", port)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 1


# -- a user by hand --------------------------------------------------------------------------------------------------

ECHO = command_set(
    element(0x0002, layouts.VERIFICATION + b"\0"), us(0x0100, 0x30), us(0x0110, 1), us(0x0800, 0x0101)
)  # fmt: skip
PROPOSED = layouts.PROPOSED_ITEM
BESIDE = item(0x20, b"\1\0\0\0" + layouts.ABSTRACT_ITEM + item(0x40, b"no uid") + layouts.TRANSFER_ITEM)
NEITHER = user_item(item(0x54, sized(layouts.VERIFICATION) + b"\0\0"))
Asking = tuple[bytes, bytes, bytes, str]
USERS: dict[str, Asking] = {
    "titles padded with NUL": (
        associate(1, layouts.APPLICATION_ITEM, PROPOSED, PLAIN, called=b"C".ljust(16, b"\0"), calling=b"USER\0JUNK"),
        ECHO, b"", "title_padded",
    ),
    "an invalid transfer syntax UID": (
        associate(1, layouts.APPLICATION_ITEM, BESIDE, PLAIN), ECHO, b"", "item_no_uid"),
    "a role of neither": (associate(1, layouts.APPLICATION_ITEM, PROPOSED, NEITHER), ECHO, b"", "role_of_neither"),
    "no group length": (layouts.request(), ECHO[12:], b"", "command_layout"),
    "a data set where none may be": (
        layouts.request(), ECHO.replace(us(0x0800, 0x0101), us(0x0800, 1)), b"x" * 20, "unwanted_data_set"),
}  # fmt: skip


def asked(port: int, asking: Asking) -> bytes:
    """Return the C-ECHO-RSP, or the event in its place."""
    request, command, data, _ = asking
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.settimeout(PATIENCE)
        sock.sendall(request)
        answer = read_pdu(sock)
        if answer[:1] != b"\2":
            return answer
        sock.sendall(p_data(pdv(1, 3, command)) + (p_data(pdv(1, 2, data)) if data else b""))
        answer = read_pdu(sock)
        sock.sendall(pdu(5, bytes(4)))
        read_pdu(sock)
        return answer


@pytest.mark.parametrize("asking", USERS.values(), ids=USERS)
def test_our_provider_answers(asking: Asking) -> None:
    with our_provider("storescp", 0) as running:
        answer = asked(running.port, asking)
    assert answer[:1] == b"\4", answer
    assert us(0x0900, 0) in answer
    assert [event["flag"] for event in running.of("deviation")] == [asking[3]] or running.of("log")


@needs_dcmtk
@pytest.mark.parametrize("name", [name for name in USERS if name != "a data set where none may be"])
def test_the_provider_of_dcmtk_answers_too(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with dcmtk_storescp(folder) as port:
        answer = asked(port, USERS[name])
    assert us(0x0900, 0) in answer, answer
