"""Short reference controllers: "wait until it is safe, then act", which a person can read, where they suffice.

Synthesis answers whether rules can be kept with machines of dozens of states. Most rulebooks are kept by two steps,
whose guard follows from the rules: the letters under which an action breaks no safety rule, narrowed to what the
world's fairness promises to recur.
"""

from collections.abc import Collection, Iterator, Sequence

from ...specs.logic import Bdd, Formula, boolean_diagram, buddy, letter_diagram, spot
from ...specs.vocabulary import Vocabulary
from ...specs.world_description import WorldDescription
from ...synth.controllers.condition import condition_of
from ...synth.controllers.steps import MAX_STEPS, Act, GoTo, If, Program, Stay, Step, WaitUntil
from ..checking.compiled import CompiledFormula
from ..worlds.safe_letters import safe_letters


def candidates(
    description: WorldDescription, rules: Sequence[CompiledFormula], first: Collection[str], vocabulary: Vocabulary
) -> Iterator[Program]:
    """Yield short programs that may keep rules in a world; the actions named in `first` come first."""
    moves = [action for action in vocabulary.action_ids if action != vocabulary.idle]
    moves.sort(key=lambda move: move not in first)
    promises = (buddy.bddtrue, *_recurring(description.fairness))
    absent = {*vocabulary.proposition_ids} - {*description.free, *description.constant}
    never_changes = letter_diagram(description.constant, absent)
    for promise in promises:
        guards = {
            move: buddy.bdd_restrict(safe_letters(move, rules, vocabulary.action_ids) & promise, never_changes)
            for move in moves
        }
        possible = [move for move in moves if guards[move] != buddy.bddfalse]
        for move in possible:
            condition = condition_of(guards[move])
            if condition is not None:
                yield If(condition, Act(move), Stay()), GoTo(1)
            yield _when(guards[move], move), Act(vocabulary.idle)
            if condition is not None:
                # For rules that also look back.
                yield WaitUntil(condition), If(condition, Act(move), GoTo(1))
        # One after the other, for rules that ask for several actions.
        if 1 < len(possible) <= MAX_STEPS:
            yield tuple(_when(guards[move], move) for move in possible)
    yield Act(vocabulary.idle), Act(vocabulary.idle)


def _when(guard: Bdd, move: str) -> Step:
    """Return the step that gives an action as soon as a guard holds."""
    condition = condition_of(guard)
    return Act(move) if condition is None else WaitUntil(condition, move)


def _recurring(fairness: Formula) -> list[Bdd]:
    """Return the letters of each Boolean condition that a fairness formula promises again and again (GF)."""
    ltl = fairness.ltl
    parts = list(ltl) if ltl.kind() == spot.op_And else [ltl]
    return [
        boolean_diagram(part[0][0])
        for part in parts
        if part.kind() == spot.op_G and part[0].kind() == spot.op_F and part[0][0].is_boolean()
    ]
