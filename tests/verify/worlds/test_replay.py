"""Replay of recorded waits."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from waits import wait, waits_of

from verilora.specs.domain import load_domain
from verilora.specs.logic import Formula
from verilora.specs.recorded_waits import RecordedWaits, RecordingSet, Wait
from verilora.specs.task import Task
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import build_controller, parse_controller
from verilora.synth.controllers.controller import Controller, Ending, Reading
from verilora.synth.controllers.steps import InvalidController
from verilora.verify.worlds.replay import Replay

from oracle import events_begin
from strategies import controllers, programs, readings

DRIVING = load_domain("driving")
VOCABULARY = DRIVING.vocabulary
STRAIGHT = DRIVING.task("straight-at-wide-median")
CAR = "car_from_left"
FAR = "car_from_right"


def replay_of(waits: RecordedWaits, task: Task, recordings: RecordingSet = RecordingSet.REPORT) -> Replay:
    assert task.event is not None
    return Replay(waits, recordings, VOCABULARY, task.event, task.limit, task.premise)


def controller(steps: str, ending: Ending = Ending.PATROL) -> Controller:
    return parse_controller(steps, Alignment(VOCABULARY), Reading(ending=ending))


def run(steps: str, *waits: Wait, limit: int = 2, ending: Ending = Ending.PATROL, **task: object) -> list[bool]:
    asked = replace(STRAIGHT, limit=limit, **task)  # type: ignore[arg-type]
    return replay_of(waits_of(VOCABULARY, *waits), asked).run(controller(steps, ending))


WHEN_CLEAR = "1. wait until no car from left and no car from right, then go straight\n2. stop"


class TestTheFirstLine:
    def test_each_window_begins_anew_and_the_rest_is_no_window(self) -> None:
        waited = wait(VOCABULARY, CAR, "", CAR, CAR, "")
        assert run(WHEN_CLEAR, waited) == [True, False]

    def test_what_comes_after_the_limit_is_too_late(self) -> None:
        waited = wait(VOCABULARY, CAR, CAR, CAR, "")
        assert run(WHEN_CLEAR, waited, limit=4) == [True]
        assert run(WHEN_CLEAR, waited, limit=3) == [False]

    def test_another_movement_is_not_the_event(self) -> None:
        assert run("1. turn left\n2. stop", wait(VOCABULARY, "", "")) == [False]

    def test_an_event_may_speak_of_propositions(self) -> None:
        waits = wait(VOCABULARY, "", ""), wait(VOCABULARY, "", CAR)
        event = Formula(f"go_straight & {CAR}")
        assert run("1. go straight\n2. go to step 1", *waits, event=event) == [False, True]

    def test_windows_without_the_premise_do_not_count(self) -> None:
        waits = waits_of(VOCABULARY, wait(VOCABULARY, "", ""), wait(VOCABULARY, "", CAR, "", ""))
        replay = replay_of(waits, replace(STRAIGHT, limit=2, premise=Formula(CAR)))
        assert [(window.second, window.counts) for window in replay.windows] == [(0, False), (0, True), (2, False)]

    def test_only_one_set_is_replayed(self) -> None:
        waits = waits_of(VOCABULARY, wait(VOCABULARY, "", ""))
        assert replay_of(waits, replace(STRAIGHT, limit=2), RecordingSet.RANKING).windows == ()


class TestALaterLine:
    FIRST = wait(VOCABULARY, "", "")

    def far(self, *seconds: str, after: str = "go_straight") -> Wait:
        return wait(VOCABULARY, *seconds, after=after, roll=1)

    def test_a_controller_goes_on_from_where_it_began(self) -> None:
        # In the second that is rolled it is at step 2, then at step 1 again.
        assert run(WHEN_CLEAR, self.FIRST, self.far("", FAR, "")) == [True, True]
        assert run(WHEN_CLEAR, self.FIRST, self.far("", FAR, FAR)) == [True, False]
        stands = "1. wait until no car from left, then go straight\n2. wait until car from left\n3. go straight"
        assert run(stands, self.FIRST, self.far("", "", "")) == [True, False]
        assert run(stands, self.FIRST, self.far(CAR, "", "")) == [True, True]

    def test_a_run_that_ended_does_not_begin_again(self) -> None:
        assert run(WHEN_CLEAR, self.FIRST, self.far("", "", ""), ending=Ending.ONE_SHOT) == [True, False]

    def test_who_never_left_the_first_line_never_leaves_a_later_one(self) -> None:
        assert run(WHEN_CLEAR, wait(VOCABULARY, CAR, CAR), self.far("", "", "")) == [False, False]

    def test_only_lines_that_the_event_leads_to_count(self) -> None:
        assert run(WHEN_CLEAR, self.FIRST, self.far("", "", "", after="turn_left")) == [True]


def test_windows_that_meet_letters() -> None:
    replay = replay_of(waits_of(VOCABULARY, wait(VOCABULARY, CAR, "", CAR, CAR)), replace(STRAIGHT, limit=2))
    assert replay.meets(replay.diagram(0)) == [True, False]


@st.composite
def built(draw: st.DrawFn) -> Controller:
    """Return a strategy for the controllers of steps, with both endings."""
    try:
        return build_controller(draw(programs(VOCABULARY)), VOCABULARY, draw(readings()))
    except InvalidController:
        # A cycle that takes no time.
        assume(False)
        raise


MADE_UP = st.lists(
    st.builds(
        lambda seed, seconds, after, roll: wait(
            VOCABULARY, *seconds, after=after, roll=roll if after else 0, seed=seed
        ),
        st.integers(0, 3),
        st.lists(
            st.sampled_from(["", CAR, FAR, f"{CAR} pedestrian_in_front", "pedestrian_in_front"]),
            min_size=8,
            max_size=14,
        ),
        st.sampled_from([None, None, "go_straight", "turn_left"]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda made: (made.line, made.after, made.seed),
)
ASKED = st.builds(
    lambda event, limit, premise: replace(
        STRAIGHT, event=Formula(event), limit=limit, premise=Formula(premise) if premise else None
    ),
    st.sampled_from(["go_straight", "turn_left", "go_straight | turn_left", f"go_straight & !{CAR}"]),
    st.integers(1, 6),
    st.sampled_from([None, None, CAR, f"{CAR} & pedestrian_in_front"]),
)


@given(MADE_UP, ASKED, built() | controllers(VOCABULARY))
def test_replay_agrees_with_the_oracle_window_by_window(made: list[Wait], asked: Task, machine: Controller) -> None:
    waits = waits_of(VOCABULARY, *made)
    replay = replay_of(waits, asked)
    found = {
        (window.line, window.seed, window.after, window.second): begun
        for window, begun in zip(replay.windows, replay.run(machine), strict=True)
    }
    assert found == events_begin(waits, RecordingSet.REPORT, asked, machine)
    if asked.premise is None:
        assert all(window.counts for window in replay.windows)


@pytest.mark.parametrize("task_id", ["left-at-traffic-light", "straight-at-wide-median", "right-at-roundabout"])
@given(built() | controllers(VOCABULARY))
@settings(max_examples=30)
def test_what_ships_is_replayed_as_the_oracle_does(task_id: str, machine: Controller) -> None:
    task = DRIVING.task(task_id)
    waits = DRIVING.recorded_waits(task.world)
    assert waits is not None
    # The first waits of each line are enough.
    few = [one for one in waits.waits if one.seed % 1_000_000 < 4]
    waits = waits.model_copy(update={"waits": tuple(few)})
    replay = replay_of(waits, task)
    assert list(events_begin(waits, RecordingSet.REPORT, task, machine).values()) == replay.run(machine)
