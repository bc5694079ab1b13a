"""A reproducer as a pytest test that needs only Python.

Knows: conversations as source text, how a finding is seen from outside. Must not know: how a conversation is played
here (`campaign`).

The maker of a peer runs the test without this package: the source of `standalone` is copied into it. The test fails
while the peer does what it did, and passes once it does not. It asks whether the peer still serves, where that was the
finding, and compares the reaction, where the protocol was. It never passes if there was no peer that serves: a good
echo comes first; of a peer that calls, an A-ASSOCIATE-RQ has to be seen.

Invariant: no text of the peer or of a file can become code: texts are comments of printable ASCII or literals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final, assert_never

from ..conversation import Answer, Await, Check, Conversation, End, Open, Pause, Reading, Send, Side, Step, Transcript
from ..conversation import What as Event
from ..grammar.building import Offer, request
from . import standalone
from .labels import labelled
from .naming import named_edits, wrong_lengths
from .placing import Placing
from .reproducer import Reproducer

__all__ = ["CannotExport", "pytest_of"]

SERVING: Final = frozenset({"crash", "hang", "slot-leak", "stall"})
"""Oracles that ask whether the peer still serves."""
INSIDE: Final = frozenset({"spin", "memory-peak", "memory-growth", "descriptor-leak", "thread-leak", "sanitizer"})
"""Oracles that look into the process of the peer; those of its log begin with `log-`."""
_ABOUT_ENDS: Final = ("closes", "ends-in-time")
"""Expectations that are about the end of a connection."""
_MOST_BYTES: Final = 256 << 10
_MOST_TEXT: Final = 1000
_REPEATED: Final = 20
"""Times that a conversation is played if its effect inside the peer adds up."""


class CannotExport(ValueError):
    """A reproducer has no export of this kind; the text says why, and what to do."""


def pytest_of(reproducer: Reproducer, transcript: Transcript, *, called: str = "ANY-SCP", seconds: float = 5.0) -> str:
    """Returns the source of a test. Raises `CannotExport`.

    `transcript`: of a run of this conversation that showed the finding. `called`: the title of the peer for good
    echoes. `seconds`: for an answer.
    """
    _check(reproducer, transcript)
    source = _Source()
    scripts = [source.script(one, None) for one in reproducer.before]
    scripts.append(source.script(reproducer.conversation, transcript))
    names = [*(f"earlier_{number}" for number in range(1, len(scripts))), "conversation"]
    test = "test_" + re.sub(r"[^a-z0-9]", "_", reproducer.id.lower())[:80]
    parts = [
        _head(reproducer),
        _settings(reproducer, called, seconds),
        "\n".join(source.messages),
        *(_function(name, script) for name, script in zip(names, scripts, strict=True)),
        _test(test, reproducer, transcript, names),
        _HELPERS + _code_of_standalone(),
        _MAIN.replace("TEST", test),
    ]
    return "\n\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _check(reproducer: Reproducer, transcript: Transcript) -> None:
    conversations = (*reproducer.before, reproducer.conversation)
    if any(_is_beneath(step) for one in conversations for step in one.steps):
        raise CannotExport("it sends bytes beneath TLS, which only dicos replay can do")
    if any(isinstance(step, Answer) for one in reproducer.before for step in one.steps):
        raise CannotExport("a conversation before it answers what the peer says, which only dicos replay can do")
    answers = any(isinstance(step, Answer) for step in reproducer.conversation.steps)
    if (_is_compared(reproducer) or answers) and not Placing(transcript, reproducer.conversation).complete:
        raise CannotExport("its transcript is not of this conversation: play it again, with HOST PORT")
    size = sum(len(step.message) for one in conversations for step in one.steps if isinstance(step, Send))
    if size > _MOST_BYTES:
        raise CannotExport(f"it sends {size:,} bytes; at most {_MOST_BYTES:,} fit into a test")


def _is_beneath(step: Step) -> bool:
    """True if a step is about TLS itself."""
    match step:
        case Open(bare=found) | Send(beneath=found):
            return found
        case End(how=how):
            return how == "notify"
        case _:
            return False


def _is_inside(reproducer: Reproducer) -> bool:
    """True if the finding is inside the process of the peer."""
    oracle = reproducer.violation.oracle
    return oracle in INSIDE or oracle.startswith("log-")


def _is_compared(reproducer: Reproducer) -> bool:
    """True if the reaction on the connections is the finding."""
    return reproducer.violation.oracle not in SERVING and not _is_inside(reproducer)


# -- the parts of the file -----------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Text for a docstring or a comment: printable ASCII in one line, which cannot end it."""
    shown = text[:_MOST_TEXT].replace('"', "'").replace("\\", "/")
    return "".join(one if " " <= one <= "~" else "?" for one in shown).rstrip()


def _head(reproducer: Reproducer) -> str:
    violation = reproducer.violation
    shown, tried = reproducer.replayed
    lines = (
        f"{reproducer.id}: {violation.detail}",
        "",
        f"Rule:      {violation.clause}",
        f"Severity:  {violation.severity.value}",
        f"State:     {violation.state or 'not known'}",
        f"Peer:      {reproducer.peer or 'not described'}",
        f"Shown:     {f'{shown} of {tried} times' if tried else 'once'}",
        f"Made by:   {reproducer.program or 'dicos fuzz'}",
        "",
        *_how_to_run(reproducer.conversation.side),
        "",
        "    DICOS_HOST=127.0.0.1 DICOS_PORT=11112 python -m pytest THIS_FILE",
        "    python THIS_FILE HOST PORT",
        "",
        "It fails while the peer does what it did when this was found, and passes once it does not.",
        "If the peer serves no good association, nothing was tested: that is a failure, or exit status 3.",
        "",
        "DICOS_SECONDS: seconds for an answer. DICOS_CALLED: the AE title of the peer. Python 3.8 or later.",
        f"DICOS_TLS: 1 speaks TLS, 0 does not; it was found {'over' if reproducer.tls else 'without'} TLS.",
        "DICOS_TLS_CA, DICOS_TLS_CERT, DICOS_TLS_KEY: PEM files: whom to trust, and who this side is.",
        "DICOS_TLS_PASSWORD: that of the key. DICOS_TLS_NAME: the host name in the certificate of the peer.",
        "DICOS_TLS_NO_VERIFY: 1 accepts any certificate, for tests only.",
    )
    return '"""' + "\n".join(_plain(line) for line in lines) + '\n"""\n\n' + _IMPORTS


def _how_to_run(side: Side) -> tuple[str, ...]:
    if side is Side.USER:
        return ("Run it against a peer that you own:",)
    seconds = f"{standalone.CALL_SECONDS:g} seconds"
    return (
        "The peer has to call: the test listens at HOST PORT, an address of this host, and connects to nobody.",
        f"Start it, then make a peer that you own call there; the test waits {seconds} for each call.",
        "It says so each time: it may need more than one call.",
    )


_IMPORTS: Final = """from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import sys
import time
from typing import Callable, Sequence
"""


def _settings(reproducer: Reproducer, called: str, seconds: float) -> str:
    calling = request(Offer(called=called))
    return "\n".join(
        (
            'HOST = os.environ.get("DICOS_HOST", "127.0.0.1")',
            'PORT = int(os.environ.get("DICOS_PORT", "11112"))',
            f'SECONDS = float(os.environ.get("DICOS_SECONDS", "{seconds:g}"))',
            f'CALLED = os.environ.get("DICOS_CALLED", {called!a})',
            'NAME = os.environ.get("DICOS_TLS_NAME", "")',
            f"LISTEN = {reproducer.conversation.side is Side.PROVIDER}  # True: the peer calls HOST PORT",
            f"OVER_TLS = {reproducer.tls}  # True: it was found over TLS",
            "",
            "# The A-ASSOCIATE-RQ of a good echo.",
            f'CALLING = bytes.fromhex("{calling[:10].hex()}") + CALLED.ljust(16).encode() + bytes.fromhex(',
            *(f'    "{calling[at : at + 40].hex()}"' for at in range(26, len(calling), 40)),
            ")",
        )
    )


def _function(name: str, lines: list[str]) -> str:
    return "\n".join((f"def {name}(talk: Talk) -> None:", *(f"    {line}" for line in lines)))


@dataclass(slots=True)
class _Source:
    """The messages of a test so far."""

    messages: list[str] = field(default_factory=list)
    _count: int = 0

    def script(self, conversation: Conversation, transcript: Transcript | None) -> list[str]:
        """Returns the lines of the function that plays a conversation."""
        placing = None if transcript is None else Placing(transcript, conversation)
        answered: dict[int, int] = {}
        lines: list[str] = []
        for step in conversation.steps:
            if isinstance(step, Answer):
                number = step.connection
                found = [] if placing is None else placing.answers(number)[answered.get(number, 0) :]
                answered[number] = answered.get(number, 0) + 1
                lines += self._answer(number, found[0] if found else b"")
            else:
                lines.append(self._line(step))
        return lines or ["pass"]

    def _answer(self, connection: int, data: bytes) -> Iterator[str]:
        if data:
            yield f"talk.wait({connection})"
            yield f"talk.send({connection}, {self._message(data, ['The answer in the run that was recorded.'])})"

    def _line(self, step: Open | Send | Await | Pause | Reading | End | Check) -> str:
        match step:
            case Open(connection=number):
                return f"talk.open({number})"
            case Send(connection=number):
                faults = named_edits(step.message, step.edits) if step.edits else wrong_lengths(step.message)
                name = self._message(step.wire(), [f"On purpose: {fault}" for fault in faults])
                return f"talk.send({number}, {name}, piece={step.piece}, gap={float(step.gap)!r})".replace(
                    ", piece=0, gap=0.0", ""
                )
            case Await(kinds=kinds, connection=number, seconds=seconds):
                patience = "" if seconds is None else f", {float(seconds)!r}"
                return f"talk.wait({number}, {kinds!r}{patience})"
            case Pause(seconds=seconds):
                return f"talk.pause({float(seconds)!r})"
            case Reading(on=on, connection=number):
                return f"talk.reading({number}, {on})"
            case End(how=how, connection=number):
                return f"talk.end({number}, {how!r})"
            case Check():
                return "talk.check(CALLING)"
            case _ as unreachable:
                assert_never(unreachable)

    def _message(self, wire: bytes, comments: list[str]) -> str:
        """Adds a message. Returns its name."""
        self._count += 1
        name = f"MESSAGE_{self._count}"
        self.messages += [f"# {_plain(one)}" for one in comments]
        self.messages.append(f"{name} = bytes.fromhex(")
        for data, label in labelled(wire):
            comment = f"  # {_plain(label)}" if label else ""
            self.messages.append(f'    "{data.hex(" ")}"{comment}')
        self.messages.append(")")
        return name


def _test(name: str, reproducer: Reproducer, transcript: Transcript, scripts: list[str]) -> str:
    violation = reproducer.violation
    shown, tried = reproducer.replayed
    inside, compared = _is_inside(reproducer), _is_compared(reproducer)
    times = _REPEATED if inside else tried if 0 < shown < tried else 1
    lines = [
        f"def {name}() -> None:",
        f'    """{_plain(violation.detail)} [{_plain(violation.clause)}]"""',
        "    ready()",
        f"    for _ in range({times}):",
        *(f"        play({one})" for one in scripts[:-1]),
        f"        talk = play({scripts[-1]}{', SHOWN' if compared else ''})",
        '        assert not any(talk.checks), f"a good echo beside it: {talk.checks}"',
    ]
    if compared:
        ends = reproducer.conversation.expect in _ABOUT_ENDS
        lines.append(f"        found = talk.reactions(ends={ends})")
        lines.append('        assert found != SHOWN, f"the peer did it again: {found}"')
        lines.append("        tested(talk)")
        found = _reactions(reproducer, transcript, ends)
        before = ["# The reaction of the peer when this was found, by connection.", f"SHOWN = {found!a}", "", ""]
        return "\n".join([*before, *lines])
    if inside:
        lines.append("        # The finding is inside the peer: watch its memory, descriptors, threads and log.")
    return "\n".join([*lines, '        assert serves() == "", "the peer does not serve any more"'])


def _reactions(reproducer: Reproducer, transcript: Transcript, about_ends: bool) -> dict[int, str]:
    """The reactions of the peer, by connection, in the words of the test."""
    numbers = sorted({step.connection for step in reproducer.conversation.steps if isinstance(step, Open)})
    words = {Event.ENDED: "closed", Event.RESET: "reset", Event.REFUSED: "refused"}
    ends = {
        number: next((words[e.what] for e in transcript.entries if e.connection == number and e.what in words), "open")
        for number in numbers
    }
    return {number: standalone.reaction(transcript.received(number), ends[number], about_ends) for number in numbers}


def _code_of_standalone() -> str:
    source = files(__package__).joinpath("standalone.py").read_text("utf-8")
    return source[source.index("NAMES = ") :]


_HELPERS: Final = '''
# -- The rest is the same in every test. --------------------------------------------------------------------------


def play(script: Callable[[Talk], None], shown: dict[int, str] | None = None) -> Talk:
    """Plays a conversation to its end."""
    talk = Talk(HOST, PORT, SECONDS, LISTEN, secured(), NAME)
    try:
        script(talk)
        talk.settle(shown)
    finally:
        talk.close()
    return talk


def serves() -> str:
    """Returns an empty string if the peer serves, or the reason why it does not."""
    if not LISTEN:
        return good_echo(HOST, PORT, CALLING, SECONDS, secured(), NAME)
    talk = Talk(HOST, PORT, SECONDS, LISTEN, secured(), NAME)
    try:
        talk.open(0)
        talk.wait(0, (1,))
        return "" if is_request(bytes(talk.received[0])) else "it calls, and sends no A-ASSOCIATE-RQ"
    except NotCalled:
        return "it does not call again"
    finally:
        talk.close()


def ready() -> None:
    """Makes sure that a peer that listens is there and serves: else nothing would be tested."""
    trouble = "" if LISTEN else serves()
    if trouble:
        raise NotTested(f"no association: nothing was tested: {trouble}")


def tested(talk: Talk) -> None:
    """Makes sure that the peer was there, and is: one that calls has shown it by an A-ASSOCIATE-RQ."""
    if LISTEN and any(is_request(bytes(one)) for one in talk.received.values()):
        return
    trouble = serves()
    if trouble and LISTEN:
        raise NotTested(f"no association: nothing was tested: {trouble}")
    assert trouble == "", f"the peer does not serve any more: {trouble}"


def secured() -> ssl.SSLContext | None:
    """Returns the settings of TLS, None without TLS."""
    given = os.environ.get
    asked = OVER_TLS or any(f"DICOS_TLS_{one}" in os.environ for one in ("CA", "CERT", "KEY", "NAME", "NO_VERIFY"))
    if given("DICOS_TLS", "1" if asked else "0") in ("", "0"):
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if LISTEN else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if given("DICOS_TLS_NO_VERIFY", "0") not in ("", "0"):
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    elif LISTEN and "DICOS_TLS_CA" not in os.environ:
        raise NotTested("nothing was tested: DICOS_TLS_CA names the CAs of the peer; DICOS_TLS_NO_VERIFY=1 trusts all")
    else:
        made.verify_mode = ssl.CERT_REQUIRED
    if LISTEN and "DICOS_TLS_CERT" not in os.environ:
        raise NotTested("nothing was tested: DICOS_TLS_CERT names the certificate of this side, for a peer that calls")
    try:
        if "DICOS_TLS_CA" in os.environ:
            made.load_verify_locations(given("DICOS_TLS_CA"))
        else:
            made.load_default_certs()
        if "DICOS_TLS_CERT" in os.environ:
            made.load_cert_chain(os.environ["DICOS_TLS_CERT"], given("DICOS_TLS_KEY"), given("DICOS_TLS_PASSWORD"))
    except OSError as error:
        raise NotTested(f"nothing was tested: a file of DICOS_TLS_CA, _CERT or _KEY cannot be used: {error}") from None
    return made


'''
_MAIN: Final = """
if __name__ == "__main__":
    if len(sys.argv) == 3:
        HOST, PORT = sys.argv[1], int(sys.argv[2])
    try:
        TEST()
    except NotTested as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    print("not shown: the peer does not do it any more")
"""
