"""Waits: what an ego that stands at its line sees, recorded."""

import pytest

from verilora.envs import waiting
from verilora.envs.recording import provenance
from verilora.envs.scenario import SCENARIOS
from verilora.envs.waiting import FIRST_SEEDS, SECONDS, record_wait, wait_jobs
from verilora.specs.domain import Domain
from verilora.specs.recorded_waits import RecordingSet

RANKING, REPORT = RecordingSet.RANKING, RecordingSet.REPORT


@pytest.mark.parametrize("world", SCENARIOS)
def test_every_line_of_every_world_is_waited_at_in_both_sets(world: str) -> None:
    jobs = wait_jobs(world)
    later = {"go_straight", "turn_left"} if world == "wide_median" else set()
    for chosen in RecordingSet:
        assert {after for of, _, after in jobs if of is chosen} == {None, *later}
    assert len(set(jobs)) == len(jobs)


def test_equal_jobs_give_equal_waits_of_full_length(driving: Domain) -> None:
    job = (RANKING, FIRST_SEEDS[RANKING], None)
    first, again = (record_wait("traffic_light", driving.vocabulary, job) for _ in range(2))
    assert first is not None
    assert first == again
    assert (first.line, first.roll, len(first.letters)) == (1, 0, SECONDS)
    # Things change at a traffic light.
    assert len(set(first.letters)) > 5


def test_on_the_median_only_the_far_half_is_reported(driving: Domain) -> None:
    bits = {name: 1 << bit for bit, name in enumerate(driving.vocabulary.proposition_ids)}
    near = record_wait("wide_median", driving.vocabulary, (REPORT, FIRST_SEEDS[REPORT], None))
    far = record_wait("wide_median", driving.vocabulary, (REPORT, FIRST_SEEDS[REPORT], "turn_left"))
    assert near is not None
    assert far is not None
    assert {letter & bits["car_from_right"] for letter in near.letters} == {0}
    assert {letter & bits["car_from_left"] for letter in far.letters[far.roll :]} == {0}
    assert bits["car_from_right"] in {letter & bits["car_from_right"] for letter in far.letters}
    assert (far.line, far.after, len(far.letters) - far.roll) == (2, "turn_left", SECONDS)
    # From line to line it takes some seconds.
    assert 3 <= far.roll <= 20


def test_an_ego_that_never_gets_its_turn_is_left_out(driving: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_PATIENCE", 1)
    assert record_wait("wide_median", driving.vocabulary, (REPORT, FIRST_SEEDS[REPORT], "turn_left")) is None


@pytest.mark.parametrize("world", SCENARIOS)
def test_what_ships_is_what_is_recorded_again(driving: Domain, world: str) -> None:
    shipped = driving.recorded_waits(world)
    assert shipped is not None
    now = provenance(world, driving.vocabulary)
    assert shipped.provenance["config_digest"] == now["config_digest"]
    for wait in (shipped.waits[0], shipped.waits[-1]):
        job = (wait.recordings, wait.seed, wait.after)
        assert record_wait(world, driving.vocabulary, job) == wait
