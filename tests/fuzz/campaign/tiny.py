"""A few conversations and families for the tests of the campaign, and the broken provider as a process."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random

from dicos_fuzz.campaign.knowledge import Learned
from dicos_fuzz.campaign.scenarios.family import Family
from dicos_fuzz.campaign.watching import Watched
from dicos_fuzz.conversation import Await, Conversation, End, Open, Send, Step, Transcript
from dicos_fuzz.finding import Finding
from dicos_fuzz.grammar import Offer, echo, request
from dicos_fuzz.tree import Action, Edit

RQ = request(Offer())
RELEASE = bytes.fromhex("05000000000400000000")
ABORT = bytes.fromhex("07000000000400000000")


def conversation(name: str, *steps: Step, expect: str = "any") -> Conversation:
    return Conversation(name=name, steps=(Open(), *steps), about=name, clause="PS3.8 9.2", expect=expect)


BEGIN = Send(message=RQ), Await(kinds=(2, 3))
GOOD = conversation("good/echo", *BEGIN, Send(message=echo()), Await(kinds=(4,)), Send(message=RELEASE),
                    Await(kinds=(6,)), expect="served")  # fmt: skip
SHORT = conversation("good/nothing", *BEGIN, Send(message=RELEASE), Await(kinds=(6,)))
ABORTED = conversation("abort/at once", *BEGIN, Send(message=ABORT))
RUNS_PAST = Edit("A-ASSOCIATE-RQ/user information/implementation class/length", Action.LENGTH, 200)
CRASHING = conversation("lengths/past the end", Send(message=RQ, edits=(RUNS_PAST,)), Await())
LOST = conversation("connections/lost in a PDU", *BEGIN, Send(message=echo()[:20]), End(how="reset"))


def family(name: str, *conversations: Conversation, resource: bool = False) -> Family:
    """A family with these conversations, again and again at random."""

    def systematic(learned: Learned) -> Iterator[Conversation]:
        return iter(conversations)

    def random(learned: Learned, random: Random) -> Conversation:
        return random.choice(conversations)

    return Family(name=name, about=name, systematic=systematic, random=random, resource=resource)


class Seen:
    """An observer that keeps what it receives."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.names: list[str] = []

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)

    def progress(self, totals: object) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def played(self, conversation: Conversation, transcript: Transcript, *, new: bool) -> None:
        self.names.append(conversation.name)


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def broken_command(port: int, defect: str) -> list[str]:
    return [sys.executable, "-m", "dicos_fuzz.broken", "--port", str(port), "--defect", defect]


@contextmanager
def broken(defect: str, *, command: Sequence[str] | None = None) -> Iterator[tuple[Watched, int]]:
    """The broken provider with a defect, in a process of its own. Yields it and its port."""
    port = free_port()
    started = command or broken_command(port, defect)
    with Watched(command=started, ready=partial(listens, port), port=port) as watched:
        watched.start()
        yield watched, port
