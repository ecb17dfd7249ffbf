"""A world with a rulebook made ready for it: what all controllers that are judged there share."""

from dataclasses import dataclass

from ...specs.domain import Domain
from ...specs.logic import Automaton, spot
from ...specs.processes.forked import Unanswered
from ...specs.rulebook import Rule, Rulebook
from ...synth.controllers.controller import Controller
from ..checking.check import Runs
from ..checking.compiled import CompiledFormula, Compiler
from ..checking.implication import any_action, implications
from ..checking.vacuity import trigger
from ..worlds.world import World, WorldError


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRule:
    """A rule as it stands in one world.

    It applies if some run of the world breaks it and all that it presumes exists. `weight` is 0 where it does not
    apply or another applicable rule implies it. `compiled` is None if translating it took too long (`reason`), and it
    then counts as applicable. `trigger` accepts the runs on which it is triggered.
    """

    rule: Rule
    compiled: CompiledFormula | None
    reason: str
    can_be_violated: bool
    applicable: bool
    weight: float
    trigger: Automaton | None


@dataclass(frozen=True, slots=True)
class PreparedWorld:
    """A world and the rules as they stand in it. `fairness` accepts the world's fair runs."""

    world: World
    rules: tuple[PreparedRule, ...]
    fairness: Automaton

    def product(self, controller: Controller, runs: Runs) -> "Product":
        """Return a controller's behaviour in the world, and in its closure if the world is learned."""
        machine = controller.automaton()
        closure = self.world.closure
        return Product(
            self._behaviour(self.world, machine, runs), self._behaviour(closure, machine, runs) if closure else None
        )

    def _behaviour(self, world: World, machine: Automaton, runs: Runs) -> Automaton:
        behaviour = spot.product(world.graph, machine)
        if runs is Runs.FAIR:
            behaviour = spot.product(behaviour, self.fairness)
        if behaviour.is_empty():
            raise WorldError(f"world {world.name!r}: the controller has no run in it, so every rule would be kept")
        return behaviour


@dataclass(frozen=True, slots=True)
class Product:
    """What a controller does in a world, step by step; where fair runs count, already restricted to these."""

    behaviour: Automaton
    closure: Automaton | None


def prepare_world(world: World, rulebook: Rulebook, domain: Domain, compiler: Compiler) -> PreparedWorld:
    """Return a world with the rules of a book as they stand in it."""
    compiled: dict[str, CompiledFormula] = {}
    reasons: dict[str, str] = {}
    for rule in rulebook.rules:
        try:
            compiled[rule.id] = compiler.compile(rule.formula)
        except Unanswered as error:
            reasons[rule.id] = str(error)
    # What the closure of a learned world allows includes what was seen.
    anything = spot.product((world.closure or world).graph, any_action(domain.vocabulary.action_ids))
    violable = {name for name, formula in compiled.items() if anything.intersects(formula.complement)} | set(reasons)
    applicable = [rule for rule in rulebook.rules if rule.id in violable and all(map(world.has, rule.presumes))]
    counted = _counted(applicable, implications(compiled, domain.vocabulary.action_ids))
    rules = tuple(
        PreparedRule(
            rule=rule,
            compiled=compiled.get(rule.id),
            reason=reasons.get(rule.id, ""),
            can_be_violated=rule.id in violable,
            applicable=rule in applicable,
            weight=rule.weight if rule.id in counted else 0.0,
            trigger=_trigger(rule, compiler),
        )
        for rule in rulebook.rules
    )
    # A world cannot be made without translating its fairness, so this answers at once.
    return PreparedWorld(world, rules, compiler.compile(world.fairness).automaton)


def _counted(applicable: list[Rule], implied_by: dict[str, tuple[str, ...]]) -> set[str]:
    """Return the applicable rules that no other one with weight implies; of equivalent ones the heaviest."""
    order = {rule.id: (rule.weight, -position) for position, rule in enumerate(applicable)}
    implying = {rule.id for rule in applicable if rule.weight}

    def gives_way(rule: Rule, other: str) -> bool:
        is_equivalent = rule.id in implied_by[other]
        return other in implying and (not is_equivalent or order[other] > order[rule.id])

    return {rule.id for rule in applicable if not any(gives_way(rule, other) for other in implied_by.get(rule.id, ()))}


def _trigger(rule: Rule, compiler: Compiler) -> Automaton | None:
    formula = trigger(rule.formula)
    try:
        return compiler.compile(formula).automaton if formula else None
    except Unanswered:
        return None
