"""Short reference controllers: "wait until it is safe, then act", which a person can read, where they suffice.

Synthesis answers whether rules can be kept with machines of dozens of states. Most rulebooks are kept by two steps,
whose guard follows from the rules: the letters under which an action breaks no safety rule, narrowed to what the
world's fairness promises to recur.
"""

from collections.abc import Iterator, Sequence

from ..specs.logic import Bdd, Formula, boolean_diagram, buddy, cube, exactly_one, letter_diagram, spot
from ..specs.vocabulary import Vocabulary
from ..specs.world_description import WorldDescription
from ..synth.condition import condition_of
from ..synth.steps import Act, GoTo, If, Program, Stay, WaitUntil
from .compiled import CompiledFormula


def candidates(
    description: WorldDescription, kept: Sequence[CompiledFormula], goal: Formula | None, vocabulary: Vocabulary
) -> Iterator[Program]:
    """Yield two-step programs that may keep the formulas in a world; the actions that a goal names come first."""
    first = goal.propositions if goal else frozenset()
    moves = [action for action in vocabulary.action_ids if action != vocabulary.idle]
    for action in sorted(moves, key=lambda move: move not in first):
        safe = _safe_letters(action, kept, vocabulary)
        for recurring in (*_recurring(description.fairness), buddy.bddtrue):
            guard = _as_seen_in(description, safe & recurring, vocabulary)
            condition = condition_of(guard) if guard not in (buddy.bddtrue, buddy.bddfalse) else None
            if condition is not None:
                yield If(condition, Act(action), Stay()), GoTo(1)
                yield WaitUntil(condition, action), Act(vocabulary.idle)
    yield Act(vocabulary.idle), Act(vocabulary.idle)


def _safe_letters(action: str, kept: Sequence[CompiledFormula], vocabulary: Vocabulary) -> Bdd:
    """Return the letters under which giving an action at the start breaks none of the formulas."""
    output = exactly_one(vocabulary.action_ids, action)
    actions = cube(vocabulary.action_ids)
    safe = buddy.bddtrue
    for formula in kept:
        for edge in formula.automaton.out(formula.automaton.get_init_state_number()):
            if edge.dst in formula.bad:
                safe = safe & -buddy.bdd_exist(edge.cond & output, actions)
    return safe


def _recurring(fairness: Formula) -> list[Bdd]:
    """Return the letters of each Boolean condition that a fairness formula promises again and again (GF)."""
    ltl = fairness.ltl
    parts = list(ltl) if ltl.kind() == spot.op_And else [ltl]
    return [
        boolean_diagram(part[0][0])
        for part in parts
        if part.kind() == spot.op_G and part[0].kind() == spot.op_F and part[0][0].is_boolean()
    ]


def _as_seen_in(description: WorldDescription, letters: Bdd, vocabulary: Vocabulary) -> Bdd:
    """Return letters without the propositions that never change in a world."""
    absent = {*vocabulary.proposition_ids} - {*description.free, *description.constant}
    return buddy.bdd_restrict(letters, letter_diagram(description.constant, absent))
