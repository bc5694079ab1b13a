"""The effects of faults and the places where they strike, as values, and the tables that list them.

`PLACES` and `FORMS` list all of them with their parameters; the text form (`text`), tapes (`tapes`), Hypothesis
strategies (`strategies`) and the table of the documentation follow from these tables.

Knows: values. Must not know: how an effect is carried out (`line`, `wire`).
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Final

from ..grammar.reading import PDU_NAMES
from ..tree import Edit
from .shapes import Choice, Edits, Hex, Maybe, Prefix, Seconds, Shape, Whole

__all__ = [
    "ERRORS", "FORMS", "PLACES", "About", "After", "At", "Change", "Clock", "Delay", "Direction", "Dribble", "Drop",
    "Duplicate", "EditPdu", "Effect", "Error", "Every", "Flip", "Form", "HalfClose", "Insert", "Merge", "Overwrite",
    "Pdu", "Place", "Reorder", "Reset", "Short", "Split", "Stall", "Timers", "TRANSIENT", "Truncate", "described",
]  # fmt: skip

FARTHEST: Final = 1 << 40
"""The last byte of a direction at which a fault may strike."""
LONGEST: Final = 100_000.0
"""Most seconds of any time in a plan, a little more than a day."""
COPIED: Final = 1 << 16
"""Most bytes that one fault inserts, repeats or joins."""
TRANSIENT: Final = ("EAGAIN", "EINTR", "ENOBUFS", "EMFILE", "ENFILE", "ENOMEM", "ECONNABORTED")
"""Names of errors that pass."""
ERRORS: Final = ("EPIPE", "ECONNRESET", "ETIMEDOUT", "EIO", "ENOSPC", "EDQUOT", *TRANSIENT)
"""Names of the errors that a socket, a source or a sink may be made to raise."""


class Direction(Enum):
    """The direction of the bytes, as seen from the side that the faults are around; the proxy sees it from the side
    that connects."""

    IN = "in"
    """From the peer to the wire."""
    OUT = "out"
    """From the wire to the peer."""


class _Checked:
    """A value whose fields are checked by their shapes."""

    __slots__ = ()

    def __post_init__(self) -> None:
        form = FORM_OF[type(self)]
        for name, shape in zip(form.names, form.shapes, strict=True):
            try:
                object.__setattr__(self, name, shape.check(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{form.name}: {name}: {error}") from None


# -- places --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class At(_Checked):
    """Once `offset` bytes have passed."""

    offset: int


@dataclass(frozen=True, slots=True)
class Every(_Checked):
    """Each time that `size` bytes have passed."""

    size: int


@dataclass(frozen=True, slots=True)
class About(_Checked):
    """The same with gaps drawn from 1 to twice `size`, less one."""

    size: int


@dataclass(frozen=True, slots=True)
class Pdu(_Checked):
    """In a PDU: `number` counts those of its kind from 1, "any" is every kind; 0 stands for each of them. `offset`:
    bytes of it that have passed; its length is the place right behind it."""

    kind: str
    number: int = 1
    offset: int = 0


@dataclass(frozen=True, slots=True)
class After(_Checked):
    """Once this many seconds have passed since the beginning. A fault that changes bytes changes the next ones."""

    seconds: float


Place = At | Every | About | Pdu | After

# -- effects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Split(_Checked):
    """The bytes behind here come separately."""


@dataclass(frozen=True, slots=True)
class Merge(_Checked):
    """From here on, bytes wait until there are `size` of them, for `seconds` at most."""

    size: int
    seconds: float = 0.04


@dataclass(frozen=True, slots=True)
class Delay(_Checked):
    """From here on, each byte takes `seconds` longer, and up to `jitter` seconds more at random."""

    seconds: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Reorder(_Checked):
    """The bytes behind here wait until `size` more bytes have passed in the other direction, for `seconds` at most."""

    size: int
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Duplicate(_Checked):
    """The next `size` bytes, or the rest of the PDU, come twice."""

    size: int | None = None


@dataclass(frozen=True, slots=True)
class Drop(_Checked):
    """The next `size` bytes, or the rest of the PDU, are lost."""

    size: int | None = None


@dataclass(frozen=True, slots=True)
class Truncate(_Checked):
    """The next PDU lacks its last `size` bytes."""

    size: int = 1


@dataclass(frozen=True, slots=True)
class Flip(_Checked):
    """Bit `bit` of the next byte is wrong; 7 is the highest."""

    bit: int


@dataclass(frozen=True, slots=True)
class Overwrite(_Checked):
    """These bytes are in place of the next ones."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EditPdu(_Checked):
    """The next PDU comes with this edit of its tree (`grammar.read_pdu`)."""

    edit: Edit


@dataclass(frozen=True, slots=True)
class Change(_Checked):
    """The next PDU comes with `count` random changes of its tree (`grammar.change`)."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class Insert(_Checked):
    """These bytes come in addition."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Stall(_Checked):
    """The next byte stands still, for `seconds` or forever; nothing behind it is read."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Dribble(_Checked):
    """From here on, `rate` bytes a second pass."""

    rate: int


@dataclass(frozen=True, slots=True)
class HalfClose(_Checked):
    """The direction ends here: end of file, and all that follows is lost. The other direction goes on."""


@dataclass(frozen=True, slots=True)
class Reset(_Checked):
    """The connection is reset."""


@dataclass(frozen=True, slots=True)
class Timers(_Checked):
    """From here on, the engine's deadlines are reported `seconds` early or late, or each of them twice. An early report
    has no effect on a right engine. `name`: only deadlines whose reason begins with it; ARTIM, PDU, response ..."""

    how: str
    seconds: float = 1.0
    name: str = "all"


@dataclass(frozen=True, slots=True)
class Clock(_Checked):
    """The engine's clock jumps."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Short(_Checked):
    """From here on, at most `size` bytes pass in one piece, or one call of a socket."""

    size: int


@dataclass(frozen=True, slots=True)
class Error(_Checked):
    """A socket, a source or a sink (`edges`, `pieces`) raises `error`: `times` times if it is one that passes, else
    always. Elsewhere a permanent error means that all bytes from here on are lost, one that passes means a boundary."""

    error: str
    times: int = 1


Effect = (
    Split | Merge | Delay | Reorder | Duplicate | Drop | Truncate | Flip | Overwrite | EditPdu | Change | Insert
    | Stall | Dribble | HalfClose | Reset | Timers | Clock | Short | Error
)  # fmt: skip

# -- the tables ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A kind of place or effect: its name in a plan file, its class, and the shapes of its fields in order.

    `at_once`: it strikes when its place is reached; any other waits for the byte behind it."""

    name: str
    of: type
    shapes: tuple[Shape, ...] = ()
    at_once: bool = False
    names: tuple[str, ...] = field(init=False, repr=False)
    """The names of the fields."""
    defaults: tuple[object, ...] = field(init=False, repr=False)
    """The defaults of the fields, MISSING where a field has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(one.name for one in fields(self.of)))
        object.__setattr__(self, "defaults", tuple(one.default for one in fields(self.of)))

    def values(self, one: object) -> tuple[object, ...]:
        """The values of the fields of such an object."""
        return tuple(getattr(one, name) for name in self.names)


_SIZE: Final = Whole(1, COPIED, 300)
_GAP: Final = Whole(1, FARTHEST, 2000)
_TIME: Final = Seconds(LONGEST)
_REASONS: Final = (
    "all", "ARTIM", "association", "accept", "release", "PDU", "message", "response", "retrieve", "operation", "rate",
    "idle",
)  # fmt: skip
_KINDS: Final = ("any", *PDU_NAMES.values())

PLACES: Final = (
    Form(name="at",    of=At,    shapes=(Whole(0, FARTHEST, 2000),)),
    Form(name="every", of=Every, shapes=(_GAP,)),
    Form(name="about", of=About, shapes=(_GAP,)),
    Form(name="pdu",   of=Pdu,   shapes=(Choice(_KINDS), Whole(0, FARTHEST, 6, zero="each"),
                                         Prefix(Whole(0, FARTHEST, 200)))),
    Form(name="after", of=After, shapes=(_TIME,)),
)  # fmt: skip
"""All places."""

FORMS: Final = (
    Form(name="split",      of=Split),
    Form(name="merge",      of=Merge,     shapes=(_SIZE, _TIME)),
    Form(name="delay",      of=Delay,     shapes=(_TIME, _TIME)),
    Form(name="reorder",    of=Reorder,   shapes=(Whole(1, FARTHEST, 300), _TIME)),
    Form(name="duplicate",  of=Duplicate, shapes=(Maybe(_SIZE),)),
    Form(name="drop",       of=Drop,      shapes=(Maybe(Whole(1, FARTHEST, 300)),)),
    Form(name="truncate",   of=Truncate,  shapes=(_SIZE,)),
    Form(name="flip",       of=Flip,      shapes=(Whole(0, 7, 7),)),
    Form(name="set",        of=Overwrite, shapes=(Hex(1024),)),
    Form(name="edit",       of=EditPdu,   shapes=(Edits(),)),
    Form(name="change",     of=Change,    shapes=(Whole(1, 16, 3),)),
    Form(name="insert",     of=Insert,    shapes=(Hex(COPIED),),                       at_once=True),
    Form(name="stall",      of=Stall,     shapes=(Maybe(_TIME),)),
    Form(name="dribble",    of=Dribble,   shapes=(Whole(1, 1 << 30, 2000),)),
    Form(name="half-close", of=HalfClose,                                              at_once=True),
    Form(name="reset",      of=Reset,                                                  at_once=True),
    Form(name="timer",      of=Timers,    shapes=(Choice(("twice", "early", "late")), _TIME, Choice(_REASONS)),
                                                                                       at_once=True),
    Form(name="clock",      of=Clock,     shapes=(Seconds(LONGEST, signed=True),),     at_once=True),
    Form(name="short",      of=Short,     shapes=(_SIZE,)),
    Form(name="error",      of=Error,     shapes=(Choice(ERRORS), Whole(1, 1 << 20, 3))),
)  # fmt: skip
"""All effects."""

FORM_OF: Final = {form.of: form for form in (*PLACES, *FORMS)}


def described(one: Place | Effect) -> str:
    """Returns a place or an effect as a plan file has it; fields at the end that have their defaults are left out."""
    form = FORM_OF[type(one)]
    words = [shape.text(value) for shape, value in zip(form.shapes, form.values(one), strict=True)]
    for value, default in zip(reversed(form.values(one)), reversed(form.defaults), strict=True):
        if default is MISSING or value != default:
            break
        words.pop()
    return " ".join((form.name, *filter(None, words)))
