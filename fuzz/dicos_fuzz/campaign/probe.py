"""Learns a peer: what it accepts, which services it answers, how long it takes, when it closes.

    learned = probe(player, called="STORE", calling="ME")

Knows: what is asked and how answers are read. Must not know: what is tried with the result (`scenarios`).

Everything that is asked is valid and harmless (`harmless`): no object is named that exists, and no data of a patient is
sent. Each question is an association of its own, so that a peer that aborts one of them is still asked the others.
A peer that cannot be associated with raises `NoAssociation`, with one line that says what it does instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from time import monotonic
from typing import Final

from dicos_proto.dimse.types import CStoreRequest, DimseResponse
from dicos_proto.registry import uids
from dicos_proto.registry.service_classes import SERVICE_OF, Service
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    ContextResult,
    OperationsWindow,
    ReleaseRequest,
    RoleSelection,
    UserInformation,
)

from ..conversation import Await, Conversation, End, Open, Send, Step, Transcript, What
from ..grammar.building import Offer, request
from ..grammar.reading import pdus_of
from .foreign import what_it_speaks
from .harmless import request_of
from .heard import messages
from .knowledge import Accepted, Learned
from .lines import first_pdu
from .player import Player
from .responding import decoded

__all__ = ["NoAssociation", "probe"]

FIRST: Final = 10.0
"""Seconds for the first answer of a peer; a device that wakes up takes some."""
PATIENCE: Final = 5.0
"""Seconds for every other answer."""
LONGEST: Final = 60.0
"""Seconds after which the rest is not asked, at most."""
LEAST: Final = 0.1
"""Seconds that a peer gets at least for an answer."""
ECHO_ANSWERS: Final = 6
"""A good echo gets as long as this many of the slowest answers so far; it takes three."""
ECHOES: Final = 2
"""Good echoes that are tried: a busy host may be slow once."""
BATCH: Final = 128
TITLES: Final = ("ANY-SCP", "STORESCP", "QRSCP", "DCMQRSCP", "ARCHIVE", "ORTHANC", "DICOS_PROTO")
"""Called titles to try, if the peer does not know the first one and none was given."""
PROMPTLY: Final = 0.3
"""Seconds in which a peer that ends a connection by itself does so."""
ALONE: Final = 1.0
"""Seconds that a second association waits for its answer."""
_PLAIN: Final = (uids.IMPLICIT_VR_LE, uids.EXPLICIT_VR_LE)
_ABORT: Final = Send(message=encode(Abort()))
_TURN_ON: Final = "; --tls turns TLS on"
_BIG: Final = OperationsWindow(invoked=16, performed=16)


class NoAssociation(Exception):
    """The peer does not make an association; the text says what it does, in one line."""


def probe(
    player: Player, *, called: str | None = None, calling: str = "DICOS-FUZZ", seconds: float = LONGEST
) -> Learned:
    """Returns what is learned about the player's peer, which this side calls. Raises `NoAssociation`, `LocalTrouble`.

    `called`: the title to call it by; None tries a few. `seconds`: the longest time for it, up to `LONGEST`; what was
    not asked by then has its default.
    """
    before = player.bounds
    try:
        return _Probe(player, called, calling, min(seconds, LONGEST)).learn()
    finally:
        player.bounds = before


class _Probe:
    """One inquiry."""

    def __init__(self, player: Player, called: str | None, calling: str, seconds: float) -> None:
        self._player = player
        self._guesses = TITLES if called is None else (called,)
        self._learned = Learned(called=self._guesses[0], calling=calling, answer_seconds=FIRST)
        self._slowest = 0.0
        self._bounds = player.bounds
        self._seconds = seconds
        self._until = monotonic() + seconds

    @property
    def _late(self) -> bool:
        return monotonic() > self._until

    def learn(self) -> Learned:
        self._first()
        self._learned = replace(self._learned, answer_seconds=max(PATIENCE, 2 * self._slowest))
        self._echo()
        self._at_once()
        self._contexts()
        self._syntaxes()
        self._services()
        self._endings()
        seconds = max(LEAST, min(PATIENCE, 10 * self._slowest), 2 * self._slowest)
        self._learned = replace(self._learned, answer_seconds=seconds)
        return self._learned

    # -- asking --------------------------------------------------------------------------------------------------

    def _play(self, *steps: Step) -> Transcript:
        self._player.learned = self._learned
        left = max(LEAST, self._until - monotonic())
        self._player.bounds = replace(self._bounds, seconds=min(self._bounds.seconds, left))
        found = self._player.play(Conversation(name="probe", steps=steps))
        sent: float | None = None
        for entry in found.entries:
            if entry.what is What.SENT:
                sent = entry.at
            elif entry.what is What.RECEIVED and sent is not None:
                self._slowest, sent = max(self._slowest, entry.at - sent), None
        return found

    def _associate(self, offer: Offer) -> tuple[object, Transcript]:
        """Asks for an association, and leaves it by A-ABORT. Returns the answer as a PDU of the engine."""
        found = self._play(Open(), Send(message=request(offer)), Await(kinds=(2, 3)), _ABORT, End())
        return next((decoded(pdu) for pdu in pdus_of(found.received())), None), found

    def _offer(self, contexts: Iterable[tuple[str, tuple[str, ...]]], **information: object) -> Offer:
        return Offer(
            called=self._learned.called,
            calling=self._learned.calling,
            contexts=tuple(contexts),
            user_information=UserInformation(**information),  # type: ignore[arg-type]
        )

    # -- the questions -------------------------------------------------------------------------------------------

    def _first(self) -> None:
        """Verification, with a window; by other titles if the first one is not known."""
        for title in self._guesses:
            self._learned = replace(self._learned, called=title)
            answer, transcript = self._associate(self._offer([(uids.VERIFICATION, _PLAIN)], window=_BIG))
            if isinstance(answer, AssociateAccept):
                self._take(answer, [uids.VERIFICATION])
                return
            if not isinstance(answer, AssociateReject) or (answer.source, answer.reason) != (1, 7):
                break
        else:
            raise NoAssociation(f"{self._where} rejects the called AE titles {', '.join(self._guesses)}; -aec sets it")
        if isinstance(answer, AssociateReject):
            hint = "; -aet sets the calling AE title" if (answer.source, answer.reason) == (1, 3) else ""
            raise NoAssociation(f"{self._where}: {answer}{hint}")
        raise NoAssociation(f"{self._where} {self._seen(transcript)}")

    @property
    def _where(self) -> str:
        return f"{self._player.peer.host}:{self._player.peer.port}"

    def _seen(self, transcript: Transcript) -> str:
        """Returns what the peer does in place of an answer. One that speaks TLS may send an alert, say nothing, close
        or reset."""
        instead, peer = _instead(transcript), self._player.peer
        if peer.tls is None and instead is not None and "with a TLS" in instead:
            return f"{instead}{_TURN_ON}"
        if peer.tls is None and transcript.how() is not What.REFUSED and not transcript.received():
            spoken = what_it_speaks(peer.where, peer.port)
            if spoken is not None:
                return f"speaks {spoken}, not DICOM" + (_TURN_ON if spoken == "TLS" else "")
        accepts = "accepts connections" if peer.tls is None else "accepts connections over TLS"
        silent = f"{accepts}, and does not answer an A-ASSOCIATE-RQ within {min(FIRST, self._seconds):g} s"
        return instead or silent

    def _take(self, answer: AssociateAccept, asked: list[str], roles: frozenset[str] = frozenset()) -> int:
        """Takes the accepted contexts of an answer. Returns their number."""
        known = {(one.abstract_syntax, one.transfer_syntax) for one in self._learned.accepted[1:]}
        new = []
        for one in answer.contexts:
            if one.result is ContextResult.ACCEPTANCE and one.transfer_syntax and one.id // 2 < len(asked):
                abstract = asked[one.id // 2]
                if (abstract, one.transfer_syntax) not in known:
                    accepted = Accepted(
                        abstract_syntax=abstract, transfer_syntax=one.transfer_syntax, roles=abstract in roles
                    )
                    new.append(accepted)
        theirs = answer.user_information
        before = (
            () if self._learned.implementation == "" and len(self._learned.accepted) == 1 else self._learned.accepted
        )
        window = theirs.window
        self._learned = replace(
            self._learned,
            accepted=(*before, *new),
            max_length=theirs.max_length,
            window=self._learned.window if window is None else (window.invoked, window.performed),
            implementation=theirs.implementation_version_name or theirs.implementation_class_uid or "unnamed",
        )
        return len(new)

    def _echo(self) -> None:
        """The time of a good echo. Without one, nothing that the peer does later could be blamed on it."""
        self._player.learned = self._learned
        seconds = max(PATIENCE, ECHO_ANSWERS * self._slowest)
        for _ in range(ECHOES):
            seconds = min(seconds, self._until - monotonic())
            took = self._player.echo(max(LEAST, seconds))
            if took is not None:
                self._learned = replace(self._learned, echo_seconds=took, services=frozenset({"C-ECHO"}))
                return
            if self._late:
                break
        why = self._player.last.why
        hint = f" ({self._seconds:g} s for all questions; --time sets it)" if self._late else ""
        raise NoAssociation(f"{self._where} accepts an association, and serves no good echo: {why}{hint}")

    def _contexts(self) -> None:
        """Which SOP classes it accepts, in batches; smaller ones if it does not take as many contexts."""
        todo = [one for one in SERVICE_OF if one != uids.VERIFICATION]
        size = BATCH
        while todo and not self._late:
            batch = todo[:size]
            wanted = tuple(RoleSelection(sop_class_uid=one, scu=True, scp=True) for one in batch if _stores(one))
            answer, _ = self._associate(self._offer([(one, _PLAIN) for one in batch], roles=wanted, window=_BIG))
            if isinstance(answer, AssociateAccept):
                granted = frozenset(one.sop_class_uid for one in answer.user_information.roles if one.scp)
                self._take(answer, batch, granted)
            elif size > 8 and not isinstance(answer, AssociateReject):
                size //= 4
                continue
            todo = todo[size:]

    def _syntaxes(self) -> None:
        """Which other transfer syntaxes it accepts, for one storage SOP class."""
        stored = next((one for one in self._learned.accepted if _stores(one.abstract_syntax)), None)
        others = [one for one in uids.TRANSFER_SYNTAXES if stored is None or one != stored.transfer_syntax]
        if stored is None or self._late:
            return
        asked = [(stored.abstract_syntax, (one,)) for one in others[:BATCH]]
        answer, _ = self._associate(self._offer(asked))
        if isinstance(answer, AssociateAccept):
            self._take(answer, [stored.abstract_syntax] * len(asked))

    def _services(self) -> None:
        """Which requests it answers: one of each service, and N-GET of a few SOP classes."""
        tried: dict[str, int] = {}
        for one in self._learned.accepted:
            made = request_of(one.abstract_syntax, one.transfer_syntax, max_length=self._learned.max_length)
            if made is None or self._late:
                continue
            name, pdus = made
            if name in self._learned.services or tried.get(name, 0) >= 3:
                continue
            tried[name] = tried.get(name, 0) + 1
            asked = request(self._offer([(one.abstract_syntax, (one.transfer_syntax,))]))
            found = self._play(Open(), Send(message=asked), Await(kinds=(2, 3)), Send(message=pdus),
                               Await(kinds=(4,)), _ABORT, End())  # fmt: skip
            if any(_answers(heard.command) for heard in messages(found.received())):
                self._learned = replace(self._learned, services=self._learned.services | {name})

    def _endings(self) -> None:
        """Which connections it ends by itself."""
        if self._late:
            return
        offer = self._offer([(uids.VERIFICATION, _PLAIN)])
        asked, other = Send(message=request(offer)), Send(message=_to_be_rejected(offer))
        moment = Await(seconds=PROMPTLY)
        bye = Send(message=encode(ReleaseRequest()))
        released = self._play(Open(), asked, Await(kinds=(2,)), bye, Await(kinds=(6,)), moment)
        aborted = self._play(Open(), asked, Await(kinds=(2,)), _ABORT, moment)
        rejected = self._play(Open(), other, Await(kinds=(2, 3)), moment, _ABORT, End())
        was_rejected = any(pdu[:1] == b"\x03" for pdu in pdus_of(rejected.received()))
        self._learned = replace(
            self._learned,
            closes_after_release=_ended(released),
            closes_after_abort=_ended(aborted),
            keeps_rejected=was_rejected and not _ended(rejected),
        )

    def _at_once(self) -> None:
        """True if one association keeps all others waiting, or has them rejected."""
        asked = request(self._learned.offer(uids.VERIFICATION))
        steps: list[Step] = [Open(), Send(message=asked), Await(kinds=(2, 3)), Open(connection=1)]
        steps += [
            Send(message=asked, connection=1),
            Await(kinds=(2, 3), connection=1, seconds=max(ALONE, 2 * self._slowest)),
        ]
        for _ in range(0 if self._late else 2):  # a busy host may be slow once
            found = self._play(*steps)
            if found.received(0)[:1] != b"\x02" or found.received(1)[:1] == b"\x02":
                return
        self._learned = replace(self._learned, alone=True)


def _to_be_rejected(offer: Offer) -> bytes:
    """Returns an A-ASSOCIATE-RQ with an application context that nobody has, to be rejected."""
    good = request(offer)
    return good.replace(uids.DICOM_APPLICATION_CONTEXT.encode(), b"1.2.840.10008.3.1.9.9", 1)


def _stores(sop_class: str) -> bool:
    return SERVICE_OF.get(sop_class) is Service.STORAGE


def _answers(command: object) -> bool:
    """A response, or a request of the C-STORE sub-operation that a C-GET brings."""
    return isinstance(command, DimseResponse | CStoreRequest)


def _ended(transcript: Transcript) -> bool:
    return transcript.how() in (What.ENDED, What.RESET)


def _instead(transcript: Transcript) -> str | None:
    """Returns what the peer did in place of an answer; None if it did nothing."""
    from dicos_proto.upper_layer.framing import foreign_protocol

    how = transcript.how()
    said = transcript.received()
    head = said[:16]
    if how is What.REFUSED:
        note = next(entry.note for entry in transcript.entries if entry.what is What.REFUSED)
        return f"cannot be reached: {note}"
    if head:
        name = foreign_protocol(head)
        if name is not None:
            return f"answers with {name}, not DICOM"
        if head[0] == 7:
            return "aborts an A-ASSOCIATE-RQ for Verification"
        return f"answers an A-ASSOCIATE-RQ by {first_pdu(said) or f'{head!r}, which is not DICOM'}"
    if how in (What.ENDED, What.RESET):
        note = next((entry.note for entry in transcript.entries if entry.what is how), "")
        verb = "closes" if how is What.ENDED else "resets"
        return f"{verb} the connection instead of answering an A-ASSOCIATE-RQ" + (f" ({note})" if note else "")
    return None
