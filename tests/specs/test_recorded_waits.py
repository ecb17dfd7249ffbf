import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waits import wait, waits_of

from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.learned_world import LABELS
from verilora.specs.recorded_waits import (
    MAX_SECONDS,
    RecordedWaits,
    RecordingSet,
    pack,
    read_recorded_waits,
    recorded_waits_path,
    unpack,
    write_recorded_waits,
)

MOST_BYTES = 2**20


@given(st.lists(st.integers(0, 3) | st.integers(0, 2**12)))
def test_what_is_packed_can_be_unpacked(letters: list[int]) -> None:
    assert unpack(pack(letters)) == tuple(letters)


def test_seconds_alike_are_packed_together() -> None:
    assert pack([0, 0, 0, 17, 0]) == "0*3 11 0"


@pytest.mark.parametrize("text", ["x", "1*x", "1*0", "1*-2", f"1*{MAX_SECONDS + 1}", f"1*{MAX_SECONDS} 2"])
def test_what_nothing_packs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|invalid literal"):
        unpack(text)


@pytest.fixture
def two(driving: Domain) -> RecordedWaits:
    vocabulary = driving.vocabulary
    later = wait(vocabulary, "", "car_from_right", "", after="go_straight", roll=1)
    return waits_of(vocabulary, wait(vocabulary, "car_from_left", ""), later)


def test_a_file_is_read_as_it_was_written_and_written_as_it_was(
    driving: Domain, two: RecordedWaits, tmp_path: Path
) -> None:
    path = recorded_waits_path(tmp_path, "wide_median")
    write_recorded_waits(path, two)
    found = read_recorded_waits(path, driving.vocabulary)
    assert found == two
    content = path.read_bytes()
    write_recorded_waits(path, found)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": 0}, f"labels: got version 0 of the labels, expected {LABELS}: `verilora world record`"),
        ({"propositions": ("a", "b")}, "propositions: got a, b, expected green_traffic_light, "),
        ({"format": 9}, "format: got 9, expected 1"),
        ({"world": "roundabout"}, "world: holds the waits of 'roundabout'"),
    ],
)
def test_other_recordings_are_refused_by_name(
    driving: Domain, two: RecordedWaits, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = recorded_waits_path(tmp_path, "wide_median")
    write_recorded_waits(path, two.model_copy(update=change))
    with pytest.raises(InputError) as error:
        read_recorded_waits(path, driving.vocabulary)
    assert str(error.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "fffff"}, "waits.0.labels: expected letters of"),
        ({"roll": 2}, "waits.0.roll: got 2, expected less than its 2 seconds"),
        ({"after": "stop"}, "waits.0.after: got 'stop' for line 1"),
    ],
)
def test_waits_that_contradict_themselves_are_refused(
    driving: Domain, two: RecordedWaits, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = recorded_waits_path(tmp_path, "wide_median")
    first = two.waits[0].model_copy(update=change)
    write_recorded_waits(path, two.model_copy(update={"waits": (first, *two.waits[1:])}))
    with pytest.raises(InputError, match=r"waits\.0") as error:
        read_recorded_waits(path, driving.vocabulary)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_changed_file_is_refused(driving: Domain, two: RecordedWaits, tmp_path: Path) -> None:
    path = recorded_waits_path(tmp_path, "wide_median")
    write_recorded_waits(path, two)
    content = json.loads(path.read_text())
    content["waits"][0]["seed"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="digest"):
        read_recorded_waits(path, driving.vocabulary)


def test_what_ships_is_small_and_its_sets_share_no_seed(driving: Domain) -> None:
    worlds = {task.world for task in driving.tasks.values()}
    paths = [recorded_waits_path(driving.folder, world) for world in worlds]
    assert sum(path.stat().st_size for path in paths) < MOST_BYTES
    for world in worlds:
        waits = driving.recorded_waits(world)
        assert waits is not None
        seeds = {chosen: {wait.seed for wait in waits.waits if wait.recordings is chosen} for chosen in RecordingSet}
        assert min(map(len, seeds.values())) >= 60
        assert seeds[RecordingSet.RANKING].isdisjoint(seeds[RecordingSet.REPORT])


def test_a_world_without_recordings_has_none(greenhouse: Domain) -> None:
    assert greenhouse.recorded_waits("glasshouse") is None
