"""One direction of a connection with faults: bytes in, the same bytes out, later, fewer, more or other ones.

Knows: bytes, PDUs by their headers, the effects of faults. Must not know: who sends, who receives, sockets, clocks.

Theory of operation: nothing is worked on before it is taken. `feed` keeps bytes; `take` passes them up to the next
place where a fault is due, lets it strike, and goes on, until one piece is complete, so that memory is what was fed,
and little more. Times are those of `pace`.

Invariants: the same plan, the same bytes and the same times give the same pieces. `size` is at most what was fed and
not taken, and `ADDED`. A fault that would go beyond a limit here does not strike, and the log says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final, assert_never

from dicos_proto.wire import Buffer

from ..grammar.changing import change
from ..grammar.reading import PDU_NAMES, read_pdu
from ..tree import Edit, Node, apply, encode, find
from .altering import WHOLE, Altering
from .effects import (
    TRANSIENT,
    Change,
    Clock,
    Delay,
    Direction,
    Dribble,
    Drop,
    Duplicate,
    EditPdu,
    Error,
    Flip,
    HalfClose,
    Insert,
    Merge,
    Overwrite,
    Reorder,
    Reset,
    Short,
    Split,
    Stall,
    Timers,
    Truncate,
    described,
)
from .inbox import Inbox
from .log import Log
from .pace import Pace
from .plan import Fault
from .triggers import Triggers

__all__ = ["HELD", "Line"]

HELD: Final = 1 << 19
"""High-water mark for bytes that wait, what their objects cost included: `wants` is False above it."""
PIECES: Final = 1024
"""Most buffers of one piece."""
LONGEST_TEXT: Final = 62
"""Most characters of an effect in the log."""


class Line:
    """One direction. `feed` and `end` put in, `take` takes out."""

    def __init__(self, faults: Sequence[tuple[int, Fault]], direction: Direction, random: Random, log: Log) -> None:
        self.direction = direction
        self.other: Line | None = None
        """The other direction of the connection."""
        self.carried = 0
        """Bytes taken."""
        self.reset = False
        """True if the connection was reset here."""
        self.cut = False
        """True if a fault has ended the direction."""
        self.lost = ""
        """The error because of which no byte gets through any more, empty if there was none."""
        self.error: Error | None = None
        """The last error that has struck; an owner who raises errors resets it."""
        self.stuck = False
        """True if the last `take` gave nothing: only bytes, time, or the other direction change that."""
        self.signals: list[Timers | Clock] = []
        """Effects on the engine's time, which the owner of the line takes away and carries out."""
        self._log = log
        self._random = random
        self._inbox = Inbox()
        self._pace = Pace(random)
        self._triggers = Triggers(faults, random)
        self._quiet = not faults  # no fault has any effect from now on
        self._over = False  # the source has ended, and everything was taken
        self._at = 0  # bytes worked on
        self._due: deque[tuple[int, Fault]] = deque()  # faults whose place is here
        self._ready: deque[memoryview] = deque()  # bytes that come before the next ones of the inbox
        self._boundary = False  # the present piece ends here
        self._late = False  # the last one was empty because the next bytes, or the end, are delayed
        self._pdus = self._triggers.needs_pdus  # the bytes are read as PDUs
        self._pdu_left = 0  # bytes of the present PDU
        self._fresh = False  # none of them has passed
        self._whole: list[tuple[int, EditPdu | Change | Truncate]] = []  # for the next PDU
        self._altering = Altering()
        self._texts = {number: _brief(described(fault.effect)) for number, fault in faults}

    # -- in --------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._inbox.size + sum(map(len, self._ready)) if self._ready else self._inbox.size

    @property
    def wants(self) -> bool:
        """True if it should be fed: nothing stalls, and there is room."""
        return not self._pace.stalled and self.has_room

    @property
    def has_room(self) -> bool:
        """True if less waits than may wait; a PDU that is changed as a whole needs room in any case."""
        return self._inbox.size <= WHOLE or self._inbox.cost < HELD

    @property
    def moving(self) -> bool:
        """True if bytes wait that will pass by themselves, at some time."""
        return self.size > 0 and not (self._pace.stalled_forever or self.reset)

    @property
    def stalled_forever(self) -> bool:
        """True if nothing passes any more."""
        return self._pace.stalled_forever

    def feed(self, data: Buffer) -> None:
        """Adds bytes, by reference. They are dropped once the direction is over."""
        if len(data) and not (self.cut or self.reset or self.lost):
            self._inbox.put(data)
            self.stuck = False

    def end(self) -> None:
        """The source sends no more."""
        self._inbox.end()
        self.stuck = False

    # -- time ------------------------------------------------------------------------------------------------------

    def deadline(self, now: float) -> tuple[float, str] | None:
        """Returns when to call `handle_timeout`, and why; None if time changes nothing."""
        if self._quiet or self.reset or self.cut:
            return None
        found = None if self._pace.usual else self._pace.deadline(now, self._inbox, self.size)
        if self._late and not self._pace.held(self._inbox):
            self._late = self.stuck = False  # now that the time is known at which the bytes came
            return now, "bytes that are not delayed any more"
        at = self._triggers.deadline(now)
        if at is not None and (found is None or at < found[0]):
            return at, "the time of a fault"
        return found

    def handle_timeout(self, now: float) -> None:
        """Passes the time. Faults at a time strike, if they need no byte, even while nothing passes."""
        if self._quiet or self.reset or self.cut:
            return
        more = self._pace.handle_timeout(now, self._inbox)
        for number, fault in self._triggers.handle_timeout(now, self._at):
            self._strike(number, fault)
            more = True
        self.stuck = self.stuck and not more

    @property
    def finished(self) -> bool:
        """True if everything was taken, and the end of file is next."""
        return (self._over or self.cut) and not self._ready

    @property
    def movable(self) -> bool:
        """True if `take` may give something now, or let a fault strike."""
        pace = self._pace
        if pace.stalled:
            self._look()
        if self.stuck or self.reset or pace.stalled or self.finished:
            return False
        if self._inbox.size or self._ready:
            return pace.usual or not self.blocked
        return self._inbox.ended or bool(self._due) or self._triggers.nearest <= self._at

    @property
    def blocked(self) -> bool:
        """True while bytes wait that may not pass now."""
        if self._quiet or self.size == 0:
            return False
        self._look()
        return (
            self.stuck or self._pace.held(self._inbox) or not self._pace.room(self.size, ended=self._inbox.ended)
        )  # fmt: skip

    def _look(self) -> None:
        """The other direction may have gone on, which ends a stall that waits for it."""
        if self.other is not None and self._pace.stalled:
            self._pace.look(self.other.carried)
            self.stuck = self.stuck and self._pace.stalled

    # -- out -------------------------------------------------------------------------------------------------------

    def take(self) -> list[bytes | memoryview]:
        """Takes the next piece, as buffers; an empty list if nothing may pass now."""
        if self._quiet:
            quick = self._inbox.take_all()
            self.carried += sum(map(len, quick))
            self._over = self._inbox.ended
            self.stuck = not quick
            return quick
        if self._pace.stalled:
            self._look()
        if self._is_empty():
            self.stuck = True
            return []
        while not (piece := self._piece()) and self._boundary and not self.signals:
            pass  # the pace has changed before the first byte
        size = sum(map(len, piece))
        if size:
            self.carried += size
            self._pace.passed(size)
        self.stuck = not (piece or self.signals)
        self._quiet = not self._triggers.left and self._has_no_effect()
        return piece

    def _is_empty(self) -> bool:
        """Returns True if nothing is here, and no fault is due here."""
        inbox = self._inbox
        here = inbox.size or self._ready or self._due or (inbox.ended and not self._over)
        return not here and self._at < self._triggers.nearest

    def _has_no_effect(self) -> bool:
        busy = self._due or self._ready or self._whole or self._altering.busy
        over = self.cut or self.reset or self.lost
        return self._pace.usual and not (busy or over)

    def _piece(self) -> list[bytes | memoryview]:
        self._boundary = self._late = False
        room = self._pace.room(self.size, ended=self._inbox.ended)
        piece: list[bytes | memoryview] = []
        while room > 0 and len(piece) < PIECES:
            buffer = self._next(room)
            if buffer is None:
                break
            piece.append(buffer)
            room -= len(buffer)
        return piece

    def _next(self, room: int) -> bytes | memoryview | None:
        """Works on the bytes up to the next that pass, and returns these; None at a boundary, or if none may pass."""
        inbox = self._inbox
        while not (self._boundary or self.reset):
            if self._ready:
                data = self._ready.popleft()
                if len(data) > room:
                    self._ready.appendleft(data[room:])
                return data[:room]
            if self._pace.stalled or self.cut:
                return None
            held = self._pace.delays and self._pace.held(inbox)
            here = inbox.size > 0 and not held
            if not self._due and self._triggers.nearest <= self._at:
                self._due.extend(self._triggers.due(self._at, more=here))
            if self._due:
                self._strike(*self._due.popleft())
            elif not here:
                self._over = inbox.ended and not inbox.size and not held
                self._late = held
                return None
            elif self._pdus and not self._pdu_left:
                if not self._begin_pdu():
                    return None
            elif self._whole and self._fresh:
                if not self._change_pdu():
                    return None
            elif (passed := self._pass(room)) is not None:
                return passed
        return None

    def _pass(self, room: int) -> bytes | memoryview | None:
        """Takes bytes of the inbox, at most up to the next place; None if they are dropped."""
        begin = self._at
        most = min(room, max(self._triggers.nearest - begin, 0))
        if self._pdus and self._pdu_left < most:
            most = self._pdu_left
        if self._altering.busy:
            most = min((most, *self._altering.steps(begin)))
        data = self._inbox.take(most)
        self._at += len(data)
        ends = False
        if self._pdus:
            self._pdu_left -= len(data)
            self._fresh = False
            ends = not self._pdu_left
        if self.lost:
            return None
        if not self._altering.busy:
            return data
        piece = self._altering.apply(data, begin, pdu_ends=ends)
        for number, copy in self._altering.take_copies():
            if why := self._add(copy):
                self._note(number, why)
        return piece

    def _add(self, data: bytes) -> str:
        """The bytes come before the next ones. Returns why not, if they do not."""
        why = self._altering.may_add(len(data))
        if data and not why:
            self._ready.append(memoryview(data))
        return why

    # -- PDUs ------------------------------------------------------------------------------------------------------

    def _begin_pdu(self) -> bool:
        """Reads the header of the next PDU. Returns False if it is not here yet."""
        head = self._inbox.peek(6)
        if len(head) < 6 and not self._inbox.ended:
            return False
        if len(head) < 6 or head[0] not in PDU_NAMES:  # ciphertext, or another protocol: no PDU follows
            self._pdus = False
            self._altering.forget_pdus()
            return True
        self._pdu_left = 6 + int.from_bytes(head[2:6], "big")
        self._fresh = True
        self._triggers.begin_pdu(head[0], self._at)
        return True

    def _change_pdu(self) -> bool:
        """Changes the PDU that begins here as a whole. Returns False if it is not complete yet."""
        inbox, size = self._inbox, self._pdu_left
        if size <= WHOLE and inbox.size < size and not inbox.ended:
            return False
        waiting, self._whole = self._whole, []
        if size > WHOLE or inbox.size < size:
            for number, _ in waiting:
                self._note(number, f"nothing: a PDU of {size} bytes; {WHOLE}, and all of them, are needed")
            return True
        before = inbox.take_whole(size)
        pdu = before
        for number, effect in waiting:
            pdu, done = self._changed(pdu, effect)
            self._note(number, done)
        inbox.put_back(pdu)
        self._pdu_left = len(pdu)
        return True

    def _changed(self, pdu: bytes, effect: EditPdu | Change | Truncate) -> tuple[bytes, str]:
        """The PDU with this effect, and what was done, in words."""
        if isinstance(effect, Truncate):
            return pdu[: -effect.size], f"truncated by {min(effect.size, len(pdu))} bytes"
        tree: Node = read_pdu(pdu)
        done: list[str] = []
        if isinstance(effect, EditPdu):
            if find(tree, effect.edit.path) is None:
                return pdu, f"nothing: this PDU has no field {effect.edit.path}"
            tree = apply(tree, [effect.edit])
            done.append(str(effect.edit))
        else:
            for _ in range(effect.count):
                if (edit := change(tree, self._random)) is not None:
                    tree = apply(tree, [edit])
                    done.append(_named(edit))
        found = encode(tree)
        return found, f"edited: {'; '.join(done)}" + ("" if found != pdu else " (without effect)")

    # -- strikes ---------------------------------------------------------------------------------------------------

    def _note(self, number: int, what: str) -> None:
        self._log.add(number, self.direction, self._at, what)

    def _strike(self, number: int, fault: Fault) -> None:
        """Carries out the effect of a fault whose place is here."""
        done = self._act(number, fault)
        if done:
            self._note(number, done)

    def _act(self, number: int, fault: Fault) -> str:
        """Returns what was done, in words; empty if that is noted later."""
        effect, pace = fault.effect, self._pace
        match effect:
            case EditPdu() | Change() | Truncate() | Drop(size=None) | Duplicate(size=None) if not self._pdus:
                return "nothing: there are no PDUs"
            case EditPdu() | Change() | Truncate():
                if all(other != number for other, _ in self._whole):
                    self._whole.append((number, effect))
                return ""
            case Split():
                self._boundary = True
                return "a boundary"
            case Merge(size=size, seconds=seconds):
                pace.merge(size, seconds)
            case Delay(seconds=seconds, jitter=jitter):
                pace.delay(seconds, jitter)
            case Reorder(size=size, seconds=seconds):
                pace.stall(seconds, _brief(str(fault)), (self.other.carried if self.other is not None else 0) + size)
            case Duplicate(size=length):
                return self._altering.copy(number, length) or self._texts[number]
            case Drop(size=length):
                self._altering.drop(length)
            case Flip(bit=bit):
                return self._altering.flip(self._at, bit) or self._texts[number]
            case Overwrite(data=data):
                return self._altering.overwrite(self._at, data) or self._texts[number]
            case Insert(data=data):
                return self._add(data) or self._texts[number]
            case Stall(seconds=wait):
                pace.stall(wait, _brief(str(fault)))
            case Dribble(rate=rate):
                pace.dribble(rate)
            case Short(size=size):
                pace.shorten(size)
            case HalfClose():
                self._end_here()
                self.cut = True
            case Reset():
                self._end_here()
                self.reset = True
            case Timers() | Clock():
                self.signals.append(effect)  # which comes before the bytes behind it
            case Error(error=name):
                self.error = effect
                if name not in TRANSIENT:
                    self.lost = name
                    self._inbox.clear()
            case _ as unreachable:
                assert_never(unreachable)
        self._boundary = self._boundary or isinstance(effect, Merge | Dribble | Short | Error | Timers | Clock)
        return self._texts[number]

    def _end_here(self) -> None:
        """Nothing more passes."""
        self._inbox.clear()
        self._ready.clear()
        self._due.clear()


def _named(edit: Edit) -> str:
    """A random edit without its bytes, which may be some of a data set."""
    if isinstance(edit.value, bytes):
        return f"{edit.path or 'all'}: {edit.action.value} {len(edit.value)} bytes"
    return str(edit)


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."
