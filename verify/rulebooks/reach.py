"""What any controller can reach in a world: all applicable rules at once, or at best how many, and by which machine."""

from dataclasses import dataclass

from ...specs.domain import Domain
from ...specs.logic import Formula, conjunction
from ...specs.processes.forked import Unanswered, within
from ...synth.controllers.build import build_controller
from ...synth.controllers.controller import Controller
from ...synth.controllers.decompile import to_steps
from ...synth.controllers.hoa import to_hoa
from ...synth.controllers.steps import MAX_STEPS, MIN_STEPS, print_steps
from ..checking.check import Runs, find_violation
from ..checking.compiled import Compiler
from ..checking.synthesis import Game, strategy_controller
from ..verdicts.prepared_world import PreparedWorld
from .reference import candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What controllers can reach under one assumption and with the gates of one goal (None: without gates).

    `realizable`: all applicable rules and the gates at once. `best_count` of all rules of the book, those that cannot
    be broken here included, with `dropped` broken; None if the gates alone are out of reach. `controller` is one that
    reaches it, as steps if they fit into a response, else as HOA, `num_states` its size, and `simulated` its worst
    status for the gates and all applicable rules in the learned worlds, if any ship. Everything is None if there was no
    answer (`problem`).
    """

    runs: Runs
    goal: str | None
    realizable: bool | None = None
    best_count: int | None = None
    dropped: tuple[str, ...] = ()
    controller: str | None = None
    num_states: int | None = None
    simulated: str | None = None
    problem: str = ""


def find_reach(prepared: PreparedWorld, runs: Runs, goal: Formula | None, domain: Domain, compiler: Compiler) -> Reach:
    """Return what controllers can reach; rules that could not be translated are left out of the question."""
    description = domain.world(prepared.world.name)
    assumption = prepared.world.fairness if runs is Runs.FAIR else conjunction(())
    game = Game(description, domain.vocabulary, assumption)
    gates = [goal, domain.vocabulary.progress] if goal else []
    # What cannot be judged here is the first to be dropped.
    breakable = sorted((rule for rule in prepared.rules if rule.can_be_violated), key=lambda rule: rule.applicable)
    rules = {rule.rule.id: rule.rule.formula for rule in breakable if rule.compiled}
    applicable = [rules[rule.rule.id] for rule in breakable if rule.applicable and rule.compiled]
    name = goal.text if goal else None
    try:
        realizable, best = within(compiler.time_limit, _play, game, gates, applicable, rules)
        if best is None:
            return Reach(runs=runs, goal=name, realizable=False)
        dropped, strategy = best
        kept = [formula for rule_id, formula in rules.items() if rule_id not in dropped]
        short = _short_controller(prepared, runs, gates, kept, domain, compiler)
    except Unanswered as error:
        return Reach(runs=runs, goal=name, problem=str(error))
    controller, text = short or _synthesised_controller(strategy, domain)
    return Reach(
        runs=runs,
        goal=name,
        realizable=realizable,
        best_count=len(prepared.rules) - len(dropped),
        dropped=tuple(dropped),
        controller=text,
        num_states=len(controller.states),
    )


def _play(
    game: Game, gates: list[Formula], applicable: list[Formula], rules: dict[str, Formula]
) -> tuple[bool, tuple[list[str], str] | None]:
    return game.solve([*gates, *applicable]) is not None, game.best(gates, rules)


def _short_controller(
    prepared: PreparedWorld,
    runs: Runs,
    gates: list[Formula],
    rules: list[Formula],
    domain: Domain,
    compiler: Compiler,
) -> tuple[Controller, str] | None:
    """Return a controller of a few steps that keeps gates and rules, if one of the candidates does, and its steps."""
    kept = [compiler.compile(formula) for formula in rules]
    compiled = [*kept, *(compiler.compile(gate) for gate in gates)]
    first = gates[0].propositions if gates else frozenset()
    for program in candidates(domain.world(prepared.world.name), kept, first, domain.vocabulary):
        controller = build_controller(program, domain.vocabulary)
        behaviour = prepared.product(controller, runs).behaviour
        if not any(find_violation(behaviour, formula, runs) for formula in compiled):
            return controller, print_steps(program, domain.vocabulary)
    return None


def _synthesised_controller(strategy: str, domain: Domain) -> tuple[Controller, str]:
    """Return the controller of a strategy, and a text that can be verified as it stands."""
    controller = strategy_controller(strategy, domain.vocabulary)
    steps = to_steps(controller)
    fits = MIN_STEPS <= len(steps) <= MAX_STEPS
    return controller, print_steps(steps, domain.vocabulary) if fits else to_hoa(controller)
