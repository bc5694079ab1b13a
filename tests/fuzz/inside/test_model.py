"""The reference model and the engine take the same steps; the model finds faults that are planted into the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicos_fuzz.grammar import change, read_command, read_pdu
from dicos_fuzz.inside.model import (
    Checker,
    Disagreement,
    Eof,
    Expire,
    Receive,
    Say,
    Script,
    agrees,
    bytes_of,
    command_difference,
    lenient,
    menu,
    pdu_difference,
    peer,
    script_of,
    table,
)
from dicos_fuzz.inside.model.paths import INPUTS, every_cell, every_state, ways
from dicos_fuzz.inside.model.targets import TARGETS
from dicos_fuzz.inside.model.walking import shrunk, walk
from dicos_fuzz.inside.target import OracleFailure, Target, Watch
from dicos_fuzz.tree import Action as Repeat
from dicos_fuzz.tree import Edit, apply
from dicos_fuzz.tree import encode as encode_tree
from dicos_proto.dimse import assembly
from dicos_proto.dimse.assembly import Messages
from dicos_proto.dimse.codec import encode_command
from dicos_proto.dimse.types import CLASSES, DimseResponse
from dicos_proto.errors import AbortReason, LocalProtocolError
from dicos_proto.tolerance import EVERYTHING
from dicos_proto.upper_layer import agreement, core, cursor, framing, machine, pdu
from dicos_proto.upper_layer.events import Fragment
from dicos_proto.upper_layer.machine import Action, Cell, Evt, Role, State, step
from dicos_proto.upper_layer.pdu import encode
from dicos_proto.upper_layer.pdu_types import Abort

WALKS = 600
CELLS = list(every_cell())


def damaged_pdus(seed: int, count: int) -> Iterator[bytes]:
    """A-ASSOCIATE PDUs with changes in their trees, and the right length in their header."""
    whole = [encode(one) for one in menu.REQUESTS]
    whole += [encode(menu.answer(one, variant)) for one in menu.REQUESTS for variant in range(3)]
    random = Random(seed)
    for _ in range(count):
        damaged = peer.damaged(random.choice(whole), random)
        yield damaged[:2] + (len(damaged) - 6).to_bytes(4, "big") + damaged[6:] if len(damaged) > 6 else damaged


def is_found(walks: int) -> bool:
    """True if the model disagrees in some cell, damaged PDU or walk, or the engine raises what it must not."""
    try:
        return any(agrees(script) for script in CELLS) or any(
            pdu_difference(damaged) or isinstance(walk(seed), Disagreement)
            for seed, damaged in enumerate(damaged_pdus(1, walks))
        )
    except (LocalProtocolError, KeyError, ValueError, IndexError):
        return True


# -- the table -----------------------------------------------------------------------------------------------------


def test_the_two_tables_are_the_same() -> None:
    assert len(table.CELLS) == 123
    for state in table.STATES:
        for event in table.EVENTS:
            for role in Role:
                for acceptable in (True, False):
                    ours = step(State(state), Evt(event), role, acceptable=acceptable)
                    seen = None if ours is None else (ours[0].value, int(ours[1]))
                    assert seen == table.look_up(state, event, role.value, acceptable=acceptable)


def test_a_way_leads_to_every_state_that_a_role_has() -> None:
    states = {(role, state) for _, (role, state) in ways()}
    assert states == {
        *(("requestor", state) for state in (1, 5, 6, 7, 8, 9, 11, 13)),
        *(("acceptor", state) for state in (2, 3, 6, 7, 8, 10, 12, 13)),
    }
    assert all(agrees(script) is None for script in every_state())


# -- agreement -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_they_agree_on_every_event_in_every_state(seed: int | None) -> None:
    """`seed`: the peer's bytes in random pieces."""
    for script in CELLS:
        found = agrees(script, seed=seed)
        assert found is None, found


def test_they_agree_on_random_walks_which_come_to_every_state() -> None:
    reached: set[tuple[str, int]] = set()
    for seed in range(WALKS):
        done = walk(seed)
        assert isinstance(done, Checker), done
        reached |= {(done.script.role, state) for state in done.reached}
    assert reached >= {place for _, place in ways()}


@pytest.mark.slow  # twenty thousand walks
def test_they_agree_on_many_walks() -> None:
    for seed in range(10_000, 30_000):
        done = walk(seed)
        assert isinstance(done, Checker), done


@given(st.binary(max_size=400))
def test_they_agree_on_any_tape(tape: bytes) -> None:
    script = script_of(tape)
    assert script_of(bytes_of(script)) == script
    found = agrees(script)
    assert found is None, found


def test_a_tape_keeps_a_script_and_a_long_one_is_cut() -> None:
    steps = (Receive(b"abc"), Say("C-MOVE-RQ", 3, 2, 9), Eof(), Expire())
    script = Script("acceptor", "association", steps, 1)
    assert script_of(bytes_of(script)) == script
    assert "Receive(3 bytes: 61 62 63)" in str(script)
    assert [len(one.data) for one in script_of(bytes_of(replace(script, steps=(Receive(bytes(70_000)),)))).steps] == [
        65_535, 4_465
    ]  # type: ignore[union-attr]  # fmt: skip
    assert len(script_of(b"\0" + b"\xff" * 10_000).steps) == 256


def test_tolerance_only_adds() -> None:
    for seed in range(300):
        done = walk(seed)
        assert isinstance(done, Checker), done
        found = lenient(done.script)
        assert found is None, found


def test_a_flag_that_moves_the_end_of_a_pdu_is_seen_to_add_more() -> None:
    """An A-ABORT with a byte that is not 0 in front is a short one to `short_abort`: reported, so it only adds; the
    bytes after it are then another PDU."""
    strange = b"\x07\0\0\0\0\4\2\0\2\1"
    script = Script("requestor", "association", (*ways()["association", ("requestor", 6)], Receive(strange)))
    assert lenient(script) is None
    assert lenient(script, EVERYTHING) is None


# -- decoders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_decoders_read_damaged_pdus_alike(seed: int) -> None:
    for damaged in damaged_pdus(seed, 500):
        found = pdu_difference(damaged)
        assert found is None, (damaged.hex(), found)


def test_the_decoders_read_damaged_command_sets_alike() -> None:
    random = Random(7)
    for cls in CLASSES.values():
        for variant in range(12):
            made = menu.command(cls, 1, 1, variant)
            raw = encode_command(made.command, has_data=made.has_data)
            assert command_difference(raw) is None
            tree = read_command(raw)
            for _ in range(8):
                edit = change(tree, random)
                assert edit is not None
                damaged = encode_tree(apply(tree, [edit]))
                found = command_difference(damaged)
                assert found is None, (damaged.hex(), found)


def test_a_difference_of_decoders_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdu, "check_once", lambda present, what: None)
    whole = read_pdu(encode(menu.REQUESTS[0]))
    twice = encode_tree(apply(whole, [Edit("application context", Repeat.REPEAT)]))
    assert "the engine reads Request" in (pdu_difference(twice) or "")


# -- planted faults ------------------------------------------------------------------------------------------------

MOVED = [
    (Evt.Evt3, State.Sta5), (Evt.Evt6, State.Sta2), (Evt.Evt12, State.Sta7), (Evt.Evt13, State.Sta10),
    (Evt.Evt14, State.Sta9), (Evt.Evt16, State.Sta8), (Evt.Evt17, State.Sta3), (Evt.Evt19, State.Sta6),
]  # fmt: skip


@pytest.mark.parametrize(("event", "state"), MOVED, ids=lambda one: one.name)
def test_a_cell_with_another_next_state_is_found(monkeypatch: pytest.MonkeyPatch, event: Evt, state: State) -> None:
    cell = machine.TABLE[event, state]
    other = State.Sta8 if cell.state is not State.Sta8 else State.Sta12
    monkeypatch.setitem(machine.TABLE, (event, state), Cell(cell.action, other, other))
    assert is_found(0)


@pytest.mark.parametrize(
    ("event", "state", "action"),
    [
        (Evt.Evt6, State.Sta6, Action.AA_6),  # ignored, not aborted
        (Evt.Evt10, State.Sta5, Action.AA_7),  # aborted, and nobody learns of it
        (Evt.Evt6, State.Sta13, Action.AA_6),
        (Evt.Evt4, State.Sta2, Action.AA_8),  # the wrong source
        (Evt.Evt17, State.Sta8, Action.AA_5),
    ],
    ids=lambda one: one.name,
)
def test_a_cell_with_another_action_is_found(
    monkeypatch: pytest.MonkeyPatch, event: Evt, state: State, action: Action
) -> None:
    cell = machine.TABLE[event, state]
    monkeypatch.setitem(machine.TABLE, (event, state), Cell(action, cell.state, cell.otherwise))
    assert is_found(0)


@pytest.mark.parametrize("cell", [(Evt.Evt11, State.Sta6), (Evt.Evt15, State.Sta12), (Evt.Evt8, State.Sta3)])
def test_a_blank_cell_is_found(monkeypatch: pytest.MonkeyPatch, cell: tuple[Evt, State]) -> None:
    monkeypatch.delitem(machine.TABLE, cell)
    assert is_found(0)


def plant_pending(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assembly, "_HAVE_PENDING", frozenset(CLASSES))


def plant_data_set_type(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assembly, "misplaced_data", lambda command, has_data: None)


def plant_pdv_length(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(framing, "check_pdv_length", lambda length, left: None)


def plant_context(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Messages, "_admit", lambda self, fragment: None)


def plant_reason(patch: pytest.MonkeyPatch) -> None:
    unexpected = core.AbortReason
    patch.setattr(core, "AbortReason", type("Reasons", (), {"UNEXPECTED_PDU": unexpected.INVALID_PARAMETER}))
    assert core.AbortReason.UNEXPECTED_PDU is AbortReason.INVALID_PARAMETER


def plant_answers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(agreement, "_check_answer", lambda request, accept, judge: None)


def plant_uid(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pdu, "decode_uid", lambda value, what, judge: bytes(value).decode("latin-1"))
    patch.setattr(cursor, "decode_uid", lambda value, what, judge: bytes(value).decode("latin-1"))


def plant_endless_pdvs(patch: pytest.MonkeyPatch) -> None:
    """PDVs without data are never counted."""
    admit = Messages._admit

    def patched(self: Messages, fragment: Fragment) -> None:
        self._empties = -1000
        admit(self, fragment)

    patch.setattr(Messages, "_admit", patched)


def plant_late_response(patch: pytest.MonkeyPatch) -> None:
    """A response of any type ends a request."""

    def patched(self: Messages, context: int, command: DimseResponse) -> None:
        self.sent.pop(command.message_id_being_responded_to, None)

    patch.setattr(Messages, "_take_response", patched)


Plant = Callable[[pytest.MonkeyPatch], None]
PLANTED: list[Plant] = [
    plant_pending, plant_data_set_type, plant_pdv_length, plant_context, plant_reason, plant_answers, plant_uid,
    plant_endless_pdvs, plant_late_response,
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED, ids=lambda one: one.__name__.removeprefix("plant_"))
def test_a_fault_in_decoders_assembly_and_negotiation_is_found(monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    assert is_found(2000)


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert not is_found(200)


def test_a_disagreement_is_shrunk_and_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = machine.TABLE[Evt.Evt12, State.Sta6]
    monkeypatch.setitem(machine.TABLE, (Evt.Evt12, State.Sta6), Cell(cell.action, State.Sta9, State.Sta10))
    found = next(done for done in map(walk, range(2000)) if isinstance(done, Disagreement))
    small = shrunk(found)
    assert len(small.script.steps) <= min(len(found.script.steps), 4)
    assert agrees(small.script) is not None
    assert "Sta8, close False expected, Sta" in str(small)


def test_the_inputs_cause_what_they_stand_for() -> None:
    assert set(INPUTS) == set(table.EVENTS) - {2, 5}
    assert INPUTS[16] == Receive(encode(Abort(source=2, reason=1)))


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: one.name)
def test_the_targets_run_their_seeds_and_what_they_make(target: Target) -> None:
    watch = Watch()
    tapes = [*target.seeds()][::8]
    if target.made is not None:
        tapes += [target.made(Random(seed)) for seed in range(10)]
    for tape in (b"", b"\1", b"\3", *tapes):
        target.body(tape, watch)
    assert len(watch.seen) > 5


def test_a_target_fails_where_the_model_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = machine.TABLE[Evt.Evt12, State.Sta6]
    monkeypatch.setitem(machine.TABLE, (Evt.Evt12, State.Sta6), Cell(cell.action, State.Sta9, State.Sta10))
    (target,) = [one for one in TARGETS if one.name == "model"]
    found = next(script for script in CELLS if agrees(script))
    with pytest.raises(OracleFailure, match="Sta8, close False expected"):
        target.run(bytes_of(found))
