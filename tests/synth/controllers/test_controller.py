import itertools

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from verilora.specs.logic import buddy, letter_diagram
from verilora.synth.controllers.controller import Controller, Edge, Ending, Otherwise, Reading, always, are_equivalent
from verilora.synth.controllers.steps import InvalidController

from controllers import guard_of
from oracle import Letter, all_letters
from strategies import DRIVING, KETTLE, controllers, letters

LETTERS = all_letters(KETTLE.proposition_ids)


def machine(*states: tuple[tuple[str, str, int], ...]) -> Controller:
    """Return a controller of (guard, action, target) for each edge of each state."""
    names = tuple("xyz"[: len(states)])
    edges = tuple(tuple(Edge(guard_of(guard), action, target) for guard, action, target in state) for state in states)
    return Controller(KETTLE, edges, names, len(states))


def behave_alike(left: Controller, right: Controller) -> bool:
    """Return whether two controllers act alike, by trying all letters in all pairs of states they reach together."""
    pairs = [(0, 0)]
    for pair in pairs:
        for letter in LETTERS:
            left_edge, right_edge = left.react(pair[0], letter), right.react(pair[1], letter)
            if left_edge.action != right_edge.action:
                return False
            if (left_edge.target, right_edge.target) not in pairs:
                pairs.append((left_edge.target, right_edge.target))
    return True


def test_a_controller_reacts_to_the_letter_and_moves_on() -> None:
    controller = machine((("hot & !lid", "pour", 1), ("!hot | lid", "heat", 0)), (("1", "rest", 0),))
    state, done = 0, []
    for letter in ({"lid"}, {"hot", "lid"}, {"hot"}, {"hot"}, {"hot", "lid_ajar"}):
        edge = controller.react(state, letter)
        state = edge.target
        done.append(edge.action)
    assert done == ["heat", "heat", "pour", "rest", "pour"]


def test_a_letter_may_hold_names_that_are_no_propositions() -> None:
    controller = machine((("hot", "pour", 0), ("!hot", "heat", 0)))
    assert controller.react(0, {"hot", "pour", "steam"}).action == "pour"
    assert controller.react(0, iter(["pour", "steam"])).action == "heat"


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        pytest.param(
            (("hot", "pour", 0), ("lid", "heat", 0), ("!hot & !lid", "rest", 0)),
            "ambiguous: y has two reactions to 'hot water and lid'",
            id="overlap",
        ),
        pytest.param(
            (("1", "pour", 0), ("hot", "pour", 0)),
            "ambiguous: y has two reactions to 'hot water'",
            id="overlap with the same reaction",
        ),
        pytest.param((("hot", "pour", 0),), "incomplete: y has no reaction to 'no hot water'", id="gap"),
        pytest.param(
            (("hot | lid", "pour", 0), ("lid_ajar & !hot & !lid", "heat", 0)),
            "incomplete: y has no reaction to 'no hot water and no lid and no lid ajar'",
            id="small gap",
        ),
        pytest.param((), "incomplete: y has no reaction to any letter", id="no edge"),
        pytest.param((("0", "pour", 0),), "incomplete: y has no reaction to any letter", id="empty guard"),
        pytest.param(
            (("1", "pour", 0), ("1", "heat", 0)),
            "ambiguous: y has two reactions to any letter",
            id="two for all",
        ),
    ],
)
def test_a_state_has_one_reaction_to_each_letter(edges: tuple[tuple[str, str, int], ...], message: str) -> None:
    with pytest.raises(InvalidController) as caught:
        machine((("1", "rest", 1),), edges)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("action", "target", "message"),
    [
        ("haet", 0, "here: unknown action: got 'haet', expected one of heat, pour, rest (did you mean 'heat'?)"),
        ("lid", 0, "here: unknown action: got 'lid', expected one of heat, pour, rest"),
        (-1, 0, "here: unknown action: got '-1', expected one of heat, pour, rest"),
        ("heat", -1, "here: unknown target: got -1, expected one of 2 states, from 0 on"),
        ("heat", 2, "here: unknown target: got 2, expected one of 2 states, from 0 on"),
    ],
)
def test_an_edge_names_an_action_and_a_state_that_are_there(action: str, target: int, message: str) -> None:
    there = (Edge(buddy.bddtrue, "rest", 1),)
    with pytest.raises(InvalidController) as caught:
        Controller(KETTLE, ((Edge(buddy.bddtrue, action, target),), there), ("here", "there"), 2)
    assert str(caught.value) == message


def test_a_gap_is_shown_by_one_example() -> None:
    with pytest.raises(InvalidController) as caught:
        machine((("hot & lid | !hot & !lid", "pour", 0),))
    example = str(caught.value).removeprefix("incomplete: x has no reaction to ")
    assert example in ("'hot water and no lid'", "'no hot water and lid'")


@settings(deadline=None)
@given(controllers(DRIVING), letters(DRIVING))
def test_exactly_one_edge_answers_a_letter(controller: Controller, letter: Letter) -> None:
    diagram = letter_diagram(letter, set(DRIVING.proposition_ids) - letter)
    for state, edges in enumerate(controller.states):
        assert [edge for edge in edges if edge.guard & diagram != buddy.bddfalse] == [controller.react(state, letter)]


@settings(deadline=None)
@given(controllers(KETTLE))
def test_the_automaton_has_the_letters_with_their_one_action(controller: Controller) -> None:
    automaton = controller.automaton()
    assert automaton.num_states() == len(controller.states)
    assert automaton.get_init_state_number() == 0
    names = (*KETTLE.proposition_ids, *KETTLE.action_ids)
    assert sorted(ap.ap_name() for ap in automaton.ap()) == sorted(names)
    for state, full in itertools.product(range(len(controller.states)), all_letters(names)):
        diagram = letter_diagram(full, set(names) - full)
        targets = [edge.dst for edge in automaton.out(state) if edge.cond & diagram != buddy.bddfalse]
        reaction = controller.react(state, full)
        allowed = full.intersection(KETTLE.action_ids) == {reaction.action}
        assert targets == ([reaction.target] if allowed else [])


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_equivalence_is_the_same_action_on_every_word(data: st.DataObject) -> None:
    some = controllers(KETTLE, max_states=3, propositions=data.draw(st.sampled_from([(), ("hot",), ("hot", "lid")])))
    left, right = data.draw(some), data.draw(some)
    alike = behave_alike(left, right)
    event(f"alike: {alike}")
    assert are_equivalent(left, right) is alike
    assert are_equivalent(right, left) is alike


@settings(deadline=None)
@given(controllers(KETTLE))
def test_states_that_do_the_same_may_be_doubled(controller: Controller) -> None:
    count = len(controller.states)
    # A copy of each state, and each edge leads to the copy of its target.
    doubled = tuple(
        tuple(Edge(edge.guard, edge.action, (edge.target + count) % (2 * count)) for edge in edges)
        for edges in (*controller.states, *controller.states)
    )
    doubled = doubled[:count] + tuple(
        tuple(Edge(edge.guard, edge.action, edge.target % count) for edge in edges) for edges in doubled[count:]
    )
    copy = Controller(KETTLE, doubled, controller.names * 2, 1)
    assert behave_alike(controller, copy)
    assert are_equivalent(controller, copy)


@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        pytest.param(
            machine((("hot", "pour", 0), ("!hot", "rest", 0))),
            machine((("hot", "pour", 1), ("!hot", "rest", 0)), (("hot", "pour", 0), ("!hot", "rest", 1))),
            True,
            id="another number of states",
        ),
        pytest.param(
            machine((("hot", "pour", 0), ("!hot", "rest", 0))),
            machine((("hot & lid", "pour", 0), ("hot & !lid", "pour", 0), ("!hot", "rest", 0))),
            True,
            id="an edge split",
        ),
        pytest.param(
            machine((("1", "rest", 0),)),
            machine((("1", "rest", 0),), (("1", "heat", 1),)),
            True,
            id="a state that is not reached",
        ),
        pytest.param(
            machine((("1", "rest", 0),)),
            machine((("1", "rest", 1),), (("1", "rest", 2),), (("1", "heat", 0),)),
            False,
            id="different at the third letter",
        ),
        pytest.param(
            machine((("hot", "pour", 0), ("!hot", "rest", 0))),
            machine((("hot", "rest", 0), ("!hot", "pour", 0))),
            False,
            id="the other way round",
        ),
    ],
)
def test_equivalence(left: Controller, right: Controller, alike: bool) -> None:
    assert are_equivalent(left, right) is alike


@pytest.mark.parametrize("action", KETTLE.action_ids)
def test_always(action: str) -> None:
    controller = always(action, KETTLE)
    assert [controller.react(0, letter) for letter in LETTERS] == [controller.states[0][0]] * len(LETTERS)
    assert (controller.states[0][0].action, controller.states[0][0].target, len(controller.states)) == (action, 0, 1)
    assert [are_equivalent(controller, always(other, KETTLE)) for other in KETTLE.action_ids] == [
        other == action for other in KETTLE.action_ids
    ]


def test_readings() -> None:
    assert Reading() == Reading(ending=Ending.PATROL, otherwise=Otherwise.STAY)
    assert [*map(str, Ending), *map(str, Otherwise)] == ["patrol", "one-shot", "stay", "advance"]
