"""What any controller can reach in a world: all applicable rules at once, or at best how many, and by which machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...specs.domain import Domain
from ...specs.logic import Formula, conjunction
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered, within
from ..checking.check import Runs
from ..checking.compiled import Compiler
from ..realizability.chain_game import ChainGame
from ..realizability.clash import fewest_dropped, smallest_clash
from ..realizability.ltl_game import LtlGame
from ..verdicts.prepared_world import PreparedWorld
from .exhibit import short_controller, synthesised_controller


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What controllers can reach, judged on certain runs and with the gates of one goal (None: without gates).

    `realizable`: all applicable rules and the gates at once; on a chain that means almost surely, as a verdict does. If
    not, `clash` is a smallest set of them that cannot be kept together with the gates. `best_count` of all rules of the
    book, those that cannot be broken here included, with `dropped` broken; None if the gates alone are out of reach.
    `controller` is one that reaches it, as steps if they fit into a response, else as HOA, and `num_states` its size.
    `abstract` and `simulated` are its worst status for the gates and all applicable rules in the abstract world and in
    the learned ones, if any ship. What was not found out is None or empty, and `problem` says why.
    """

    runs: Runs
    goal: str | None
    realizable: bool | None = None
    clash: tuple[str, ...] = ()
    best_count: int | None = None
    dropped: tuple[str, ...] = ()
    controller: str | None = None
    num_states: int | None = None
    abstract: str | None = None
    simulated: str | None = None
    problem: str = ""


def find_reach(
    prepared: PreparedWorld,
    runs: Runs,
    goal: Formula | None,
    domain: Domain,
    compiler: Compiler,
    deadline: Deadline,
) -> Reach:
    """Return what controllers can reach; rules that could not be translated are left out of the question."""
    question = Question.of(prepared, goal, domain)
    reach = Reach(runs=runs, goal=goal.text if goal else None)
    try:
        game = _game(prepared, runs, question, domain, compiler, deadline)
        realizable = within(deadline.left, game.is_winnable, question.all_applicable)
        reach = replace(reach, realizable=realizable)
        best = within(deadline.left, _best, game, question, realizable)
        if best is None:
            return reach
        dropped, clash, strategy = best
        exhibit = synthesised_controller(strategy, domain)
        kept = [formula for rule_id, formula in question.rules.items() if rule_id not in dropped]
        exhibit = short_controller(prepared, runs, question.gates, kept, domain, compiler, deadline) or exhibit
    except Unanswered as error:
        return replace(reach, problem=str(error))
    controller, text = exhibit
    return replace(
        reach,
        clash=tuple(clash),
        best_count=len(prepared.rules) - len(dropped),
        dropped=tuple(dropped),
        controller=text,
        num_states=len(controller.states),
    )


@dataclass(frozen=True, slots=True)
class Question:
    """The formulas in question: gates, and rules that can be broken, those that do not apply first."""

    gates: Sequence[Formula]
    rules: Mapping[str, Formula]
    applicable: Mapping[str, Formula]

    @classmethod
    def of(cls, prepared: PreparedWorld, goal: Formula | None, domain: Domain) -> "Question":
        """Return the question about a world and a goal."""
        # What cannot be judged here is the first to be dropped.
        breakable = sorted((rule for rule in prepared.rules if rule.can_be_violated), key=lambda rule: rule.applicable)
        asked = [rule for rule in breakable if rule.compiled]
        return cls(
            [goal, domain.vocabulary.progress] if goal else [],
            {rule.rule.id: rule.rule.formula for rule in asked},
            {rule.rule.id: rule.rule.formula for rule in asked if rule.applicable},
        )

    @property
    def all_applicable(self) -> list[Formula]:
        """Gates and applicable rules."""
        return [*self.gates, *self.applicable.values()]


def _game(
    prepared: PreparedWorld, runs: Runs, question: Question, domain: Domain, compiler: Compiler, deadline: Deadline
) -> ChainGame | LtlGame:
    if runs is Runs.CHAIN:
        formulas = (*question.gates, *question.rules.values())
        compiled = {formula: compiler.compile(formula, deadline) for formula in formulas}
        return ChainGame(prepared.world.graph, domain.vocabulary, compiled)
    assumption = prepared.world.fairness if runs is Runs.FAIR else conjunction(())
    return LtlGame(domain.world(prepared.world.name), domain.vocabulary, assumption)


def _best(game: ChainGame | LtlGame, question: Question, realizable: bool) -> tuple[list[str], list[str], str] | None:
    """Return the fewest rules to drop, what clashes, and a strategy that keeps the rest; None if the gates cannot be.

    Where all applicable rules can be kept, they are.
    """
    mandatory = question.all_applicable if realizable else question.gates
    rules = {
        name: formula for name, formula in question.rules.items() if not (realizable and name in question.applicable)
    }
    dropped = fewest_dropped(game.is_winnable, mandatory, rules)
    if dropped is None:
        return None
    clash = []
    if not realizable and isinstance(game, ChainGame):
        clash = smallest_clash(game.is_winnable, question.gates, question.applicable)
    strategy = game.solve([*mandatory, *(formula for name, formula in rules.items() if name not in dropped)])
    assert strategy is not None, "what remains can be kept"
    return dropped, clash, strategy
