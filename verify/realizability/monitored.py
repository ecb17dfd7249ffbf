"""Formulas as parts of a decision process: deterministic automata without what can no longer be kept.

Rules of the common shapes are joined before anything is multiplied. All that says "never" in one instant is one set of
letters; `G(a -> F c)` and `G(b -> F c)` are `G((a | b) -> F c)`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...specs.logic import Bdd, Formula, boolean_diagram, buddy, owned, spot
from ..checking.compiled import CompiledFormula


@dataclass(frozen=True, slots=True)
class Move:
    """One letter of `letters` leads to `target`; `marks` are bits."""

    letters: Bdd
    target: int
    marks: int


@dataclass(frozen=True, slots=True)
class Part:
    """A deterministic automaton whose moves are missing where the formula is lost. `acceptance` is Spot's."""

    initial: int
    moves: tuple[tuple[Move, ...], ...]
    acceptance: Any


def parts_of(formulas: Iterable[CompiledFormula]) -> tuple[Bdd, list[Part]]:
    """Return the letters that formulas allow at every instant, and automata for all else that they ask for."""
    allowed = buddy.bddtrue
    parts = []
    responses: dict[int, tuple[Bdd, Bdd]] = {}
    for formula in formulas:
        if found := _response(formula.formula):
            trigger, answer = map(boolean_diagram, found)
            before, _ = responses.get(answer.id(), (buddy.bddfalse, answer))
            responses[answer.id()] = before | trigger, answer
            continue
        part = _part(formula)
        if len(part.moves) == 1 and part.acceptance.is_t():
            allowed = allowed & _any(part.moves[0])
        else:
            parts.append(part)
    return allowed, [*parts, *(_response_part(*pair) for pair in responses.values())]


def _part(formula: CompiledFormula) -> Part:
    """Return the automaton of a formula; one of a safety formula accepts whatever does not leave it."""
    automaton = formula.automaton
    live = [state for state in range(automaton.num_states()) if state not in formula.bad]
    initial = automaton.get_init_state_number()
    if initial in formula.bad:
        return Part(0, ((),), spot.acc_code.t())
    number = {state: position for position, state in enumerate(live)}
    moves = tuple(
        tuple(
            Move(owned(edge.cond), number[edge.dst], 0 if formula.is_safety else _bits(edge.acc))
            for edge in automaton.out(state)
            if edge.dst in number
        )
        for state in live
    )
    acceptance = spot.acc_code.t() if formula.is_safety else automaton.acc().get_acceptance()
    return Part(number[initial], moves, acceptance)


def _response(formula: Formula) -> tuple[Any, Any] | None:
    """Return the Boolean trigger and answer of `G(trigger -> F answer)`, or None; `G F answer` is always triggered."""
    if formula.ltl.kind() != spot.op_G:
        return None
    body = formula.ltl[0]
    trigger, later = (body[0], body[1]) if body.kind() == spot.op_Implies else (spot.formula.tt(), body)
    if later.kind() != spot.op_F or not trigger.is_boolean() or not later[0].is_boolean():
        return None
    return trigger, later[0]


def _response_part(trigger: Bdd, answer: Bdd) -> Part:
    """Return the automaton of `G(trigger -> F answer)`: nothing is pending, or an answer is."""
    acceptance = spot.acc_code.inf([0])
    if trigger == buddy.bddtrue:
        return Part(0, ((Move(answer, 0, 1), Move(-answer, 0, 0)),), acceptance)
    free = (Move(-trigger | answer, 0, 1), Move(trigger & -answer, 1, 0))
    return Part(0, (free, (Move(answer, 0, 1), Move(-answer, 1, 0))), acceptance)


def _any(moves: Iterable[Move]) -> Bdd:
    letters = buddy.bddfalse
    for move in moves:
        letters = letters | move.letters
    return letters


def _bits(marks: Any) -> int:
    return sum(1 << mark for mark in marks.sets())
