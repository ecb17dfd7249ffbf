"""The feedback that a verdict gives: the first thing that is broken, and a counterexample."""

from collections.abc import Sequence

from ...specs.domain import Domain
from ...specs.logic import Formula
from ...specs.rulebook import Rulebook
from ...specs.vocabulary import Vocabulary
from ...synth.models.repair_feedback import (
    GOAL_MISSED,
    MAX_MOMENTS,
    PROGRESS_MISSED,
    TOO_LATE,
    Told,
    feedback_text,
    rule_broken,
    unreadable,
)
from ..records.verdict import GateVerdict, Moment, Status, Verdict, Witness


def feedback_of(verdict: Verdict, domain: Domain, rulebook: Rulebook) -> str | None:
    """Return what to tell a model about its steps, None if nothing is violated; a failed gate comes before rules."""
    vocabulary = domain.vocabulary
    if not verdict.valid:
        return feedback_text(unreadable(verdict.invalid))
    for gate in verdict.gates:
        if gate.status is Status.VIOLATED and gate.name == "goal":
            return feedback_text(GOAL_MISSED, _told(_to_other_movement(gate, vocabulary.idle), vocabulary))
        if gate.status is Status.VIOLATED:
            return feedback_text(PROGRESS_MISSED, _told(_essence(gate.witness), vocabulary))
    if not verdict.is_timely:
        return feedback_text(TOO_LATE)
    english = {rule.id: rule.english for rule in rulebook.rules}
    for rule in verdict.deciding:
        if rule.status is Status.VIOLATED:
            return feedback_text(rule_broken(english[rule.rule_id]), _told(_essence(rule.witness), vocabulary))
    return None


def in_short(witness: Witness | None, vocabulary: Vocabulary) -> str:
    """Return the instants that show a violation in one line: what is the case, and the action; empty without any.

    What stands behind "again and again" is a cycle, and "…" where instants are left out.
    """
    if witness is None:
        return ""
    told = (f"{' and '.join(case) or 'nothing'}: {action}" for case, action in _told(_essence(witness), vocabulary))
    line = "; then ".join(told)
    is_cut = len(witness.cycle or witness.prefix) > MAX_MOMENTS
    if witness.cycle:
        return f"again and again, {line}; …" if is_cut else f"again and again, {line}"
    return f"…; {line}" if is_cut else line


def _essence(witness: Witness | None) -> Sequence[Moment]:
    """Return the instants that show a violation: the last of a finite path, the first of a cycle."""
    if witness is None:
        return ()
    return witness.cycle[:MAX_MOMENTS] if witness.cycle else witness.prefix[-MAX_MOMENTS:]


def _to_other_movement(goal: GateVerdict, idle: str) -> Sequence[Moment]:
    """Return the instants up to the first movement that the goal does not name; without one, what shows it missed."""
    path = (*goal.witness.prefix, *goal.witness.cycle) if goal.witness else ()
    asked = {idle, *Formula(goal.formula).propositions}
    moved = next((time for time, moment in enumerate(path, start=1) if moment.action not in asked), None)
    return path[max(0, moved - MAX_MOMENTS) : moved] if moved else _essence(goal.witness)


def _told(moments: Sequence[Moment], vocabulary: Vocabulary) -> Sequence[Told]:
    english = vocabulary.english
    return [([english[name] for name in moment.propositions], english[moment.action]) for moment in moments]
