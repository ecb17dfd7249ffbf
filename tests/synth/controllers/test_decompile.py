import pytest
from hypothesis import event, given, settings

from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import build_controller, parse_controller
from verilora.synth.controllers.controller import Controller, Edge, Ending, Otherwise, Reading, always, are_equivalent
from verilora.synth.controllers.decompile import to_steps
from verilora.synth.controllers.steps import InvalidController, Program, parse_steps, print_steps

from controllers import guard_of
from strategies import DRIVING, KETTLE, controllers, programs, readings

READINGS = [Reading(ending=ending, otherwise=otherwise) for ending in Ending for otherwise in Otherwise]
MANY = 9999


def check(controller: Controller) -> None:
    """Assert that a controller's steps, built or printed and parsed, behave like it however they are read."""
    program = to_steps(controller)
    text = print_steps(program, controller.vocabulary)
    alignment = Alignment(controller.vocabulary)
    assert parse_steps(text, alignment, MANY) == program
    for reading in READINGS:
        assert are_equivalent(build_controller(program, controller.vocabulary, reading), controller)
        assert are_equivalent(parse_controller(text, alignment, reading, MANY), controller)


@settings(deadline=None)
@given(controllers(KETTLE))
def test_steps_of_a_controller_behave_like_it(controller: Controller) -> None:
    check(controller)


@settings(deadline=None, max_examples=50)
@given(controllers(DRIVING, max_states=6))
def test_steps_of_a_driving_controller_behave_like_it(controller: Controller) -> None:
    check(controller)


@settings(deadline=None)
@given(programs(KETTLE), readings())
def test_steps_of_the_controller_of_steps_behave_like_it(program: Program, reading: Reading) -> None:
    try:
        controller = build_controller(program, KETTLE, reading)
    except InvalidController:
        event("a cycle takes no time")
    else:
        check(controller)


@pytest.mark.parametrize(
    ("states", "text"),
    [
        pytest.param([[("1", "pour", 0)]], "1. pour\n2. go to step 1", id="one reaction"),
        pytest.param([[("1", "rest", 0)]], "1. rest\n2. go to step 1", id="idle for ever"),
        pytest.param(
            [[("hot", "pour", 0), ("!hot", "rest", 0)]],
            "1. if hot water, pour, otherwise stay\n2. go to step 1",
            id="a reaction and idling",
        ),
        pytest.param(
            [[("!(hot & lid)", "heat", 0), ("hot & lid", "pour", 0)]],
            "1. if hot water and lid, pour, otherwise heat\n2. go to step 1",
            id="two reactions that lead to one state, the rarer one first",
        ),
        pytest.param(
            [[("hot", "pour", 1), ("!hot", "rest", 0)], [("1", "heat", 0)]],
            "1. if hot water, pour, otherwise stay\n2. heat\n3. go to step 1",
            id="no jump to the state that follows",
        ),
        pytest.param(
            [[("hot & lid", "pour", 0), ("hot & !lid", "pour", 0), ("!hot", "rest", 0)]],
            "1. if hot water, pour, otherwise stay\n2. go to step 1",
            id="edges of one reaction are one",
        ),
        pytest.param(
            [[("1", "heat", 0)], [("1", "pour", 1)]],
            "1. heat\n2. go to step 1",
            id="states that are not reached are left out",
        ),
        pytest.param(
            [[("hot & lid", "pour", 0), ("!hot & lid", "heat", 1), ("!lid", "rest", 0)], [("1", "rest", 0)]],
            "1. if hot water and lid, go to step 5, otherwise go to step 2\n"
            "2. if no hot water and lid, go to step 7, otherwise go to step 3\n"
            "3. rest\n4. go to step 1\n5. pour\n6. go to step 1\n7. heat\n8. go to step 9\n9. rest\n10. go to step 1",
            id="three reactions",
        ),
    ],
)
def test_steps_of_small_controllers(states: list[list[tuple[str, str, int]]], text: str) -> None:
    edges = tuple(tuple(Edge(guard_of(guard), action, target) for guard, action, target in state) for state in states)
    controller = Controller(KETTLE, edges, tuple(f"state {state}" for state in range(len(states))), len(states))
    check(controller)
    assert print_steps(to_steps(controller), KETTLE) == text


def test_steps_are_never_too_few() -> None:
    for action in DRIVING.action_ids:
        assert len(to_steps(always(action, DRIVING))) == 2


def test_a_machine_may_need_more_steps_than_a_response_may_have() -> None:
    letters = [("hot", "lid"), ("hot", "!lid"), ("!hot", "lid"), ("!hot", "!lid")]
    states = tuple(
        tuple(
            Edge(guard_of(" & ".join(letter)), "pour" if edge % 2 else "heat", (state + edge) % 4)
            for edge, letter in enumerate(letters)
        )
        for state in range(4)
    )
    controller = Controller(KETTLE, states, ("a", "b", "c", "d"), 4)
    check(controller)
    program = to_steps(controller)
    assert len(program) == 44
    with pytest.raises(InvalidController, match=r"^got 44 lines, expected 2 to 8 numbered steps$"):
        parse_steps(print_steps(program, KETTLE), Alignment(KETTLE))
