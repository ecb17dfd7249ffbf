import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.behaviour import behaviour_digest, never_moves
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.controller import Controller, Edge, always, are_equivalent

from strategies import KETTLE, controllers

# Over one proposition, equivalent machines come up often.
SMALL = controllers(KETTLE, propositions=("hot",), max_states=3)


@given(SMALL, SMALL)
def test_the_digests_are_equal_exactly_if_the_controllers_are_equivalent(left: Controller, right: Controller) -> None:
    assert (behaviour_digest(left) == behaviour_digest(right)) == are_equivalent(left, right)


@given(controllers(KETTLE), st.integers(0, 3))
def test_a_state_twice_over_changes_nothing(controller: Controller, doubled: int) -> None:
    doubled %= len(controller.states)
    copy = len(controller.states)
    moved = tuple(
        Edge(edge.guard, edge.action, copy if edge.target == doubled else edge.target)
        for edge in controller.states[doubled]
    )
    names = (*controller.names, "the copy")
    larger = Controller(KETTLE, (*controller.states, moved), names, controller.num_steps)
    start = controller.states[0]
    redirected = tuple(Edge(edge.guard, edge.action, copy if edge.target == doubled else edge.target) for edge in start)
    larger = Controller(KETTLE, (redirected, *larger.states[1:]), names, controller.num_steps)
    assert behaviour_digest(larger) == behaviour_digest(controller)


def test_the_digest_is_the_same_in_every_process() -> None:
    text = "1. observe car from left\\n2. if no car from left and green traffic light, turn right\\n3. go to step 1"
    code = f"""
from verilora.specs.domain import SHIPPED, load_domain
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.behaviour import behaviour_digest
from verilora.synth.controllers.build import parse_controller
print(behaviour_digest(parse_controller("{text}", Alignment(load_domain("driving").vocabulary))))
"""
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_what_never_moves() -> None:
    assert never_moves(always("rest", KETTLE))
    assert not never_moves(always("pour", KETTLE))
    text = "1. observe lid\n2. if hot water, rest, otherwise stay"
    assert never_moves(parse_controller(text, Alignment(KETTLE)))
