"""The controller that shows that rules can be kept: short steps where some do, else steps or HOA of a strategy."""

from collections.abc import Sequence

from ...specs.domain import Domain
from ...specs.logic import Formula
from ...specs.processes.deadline import Deadline
from ...synth.controllers.build import build_controller
from ...synth.controllers.controller import Controller
from ...synth.controllers.decompile import to_steps
from ...synth.controllers.hoa import to_hoa
from ...synth.controllers.steps import MAX_STEPS, MIN_STEPS, print_steps
from ..checking.check import Runs, find_violation
from ..checking.compiled import Compiler
from ..realizability.ltl_game import strategy_controller
from ..verdicts.prepared_world import PreparedWorld
from .reference import candidates

Exhibit = tuple[Controller, str]
"""A controller and a text that can be verified as it stands."""
_ENDLESS = Deadline()


def short_controller(
    prepared: PreparedWorld,
    runs: Runs,
    gates: Sequence[Formula],
    rules: Sequence[Formula],
    domain: Domain,
    compiler: Compiler,
    deadline: Deadline = _ENDLESS,
) -> Exhibit | None:
    """Return a controller of a few steps that keeps gates and rules, if one of the candidates does.

    Raises Unanswered.
    """
    kept = [compiler.compile(formula) for formula in rules]
    compiled = [*kept, *(compiler.compile(gate) for gate in gates)]
    first = gates[0].propositions if gates else frozenset()
    for program in candidates(domain.world(prepared.world.name), kept, first, domain.vocabulary):
        controller = build_controller(program, domain.vocabulary)
        behaviour = prepared.product(controller, runs, deadline).behaviour
        if not any(find_violation(behaviour, formula, runs, deadline) for formula in compiled):
            return controller, print_steps(program, domain.vocabulary)
    return None


def synthesised_controller(strategy: str, domain: Domain) -> Exhibit:
    """Return the controller of a strategy, as steps if they fit into a response."""
    controller = strategy_controller(strategy, domain.vocabulary)
    steps = to_steps(controller)
    fits = MIN_STEPS <= len(steps) <= MAX_STEPS
    return controller, print_steps(steps, domain.vocabulary) if fits else to_hoa(controller)
