"""End components of small processes, letters p and !p, actions go and rest."""

from verilora.specs.logic import Formula, buddy, new_automaton
from verilora.verify.checking.compiled import Compiler
from verilora.verify.realizability.almost_sure import almost_sure_region
from verilora.verify.realizability.decision_process import DecisionProcess, decision_process
from verilora.verify.realizability.end_components import maximal_end_components, winning_component

COMPILER = Compiler(30.0)


def process_of(*texts: str) -> DecisionProcess:
    world = new_automaton(["p"])
    state = world.new_state()
    world.new_edge(state, state, buddy.bddtrue)
    return decision_process(world, [COMPILER.compile(Formula(text)) for text in texts], ("go", "rest"))


def test_what_is_drawn_can_force_a_component_to_be_left() -> None:
    # After p the controller has to rest for ever; it cannot keep p from coming.
    process = process_of("G (p -> X G rest)")
    (found,) = maximal_end_components(process.graph, process)
    assert 0 not in found
    assert len(found) < len(process.drawn)


def test_a_mark_that_must_not_recur_is_taken_out() -> None:
    process = process_of("F G rest & G F (p & rest)")
    parts = maximal_end_components(process.graph, process)
    winning = [found for part in parts if (found := winning_component(part, process))]
    assert winning
    targets = {state for component in winning for state in component.graph}
    region, distances = almost_sure_region(process, targets)
    assert 0 in region
    assert {*distances} == {*region}


def test_no_component_wins_what_is_drawn_against() -> None:
    process = process_of("F G p")
    assert not [part for part in maximal_end_components(process.graph, process) if winning_component(part, process)]
    assert almost_sure_region(process, ()) == ({}, {})


def test_a_mark_that_is_asked_to_recur_and_not_to_is_still_asked_for() -> None:
    # One of the two again and again, and not the other; but each a is followed by a b, and nothing else is.
    either = "(GF a & FG !b) | (FG !a & GF b)"
    world = new_automaton(["p"])
    state = world.new_state()
    world.new_edge(state, state, buddy.bddtrue)
    asked = [COMPILER.compile(Formula(text)) for text in (either, "!b & G (a <-> X b)")]
    process = decision_process(world, asked, ("a", "b", "rest"))
    assert not [part for part in maximal_end_components(process.graph, process) if winning_component(part, process)]


def test_states_without_a_choice_on_some_letter_are_left_out() -> None:
    process = process_of("G (p -> go)", "G (p -> rest)")
    assert maximal_end_components(process.graph, process) == []
    assert almost_sure_region(process, (0,)) == ({}, {})
