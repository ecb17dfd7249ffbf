"""Verdicts against brute force, on random controllers, worlds and formulas."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.logic import Formula, letter_diagram, spot
from verilora.synth.controllers.build import build_controller
from verilora.synth.controllers.controller import Controller, always, are_equivalent
from verilora.synth.controllers.decompile import to_steps
from verilora.verify.checking.check import Runs, find_violation
from verilora.verify.checking.compiled import CompiledFormula, _from_hoa, _translate
from verilora.verify.records.verdict import Moment, Witness
from verilora.verify.verdicts.witness import tell
from verilora.verify.worlds.world import World, explicit_world

from models import ACTIONS, PROPOSITIONS, TINY, abstract_worlds, explicit_worlds, formulas
from oracle import all_letters, holds, holds_almost_surely, is_bad_prefix
from strategies import controllers

machines = controllers(TINY, max_states=3)
worlds = st.one_of(abstract_worlds(), explicit_worlds())


def compiled(formula: Formula) -> CompiledFormula:
    """Translate here rather than in a child process: thousands of small formulas."""
    return _from_hoa(formula, *_translate(formula))


def behaviour(world: World, controller: Controller) -> object:
    return spot.product(world.graph, controller.automaton())


def is_kept(world: World, controller: Controller, formula: Formula, runs: Runs) -> bool:
    return find_violation(behaviour(world, controller), compiled(formula), runs) is None


@settings(max_examples=150)
@given(worlds, machines, formulas())
def test_chain_verdict_is_probability_one(world: World, controller: Controller, formula: Formula) -> None:
    expected = holds_almost_surely(formula, world, controller)
    assert is_kept(world, controller, formula, Runs.CHAIN) == expected


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


@settings(max_examples=150)
@given(worlds, machines, formulas(), st.sampled_from([Runs.CHAIN, Runs.ALL]))
def test_a_witness_is_a_run_of_the_product_and_violates(
    world: World, controller: Controller, formula: Formula, runs: Runs
) -> None:
    rule = compiled(formula)
    find_run = find_violation(behaviour(world, controller), rule, runs)
    if find_run is None:
        return
    witness = tell(find_run(), controller)
    assert_is_a_run(witness, world, controller)
    prefix = [moment.letter for moment in witness.prefix]
    if witness.cycle:
        assert not holds(formula, prefix, [moment.letter for moment in witness.cycle])
    else:
        assert rule.is_safety
        assert is_bad_prefix(formula, prefix)


@settings(max_examples=60)
@given(worlds, machines, formulas(), st.sampled_from([Runs.CHAIN, Runs.ALL]))
def test_equivalent_controllers_get_equal_verdicts(
    world: World, controller: Controller, formula: Formula, runs: Runs
) -> None:
    other = build_controller(to_steps(controller), TINY)
    assert are_equivalent(controller, other)
    assert is_kept(world, controller, formula, runs) == is_kept(world, other, formula, runs)


def test_a_chain_witness_takes_every_edge_of_the_bottom_component() -> None:
    """Two letters recur; a run that repeats only one of them has probability 0 and would not do."""
    graph = spot.make_twa_graph(spot._bdd_dict)
    for name in PROPOSITIONS:
        graph.register_ap(name)
    graph.new_states(2)
    for source, target, true in ((0, 0, {"q"}), (0, 1, {"p"}), (1, 0, set()), (1, 1, {"q"})):
        graph.new_edge(source, target, letter_diagram(true, set(PROPOSITIONS) - true))
    still = always_rest()
    find_run = find_violation(spot.product(graph, still.automaton()), compiled(Formula("GF go | FG q")), Runs.CHAIN)
    assert find_run is not None
    cycle = tell(find_run(), still).cycle
    assert {moment.propositions for moment in cycle} == {("q",), ("p",), ()}
    assert len(cycle) == 4


def test_a_dead_end_does_not_hide_a_bad_prefix() -> None:
    graph = spot.make_twa_graph(spot._bdd_dict)
    for name in PROPOSITIONS:
        graph.register_ap(name)
    graph.new_states(2)
    graph.new_edge(0, 1, letter_diagram({"p"}, {"q"}))
    still = always_rest()
    dead_ending = spot.product(graph, still.automaton())
    find_run = find_violation(dead_ending, compiled(Formula("G !p")), Runs.CHAIN)
    assert find_run is not None
    assert tell(find_run(), still) == Witness(
        prefix=(Moment(propositions=("p",), state="the only state", steps=(), action="rest"),)
    )


def always_rest() -> Controller:
    return always("rest", TINY)


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


def world_targets(world: World, state: int, letter: frozenset[str]) -> list[int]:
    diagram = letter_diagram(letter, set(PROPOSITIONS) - letter)
    return [edge.dst for edge in world.graph.out(state) if spot.buddy.bdd_implies(diagram, edge.cond)]


def assert_is_a_run(witness: Witness, world: World, controller: Controller) -> None:
    """Step world and controller through the witness, and its cycle as often as there are places: one must recur."""
    places = {(world.graph.get_init_state_number(), 0)}
    more_than_there_are_places = 40
    for moment in [*witness.prefix, *(witness.cycle * more_than_there_are_places)]:
        letter = frozenset(moment.propositions)
        following = set()
        for state, machine in places:
            edge = controller.react(machine, letter)
            if edge.action == moment.action:
                following |= {(target, edge.target) for target in world_targets(world, state, letter)}
        assert following, f"no run takes {moment}"
        places = following
    assert {moment.action for moment in (*witness.prefix, *witness.cycle)} <= set(ACTIONS)
