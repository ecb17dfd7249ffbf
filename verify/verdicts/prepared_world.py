"""A world with a rulebook made ready for it: what all controllers that are judged there share."""

from dataclasses import dataclass

from ...specs.domain import Domain
from ...specs.logic import Automaton, Formula
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered
from ...specs.rulebook import Rule, Rulebook
from ...synth.controllers.controller import Controller
from ..checking.check import Runs
from ..checking.compiled import CompiledFormula, Compiler
from ..checking.ending import has_end
from ..checking.implication import any_action, implications
from ..checking.product import intersects, product
from ..checking.vacuity import demand, never_triggered
from ..worlds.world import World, WorldError

_ENDLESS = Deadline()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRule:
    """A rule as it stands in one world.

    It applies if some run of the world breaks it, all that it presumes exists and it binds in this world. `weight` is 0
    where it does not apply or another applicable rule implies it. `compiled` is None if translating it, or all that is
    to be prepared, took too long (`reason`), and it then counts as applicable. `untriggered` says that nothing ever
    triggers it, `demand` is the rule as if it were always triggered.
    """

    rule: Rule
    compiled: CompiledFormula | None
    reason: str
    can_be_violated: bool
    applicable: bool
    weight: float
    untriggered: CompiledFormula | None
    demand: CompiledFormula | None


@dataclass(frozen=True, slots=True)
class PreparedWorld:
    """A world and the rules as they stand in it. `fairness` accepts the world's fair runs.

    `is_complete` says that no deadline ended its preparation.
    """

    world: World
    rules: tuple[PreparedRule, ...]
    fairness: Automaton
    is_complete: bool = True

    def product(self, controller: Controller, runs: Runs, deadline: Deadline = _ENDLESS) -> "Product":
        """Return a controller's behaviour in the world, and in its closure if the world is learned.

        Raises Unanswered at the deadline, and if it is too large.
        """
        machine = controller.automaton(ends=True)
        closure = self.world.closure
        return Product(
            self._behaviour(self.world, machine, runs, deadline),
            self._behaviour(closure, machine, runs, deadline) if closure else None,
            ends=controller.end is not None,
        )

    def _behaviour(self, world: World, machine: Automaton, runs: Runs, deadline: Deadline) -> Automaton:
        behaviour = product(world.graph, machine, deadline)
        if runs is Runs.FAIR:
            behaviour = product(behaviour, self.fairness, deadline)
        if behaviour.is_empty() and not has_end(behaviour):
            raise WorldError(f"world {world.name!r}: the controller has no run in it, so every rule would be kept")
        return behaviour


@dataclass(frozen=True, slots=True)
class Product:
    """What a controller does in a world, step by step; where fair runs count, already restricted to these.

    `ends` says that runs may end.
    """

    behaviour: Automaton
    closure: Automaton | None
    ends: bool = False


def prepare_world(
    world: World, rulebook: Rulebook, domain: Domain, compiler: Compiler, deadline: Deadline = _ENDLESS
) -> PreparedWorld:
    """Return a world with the rules of a book as they stand in it; what a deadline leaves is unknown of all of them."""
    # A world cannot be made without translating its fairness, so this answers at once.
    fairness = compiler.compile(world.fairness).automaton
    try:
        return PreparedWorld(world, _prepared_rules(world, rulebook, domain, compiler, deadline), fairness)
    except Unanswered as error:
        rules = tuple(_unprepared(rule, str(error)) for rule in rulebook.rules)
        return PreparedWorld(world, rules, fairness, is_complete=False)


def _prepared_rules(
    world: World, rulebook: Rulebook, domain: Domain, compiler: Compiler, deadline: Deadline
) -> tuple[PreparedRule, ...]:
    compiled: dict[str, CompiledFormula] = {}
    reasons: dict[str, str] = {}
    for rule in rulebook.rules:
        try:
            compiled[rule.id] = compiler.compile(rule.formula, deadline)
        except Unanswered as error:
            deadline.check()
            reasons[rule.id] = str(error)
    # What the closure of a learned world allows includes what was seen.
    anything = product((world.closure or world).graph, any_action(domain.vocabulary.action_ids), deadline)
    violable = {name for name, formula in compiled.items() if intersects(anything, formula.complement, deadline)}
    violable |= set(reasons)
    applicable = [rule for rule in rulebook.rules if rule.id in violable and rule.binds_in(world.name, world.has)]
    counted = _counted(applicable, implications(compiled, domain.vocabulary.action_ids, deadline))
    return tuple(
        PreparedRule(
            rule=rule,
            compiled=compiled.get(rule.id),
            reason=reasons.get(rule.id, ""),
            can_be_violated=rule.id in violable,
            applicable=rule in applicable,
            weight=rule.weight if rule.id in counted else 0.0,
            untriggered=_compiled(never_triggered(rule.formula), compiler, deadline),
            demand=_compiled(demand(rule.formula), compiler, deadline),
        )
        for rule in rulebook.rules
    )


def _unprepared(rule: Rule, reason: str) -> PreparedRule:
    return PreparedRule(
        rule=rule,
        compiled=None,
        reason=reason,
        can_be_violated=True,
        applicable=True,
        weight=rule.weight,
        untriggered=None,
        demand=None,
    )


def _counted(applicable: list[Rule], implied_by: dict[str, tuple[str, ...]]) -> set[str]:
    """Return the applicable rules that no other one with weight implies; of equivalent ones the heaviest."""
    order = {rule.id: (rule.weight, -position) for position, rule in enumerate(applicable)}
    implying = {rule.id for rule in applicable if rule.weight}

    def gives_way(rule: Rule, other: str) -> bool:
        is_equivalent = rule.id in implied_by[other]
        return other in implying and (not is_equivalent or order[other] > order[rule.id])

    return {rule.id for rule in applicable if not any(gives_way(rule, other) for other in implied_by.get(rule.id, ()))}


def _compiled(formula: Formula | None, compiler: Compiler, deadline: Deadline) -> CompiledFormula | None:
    try:
        return compiler.compile(formula, deadline) if formula else None
    except Unanswered:
        deadline.check()
        return None
