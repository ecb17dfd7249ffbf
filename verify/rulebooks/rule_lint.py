"""What is wrong with the rules of a book themselves: classes, rules that say nothing or too much, implications."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered, within
from ...specs.rulebook import Rulebook
from ...specs.vocabulary import Vocabulary
from ..checking.compiled import CompiledFormula, Compiler
from ..checking.implication import Implications, any_action
from ..realizability.chain_game import are_compatible


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLint:
    """What a rule is by itself and beside the others.

    `implied_by` are single rules, `implied_jointly_by` a smallest set of several. `problem` says what could not be
    found out.
    """

    rule_id: str
    formula: str
    english: str
    manna_pnueli_class: str
    weight: float
    presumes: tuple[str, ...]
    worlds: tuple[str, ...] = ()
    unsatisfiable: bool = False
    valid: bool = False
    implied_by: tuple[str, ...] = ()
    implied_jointly_by: tuple[str, ...] = ()
    problem: str = ""


def lint_rules(rulebook: Rulebook, vocabulary: Vocabulary, compiler: Compiler) -> Iterator[tuple[RuleLint, ...]]:
    """Yield what each rule is, given that exactly one action is given at a time, as far as it is known.

    Twice for each rule: when it is translated, and when it is examined.
    """
    actions = any_action(vocabulary.action_ids)
    compiled: dict[str, CompiledFormula] = {}
    problems: dict[str, str] = {}
    for rule in rulebook.rules:
        try:
            compiled[rule.id] = compiler.compile(rule.formula)
        except Unanswered as error:
            problems[rule.id] = f"left out of everything that follows: {error}"
        yield ()
    implications = Implications(compiled, vocabulary.action_ids)
    possible = {name: rule for name, rule in compiled.items() if actions.intersects(rule.automaton)}
    lints: tuple[RuleLint, ...] = ()
    for rule in rulebook.rules:
        found = compiled.get(rule.id)
        valid = found is not None and not actions.intersects(found.complement)
        implied: tuple[str, ...] = ()
        jointly: tuple[str, ...] = ()
        if found and not valid:
            others = {name: other for name, other in possible.items() if name != rule.id}
            try:
                implied = implications.of(rule.id, Deadline(compiler.time_limit))
                if not implied:
                    broken = compiler.compile(~rule.formula)
                    jointly = within(compiler.time_limit, _joint_implication, broken, others, vocabulary)
            except Unanswered as error:
                problems[rule.id] = f"not examined whether other rules, alone or together, imply it: {error}"
        lint = RuleLint(
            rule_id=rule.id,
            formula=rule.formula.text,
            english=rule.english,
            manna_pnueli_class=found.manna_pnueli_class if found else "unknown",
            weight=rule.weight,
            presumes=rule.presumes,
            worlds=rule.worlds,
            unsatisfiable=found is not None and rule.id not in possible,
            valid=valid,
            implied_by=implied,
            implied_jointly_by=jointly,
            problem=problems.get(rule.id, ""),
        )
        lints = (*lints, lint)
        yield lints


def _joint_implication(
    broken: CompiledFormula, others: dict[str, CompiledFormula], vocabulary: Vocabulary
) -> tuple[str, ...]:
    """Return a smallest set of other rules that together imply a rule; empty if none does or they contradict.

    `broken` says that the rule is broken.
    """
    if are_compatible([*others.values(), broken], vocabulary) or not are_compatible(others.values(), vocabulary):
        return ()
    core = dict(others)
    for name in others:
        without = {other: formula for other, formula in core.items() if other != name}
        if not are_compatible([*without.values(), broken], vocabulary):
            core = without
    return tuple(core)
