"""Verdicts against brute force, on random controllers, worlds and formulas."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.logic import Formula
from verilora.specs.world_description import WorldDescription
from verilora.synth.controllers.build import build_controller
from verilora.synth.controllers.controller import Controller, always, are_equivalent
from verilora.synth.controllers.decompile import to_steps
from verilora.verify.checking.check import Runs, find_violation
from verilora.verify.checking.compiled import Compiler
from verilora.verify.worlds.world import World, abstract_world, explicit_world

from models import PROPOSITIONS, TINY, abstract_worlds, behaviour, compiled, explicit_worlds, formulas, world_targets
from oracle import all_letters, holds, holds_almost_surely
from strategies import controllers

machines = controllers(TINY, max_states=3)
worlds = st.one_of(abstract_worlds(), explicit_worlds())


def is_kept(world: World, controller: Controller, formula: Formula, runs: Runs) -> bool:
    return find_violation(behaviour(world, controller), compiled(formula), runs) is None


@settings(max_examples=150)
@given(worlds, machines, formulas())
def test_chain_verdict_is_probability_one(world: World, controller: Controller, formula: Formula) -> None:
    expected = holds_almost_surely(formula, world, controller)
    assert is_kept(world, controller, formula, Runs.CHAIN) == expected


def test_chain_verdict_where_the_oracle_meets_states_without_a_mark() -> None:
    world = abstract_world("some", WorldDescription(free=PROPOSITIONS), TINY, Compiler())
    still, formula = always("rest", TINY), Formula("GF p -> FG q")
    assert is_kept(world, still, formula, Runs.CHAIN) == holds_almost_surely(formula, world, still)


@settings(max_examples=100)
@given(abstract_worlds(), machines, formulas(), st.sampled_from([Runs.CHAIN, Runs.ALL]))
def test_symbolic_world_equals_explicit_world(
    world: World, controller: Controller, formula: Formula, runs: Runs
) -> None:
    spelled_out = explicit_world(world)
    assert is_kept(world, controller, formula, runs) == is_kept(spelled_out, controller, formula, runs)


@settings(max_examples=60)
@given(worlds, machines, formulas())
def test_what_is_kept_on_all_runs_no_short_lasso_violates(
    world: World, controller: Controller, formula: Formula
) -> None:
    if is_kept(world, controller, formula, Runs.ALL):
        for prefix, cycle in lassos(world, controller, max_len=3):
            assert holds(formula, prefix, cycle)
        assert is_kept(world, controller, formula, Runs.CHAIN)


@settings(max_examples=60)
@given(worlds, machines, formulas(), st.sampled_from([Runs.CHAIN, Runs.ALL]))
def test_equivalent_controllers_get_equal_verdicts(
    world: World, controller: Controller, formula: Formula, runs: Runs
) -> None:
    other = build_controller(to_steps(controller), TINY)
    assert are_equivalent(controller, other)
    assert is_kept(world, controller, formula, runs) == is_kept(world, other, formula, runs)


def lassos(
    world: World, controller: Controller, max_len: int
) -> list[tuple[list[frozenset[str]], list[frozenset[str]]]]:
    """Return every lasso of the product whose letters number at most `max_len`."""
    found = []
    for length in range(1, max_len + 1):
        for letters in product(all_letters(PROPOSITIONS), repeat=length):
            for start in range(length):
                word = closed_walk(world, controller, letters, start)
                if word:
                    found.append((word[:start], word[start:]))
    return found


def closed_walk(
    world: World, controller: Controller, letters: tuple[frozenset[str], ...], start: int
) -> list[frozenset[str]] | None:
    """Return the letters with the controller's actions if they lead back to where they were at `start`."""
    places = [(world.graph.get_init_state_number(), 0)]
    word = []
    for letter in letters:
        state, machine = places[-1]
        targets = world_targets(world, state, letter)
        if not targets:
            return None
        edge = controller.react(machine, letter)
        word.append(letter | {edge.action})
        places.append((targets[0], edge.target))
    return word if places[-1] == places[start] else None
