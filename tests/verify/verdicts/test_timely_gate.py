"""The timely gate: what practically never comes is no way to reach a goal."""

from dataclasses import replace
from pathlib import Path

import pytest
from hollow import HOLLOW
from waits import wait, waits_of

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.logic import Formula
from verilora.specs.recorded_waits import RecordingSet, recorded_waits_path, write_recorded_waits
from verilora.specs.rulebook import Rule, Rulebook
from verilora.synth.controllers.controller import Ending, Reading
from verilora.verify.records.timely import TimelyStatus, TimelyWitness
from verilora.verify.records.verdict import Mode, Status
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

# Its only rule allows every movement at every time.
LENIENT = Rulebook(
    name="lenient", description="", rules=(Rule(id="moves", formula=Formula("F !stop"), english="", weight=1),)
)
CLEAR = "1. wait until no car from left, then turn right\n2. stop"


@pytest.fixture(scope="module", params=RecordingSet)
def verifier(driving: Domain, request: pytest.FixtureRequest) -> Verifier:
    return Verifier(driving, LENIENT, Settings(recordings=request.param))


@pytest.fixture(scope="module")
def made_up(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> Domain:
    """A wide median at which a car comes in the first of two windows of its only recording."""
    folder = tmp_path_factory.mktemp("specs") / "driving"
    waited = wait(driving.vocabulary, "car_from_left", "car_from_left", "", "")
    write_recorded_waits(recorded_waits_path(folder, "wide_median"), waits_of(driving.vocabulary, waited))
    return replace(driving, folder=folder)


@pytest.mark.parametrize("name", HOLLOW)
def test_hollow_controllers_keep_all_but_the_timely_gate(verifier: Verifier, driving: Domain, name: str) -> None:
    task_id, steps = HOLLOW[name]
    verdict = verifier.verify_text(steps, driving.task(task_id))
    assert {gate.status for gate in verdict.gates} == {Status.SATISFIED}
    assert verdict.timely is not None
    assert verdict.timely.status is TimelyStatus.NOT_REACHED
    assert verdict.timely.share is not None
    assert verdict.timely.share < 0.5
    assert (verdict.gates_kept, verdict.all_kept, verdict.compliance, verdict.exit_code()) == (False, False, 0, 1)


def test_waiting_for_everybody_at_once_is_waiting_for_ever(verifier: Verifier, driving: Domain) -> None:
    task_id, steps = HOLLOW["straight only while cars and pedestrians are on all sides"]
    timely = verifier.verify_text(steps, driving.task(task_id)).timely
    assert timely is not None
    assert timely.share is not None
    assert timely.share < 0.05


def test_who_starts_and_then_stands_on_the_median_fails_at_its_line(verifier: Verifier, driving: Domain) -> None:
    task_id, steps = HOLLOW["straight, and then on the median for a car that never comes there"]
    timely = verifier.verify_text(steps, driving.task(task_id)).timely
    assert timely is not None
    near, far = timely.lines
    assert (near.line, far.line) == (1, 2)
    assert near.share > 0.9
    assert far.share == 0


def test_one_go_crosses_one_half_of_a_wide_median(driving: Domain) -> None:
    steps = "1. wait until no car from left and no car from right and no pedestrian in front, then go straight\n2. stop"
    task = driving.task("straight-at-wide-median")
    once, again = (
        Verifier(driving, settings=Settings(reading=Reading(ending=ending))).verify_text(steps, task)
        for ending in (Ending.ONE_SHOT, Ending.PATROL)
    )
    assert once.timely is not None
    assert again.timely is not None
    assert [round(line.share, 1) for line in once.timely.lines] == [1, 0]
    assert [round(line.share, 1) for line in again.timely.lines] == [1, 1]


def test_a_witness_names_recording_and_second(made_up: Domain) -> None:
    task = replace(made_up.task("right-at-wide-median"), limit=2)
    timely = Verifier(made_up, LENIENT, Settings()).verify_text(CLEAR, task).timely
    assert timely is not None
    (line,) = timely.lines
    assert (line.reached, line.windows, line.witness) == (1, 2, TimelyWitness(seed=1, second=0))


def test_the_reference_waits_for_no_more_than_the_rules_ask(made_up: Domain, driving: Domain) -> None:
    task = replace(made_up.task("right-at-wide-median"), limit=2)
    free = Verifier(made_up, LENIENT, Settings()).verify_text(CLEAR, task).timely
    bound = Verifier(made_up, driving.rulebook(), Settings()).verify_text(CLEAR, task).timely
    assert free is not None
    assert bound is not None
    assert (free.reference, bound.reference) == (1.0, 0.5)


def test_more_in_time_ranks_before_shorter(made_up: Domain) -> None:
    task = replace(made_up.task("right-at-wide-median"), limit=2)
    at_once, later = "1. stop\n2. turn right\n3. stop", CLEAR
    verifier = Verifier(made_up, LENIENT, Settings())
    first, second = (verifier.verify_text(steps, task) for steps in (at_once, later))
    assert [round(verdict.rank[3]) for verdict in (first, second)] == [10, 5]
    assert first.num_steps > second.num_steps
    assert first.rank > second.rank


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        (Settings(world=WorldKind.ABSTRACT), "no timely gate: it is asked in simulated worlds only"),
        (Settings(world=WorldKind.UNIVERSAL), "no timely gate: it is asked in simulated worlds only"),
        (Settings.of(Mode.PAPER), "no timely gate: paper mode has no gates"),
    ],
    ids=["abstract", "universal", "paper"],
)
def test_elsewhere_no_wait_is_replayed_and_the_verdict_says_so(driving: Domain, settings: Settings, note: str) -> None:
    verdict = Verifier(driving, settings=settings).verify_text(CLEAR, driving.task("right-at-roundabout"))
    assert verdict.timely is None
    assert any(said.startswith(note) for said in verdict.notes)


def test_without_recordings_the_qualitative_gates_alone_are_asked(made_up: Domain) -> None:
    verdict = Verifier(made_up, LENIENT, Settings()).verify_text(CLEAR, made_up.task("right-at-roundabout"))
    assert verdict.timely is not None
    assert (verdict.timely.status, verdict.timely.lines) == (TimelyStatus.NO_RECORDINGS, ())
    assert (verdict.gates_kept, verdict.compliance) == (True, 1)
    assert verdict.notes[-1] == "no timely gate: no recorded waits ship for 'roundabout'"


@pytest.mark.parametrize(
    ("limit", "premise", "why"),
    [
        (5, None, "no recorded wait of 'wide_median' lasts 5 s, the limit of the task"),
        (2, Formula("opposite_car"), "opposite_car never holds in the recorded waits of 'wide_median'"),
    ],
    ids=["limit", "premise"],
)
def test_recordings_that_give_no_window_are_not_said_to_be_missing(
    made_up: Domain, limit: int, premise: Formula | None, why: str
) -> None:
    task = replace(made_up.task("right-at-wide-median"), limit=limit, premise=premise)
    verdict = Verifier(made_up, LENIENT, Settings()).verify_text(CLEAR, task)
    assert verdict.timely is not None
    assert verdict.timely.status is TimelyStatus.NO_RECORDINGS
    assert verdict.notes[-1] == f"no timely gate: {why}"


def test_what_is_no_controller_is_not_replayed(driving: Domain) -> None:
    verdict = Verifier(driving).verify_text("turn right", driving.task("right-at-roundabout"))
    assert (verdict.valid, verdict.timely) == (False, None)


def test_a_verifier_of_the_other_set_shares_what_is_prepared(driving: Domain, greenhouse: Domain) -> None:
    reporting = Verifier(driving)
    ranking = reporting.replaying(RecordingSet.RANKING)
    task = driving.task("right-at-roundabout")
    asked = [one.verify_text(CLEAR, task).timely for one in (reporting, ranking)]
    assert [timely.recordings for timely in asked if timely] == ["report", "ranking"]
    assert ranking.compiler is reporting.compiler
    for nothing_to_replay in (Verifier(greenhouse), Verifier(driving, settings=Settings(world=WorldKind.ABSTRACT))):
        assert nothing_to_replay.replaying(RecordingSet.RANKING) is nothing_to_replay


def test_recordings_of_other_labels_are_an_error(driving: Domain, tmp_path: Path) -> None:
    path = recorded_waits_path(tmp_path, "wide_median")
    old = waits_of(driving.vocabulary, wait(driving.vocabulary, "")).model_copy(update={"labels": 0})
    write_recorded_waits(path, old)
    verifier = Verifier(replace(driving, folder=tmp_path), LENIENT, Settings())
    with pytest.raises(InputError, match="got version 0 of the labels"):
        verifier.verify_text(CLEAR, driving.task("right-at-wide-median"))
