"""Runs that end, against an oracle that enumerates letters: rules weakly, goals strongly."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.logic import Formula, spot
from verilora.specs.world_description import WorldDescription
from verilora.synth.controllers.build import build_controller
from verilora.synth.controllers.controller import Controller, Ending, Reading
from verilora.synth.controllers.steps import Act, GoTo
from verilora.verify.checking.check import Runs
from verilora.verify.checking.compiled import Compiler, FiniteFormula, _translate_finite
from verilora.verify.checking.ending import find_broken_rule, find_missed_goal, has_end
from verilora.verify.worlds.world import World, abstract_world

from models import PROPOSITIONS, TINY, abstract_worlds, compiled, explicit_worlds, formulas
from oracle import keeps_in_one_shot, reaches_in_one_shot
from strategies import controllers

ONE_SHOT = Reading(ending=Ending.ONE_SHOT)
worlds = st.one_of(abstract_worlds(), explicit_worlds())


@st.composite
def ending_machines(draw: st.DrawFn) -> Controller:
    """Machines whose last state, if it can be reached, is the end."""
    machine = draw(controllers(TINY, max_states=4))
    return replace(machine, end=len(machine.states) - 1) if len(machine.states) > 1 else machine


def agree(world: World, machine: Controller, formula: Formula) -> None:
    behaviour = spot.product(world.graph, machine.automaton(ends=True))
    kept = find_broken_rule(behaviour, compiled(formula), Runs.CHAIN) is None
    assert kept == keeps_in_one_shot(formula, world, machine)
    hoa, accepting = _translate_finite(formula, True)
    finite = FiniteFormula(spot.automaton(hoa + "\n"), accepting)
    reached = find_missed_goal(behaviour, compiled(formula), finite, Runs.CHAIN) is None
    assert reached == reaches_in_one_shot(formula, world, machine)


@settings(max_examples=60)
@given(worlds, ending_machines(), formulas())
def test_verdicts_are_those_of_the_oracle(world: World, machine: Controller, formula: Formula) -> None:
    agree(world, machine, formula)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(worlds, ending_machines(), formulas())
def test_verdicts_are_those_of_the_oracle_on_many(world: World, machine: Controller, formula: Formula) -> None:
    agree(world, machine, formula)


@pytest.mark.parametrize("runs", [Runs.CHAIN, Runs.ALL])
@pytest.mark.parametrize(
    ("steps", "rule", "kept", "reached"),
    [
        ((Act("go"), Act("rest")), "GF go", True, False),
        ((Act("go"), GoTo(1)), "GF go", True, True),
        ((Act("rest"), GoTo(1)), "GF go", False, False),
        ((Act("rest"), Act("rest")), "rest U go", True, False),
        ((Act("rest"), Act("go")), "rest U go", True, True),
        ((Act("back"), Act("go")), "rest U go", False, False),
        ((Act("rest"), Act("go")), "G(go -> X rest)", True, False),
        ((Act("go"), Act("rest")), "X X rest", True, False),
        ((Act("go"), Act("go")), "G(go -> X rest)", False, False),
    ],
)
def test_rules_are_read_weakly_and_goals_strongly(
    steps: tuple[Act | GoTo, ...], rule: str, kept: bool, reached: bool, runs: Runs
) -> None:
    formula = Formula(rule)
    world = abstract_world("some", WorldDescription(free=PROPOSITIONS), TINY, Compiler())
    machine = build_controller(steps, TINY, ONE_SHOT)
    behaviour = spot.product(world.graph, machine.automaton(ends=True))
    assert has_end(behaviour) is (machine.end is not None)
    assert (find_broken_rule(behaviour, compiled(formula), runs) is None) is kept
    missed = find_missed_goal(behaviour, compiled(formula), Compiler().compile_finite(formula, is_strong=True), runs)
    assert (missed is None) is reached
