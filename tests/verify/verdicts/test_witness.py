"""What is told of a violation is a run of world and controller, and does violate the formula."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.specs.domain import Domain
from verilora.specs.logic import Automaton, Bdd, Formula, buddy, letter_diagram, spot
from verilora.synth.controllers.controller import Controller, always
from verilora.verify.checking.check import Runs, find_violation
from verilora.verify.records.verdict import Moment, Witness
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.verdicts.witness import cut, tell
from verilora.verify.worlds.world import World

from controllers import task_in
from machines import random_machine, ring
from models import (
    ACTIONS,
    PROPOSITIONS,
    TINY,
    abstract_worlds,
    behaviour,
    compiled,
    explicit_worlds,
    formulas,
    world_targets,
)
from oracle import holds, is_bad_prefix
from strategies import controllers

machines = controllers(TINY, max_states=3)
worlds = st.one_of(abstract_worlds(), explicit_worlds())


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


@settings(max_examples=150)
@given(worlds, machines, formulas())
def test_the_cycle_of_a_chain_witness_stays_in_a_bottom_component(
    world: World, controller: Controller, formula: Formula
) -> None:
    """A run that leaves its cycle has to come back to it, or what the cycle shows could have probability 0."""
    rule = compiled(formula)
    find_run = find_violation(behaviour(world, controller), rule, Runs.CHAIN)
    if find_run is None or rule.is_safety:
        return
    run = find_run()
    chain = spot.product(behaviour(world, controller), rule.automaton)
    # Worlds need not be deterministic: one of the states that the path may lead to is where the cycle begins.
    homes = after({chain.get_init_state_number()}, run.prefix, chain)
    homes = {home for home in homes if home in after({home}, run.cycle, chain)}
    assert any(all(home in reached(state, chain) for state in reached(home, chain)) for home in homes)


def test_a_witness_shows_the_reason_and_no_tour_of_the_component() -> None:
    """Two letters recur: one that goes on for ever without the other has probability 0 and would not do."""
    graph = spot.make_twa_graph(spot._bdd_dict)
    for name in PROPOSITIONS:
        graph.register_ap(name)
    graph.new_states(2)
    for source, target, true in ((0, 0, {"q"}), (0, 1, {"p"}), (1, 0, set()), (1, 1, {"q"})):
        graph.new_edge(source, target, letter_diagram(true, set(PROPOSITIONS) - true))
    still = always_rest()
    chain = spot.product(graph, still.automaton())

    def cycle(formula: str) -> list[tuple[str, ...]]:
        find_run = find_violation(chain, compiled(Formula(formula)), Runs.CHAIN)
        assert find_run is not None
        return [moment.propositions for moment in tell(find_run(), still).cycle]

    # Where it never goes any instant shows it; where it must always be q one without q, and the way back.
    assert cycle("GF go") == [("q",)]
    assert cycle("GF go | FG q") == [("p",), ()]


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


def after(states: set[int], letters: Sequence[Bdd], graph: Automaton) -> set[int]:
    """Return where a graph can be after some sets of letters."""
    for some in letters:
        states = {edge.dst for state in states for edge in graph.out(state) if edge.cond & some != buddy.bddfalse}
    return states


def reached(state: int, graph: Automaton) -> set[int]:
    """Return what can be reached from a state in one step or more."""
    found: set[int] = set()
    frontier = {state}
    while frontier:
        frontier = {edge.dst for one in frontier for edge in graph.out(one)} - found
        found |= frontier
    return found


@pytest.mark.parametrize(
    ("path", "cycle", "most", "expected"),
    [
        (3, 0, 64, (0, 3, 0, 0)),
        (100, 0, 64, (36, 64, 0, 0)),
        (2, 100, 64, (0, 2, 62, 38)),
        (100, 5, 64, (41, 59, 5, 0)),
        (100, 100, 64, (68, 32, 32, 68)),
        (9, 9, 1, (9, 0, 1, 8)),
    ],
)
def test_a_long_witness_keeps_the_end_of_its_path_and_the_beginning_of_its_cycle(
    path: int, cycle: int, most: int, expected: tuple[int, int, int, int]
) -> None:
    moments = [Moment(propositions=(), state=f"state {at}", steps=(), action="rest") for at in range(path + cycle)]
    whole = Witness(prefix=tuple(moments[:path]), cycle=tuple(moments[path:]))
    short = cut(whole, most)
    assert (short.num_before, len(short.prefix), len(short.cycle), short.num_after) == expected
    assert short.prefix == whole.prefix[short.num_before :]
    assert short.cycle == whole.cycle[: len(short.cycle)]


def test_the_name_of_a_state_is_cut_to_fit_a_line() -> None:
    moment = Moment(propositions=(), state="a" * 1_000, steps=(), action="rest")
    (short,) = cut(Witness(prefix=(moment,)), 64).prefix
    assert (short.state[:3], short.state[-1], len(short.state)) == ("aaa", "…", 64)


def test_who_stands_for_ever_is_shown_in_one_instant(driving: Domain) -> None:
    text = "1. observe car from left\n2. observe green traffic light"
    verdict = Verifier(driving).verify_text(text, task_in("traffic_light"))
    (progress,) = (gate.witness for gate in verdict.gates if gate.name == "progress")
    assert progress is not None
    assert (len(progress.prefix), len(progress.cycle)) == (0, 2)


@pytest.mark.parametrize("shape", ["ring", "random"])
def test_no_machine_makes_a_verdict_of_more_than_64_kb(driving: Domain, shape: str) -> None:
    """Long paths to what is wrong, all of many rules broken, and names that take twelve bytes a character."""
    machine = ring(driving.vocabulary, 500) if shape == "ring" else random_machine(driving.vocabulary, 500)
    task = task_in("traffic_light")
    verdict = Verifier(driving).verify_text(machine, task)
    witnesses = [part.witness for part in (*verdict.rules, *verdict.gates) if part.witness]
    assert len(witnesses) > 5
    assert all(0 < len(witness.prefix) + len(witness.cycle) <= 64 for witness in witnesses)
    assert len(json.dumps([{"file": "machine.hoa", **verdict.to_json()}], indent=2)) < 64_000
    full = Verifier(driving, settings=Settings(full_witnesses=True)).verify_text(machine, task)
    assert [rule.status for rule in full.rules] == [rule.status for rule in verdict.rules]
    if shape == "ring":
        assert max(len(witness.cycle) for witness in witnesses) < 32
        assert max(len(gate.witness.cycle) for gate in full.gates if gate.witness) == 500


def always_rest() -> Controller:
    return always("rest", TINY)


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
