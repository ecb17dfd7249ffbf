"""Recordings: the same file however often it was interrupted and however many processes drove."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from verilora.envs import labeller, recording, ring
from verilora.envs.recording import Recording, provenance, read_recording, record
from verilora.envs.traffic_car import TrafficCar
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.synth.controllers.steps import InvalidController

WORLD = "roundabout"
JOBS = (("random", 0), ("cautious", 1), ("bold", 2), ("bold", 3), ("cautious", 4))


@pytest.fixture(scope="module")
def whole(driving: Domain, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the content of the recording that one process drives without a break."""
    path = tmp_path_factory.mktemp("recordings") / "whole.jsonl"
    record(path, WORLD, JOBS, driving.vocabulary)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, whole: bytes) -> Path:
    """Return the path of a copy of it."""
    path = tmp_path / "copy.jsonl"
    path.write_bytes(whole)
    return path


@pytest.fixture
def resume(driving: Domain, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], int]:
    """Return what resumes a recording with episodes from memory, and tells how many it drove."""
    complete = tmp_path / "complete.jsonl"
    complete.write_bytes(whole)
    remembered = read_recording(complete)
    known = {(episode.policy, episode.seed): episode for episode in remembered.episodes}
    driven = []

    def run(world: str, vocabulary: object, job: recording.Job, controller: str) -> object:
        driven.append(job)
        return known[job]

    monkeypatch.setattr(recording, "_run", run)
    # Telling it makes an environment.
    monkeypatch.setattr(recording, "provenance", lambda world, vocabulary: remembered.provenance)

    def resume(path: Path) -> int:
        driven.clear()
        record(path, WORLD, JOBS, driving.vocabulary)
        return len(driven)

    return resume


def test_two_processes_write_the_file_of_one(driving: Domain, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "two.jsonl"
    done: list[int] = []
    found = record(path, WORLD, JOBS, driving.vocabulary, 2, done.append)
    assert path.read_bytes() == whole
    assert done == list(range(len(JOBS) + 1))
    assert [(episode.policy, episode.seed) for episode in found.episodes] == list(JOBS)
    assert found == read_recording(path)
    assert not found.was_cut


@pytest.mark.parametrize("inside", [True, False], ids=["cut inside a line", "cut after a line"])
def test_resumed_it_is_the_same_file(driving: Domain, whole: bytes, tmp_path: Path, inside: bool) -> None:
    path = tmp_path / "cut.jsonl"
    third = [number for number, byte in enumerate(whole) if byte == ord("\n")][3] + 1
    path.write_bytes(whole[: third + 25 * inside])
    assert (read_recording(path).was_cut, len(read_recording(path).episodes)) == (inside, 3)
    done: list[int] = []
    record(path, WORLD, JOBS, driving.vocabulary, 1 + inside, done.append)
    assert path.read_bytes() == whole
    assert done == [3, 4, 5]


def test_cut_at_any_byte_only_what_is_missing_is_driven(
    whole: bytes, path: Path, resume: Callable[[Path], int]
) -> None:
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        num_left = max(0, whole[:length].count(b"\n") - 1)
        assert resume(path) == len(JOBS) - num_left
        assert path.read_bytes() == whole


def test_a_cut_file_is_read_up_to_the_cut(whole: bytes, path: Path) -> None:
    complete = read_recording(path)
    header = whole.index(b"\n") + 1
    for length in range(header, len(whole) + 1):
        path.write_bytes(whole[:length])
        found = read_recording(path)
        num_complete = whole[:length].count(b"\n") - 1
        is_cut = not whole[:length].endswith(b"\n")
        expected = complete.episodes[:num_complete]
        assert found == Recording(provenance=complete.provenance, episodes=expected, was_cut=is_cut)
    path.write_bytes(whole[: header - 1])
    with pytest.raises(InputError, match=r"copy.jsonl:1: expected a recording of format 1"):
        read_recording(path)


def test_it_holds_what_was_driven(driving: Domain, path: Path) -> None:
    vocabulary = driving.vocabulary
    found = read_recording(path)
    assert found.provenance == provenance(WORLD, vocabulary)
    assert found.provenance["config_digest"] != provenance("traffic_light", vocabulary)["config_digest"]
    for episode in found.episodes:
        assert not (episode.arrived and episode.crashed)
        assert episode.crashed or not episode.at_fault
        assert len(episode.letters) == len(episode.labels) == len(episode.actions) > 0
        for letter, labels, action in zip(episode.letters, episode.labels, episode.actions, strict=True):
            assert letter & set(vocabulary.action_ids) == {action}
            assert letter - {action} == set(labels) <= set(vocabulary.proposition_ids)


def test_its_lines_are_what_the_format_says(driving: Domain, whole: bytes, path: Path) -> None:
    names, actions = driving.vocabulary.proposition_ids, driving.vocabulary.action_ids
    rows = [json.loads(line) for line in whole.splitlines()[1:]]
    for row, episode in zip(rows, read_recording(path).episodes, strict=True):
        numbers = [int(word, 16) for word in row["labels"].split()]
        assert [{name for bit, name in enumerate(names) if n >> bit & 1} for n in numbers] == [
            *map(set, episode.labels)
        ]
        assert tuple(actions[int(digit)] for digit in row["actions"]) == episode.actions
        assert row["end"] == [episode.arrived, episode.crashed, episode.at_fault]


EPISODE = {"policy": "bold", "seed": 2, "labels": "0 8", "actions": "10", "end": [True, False, False]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{oops", "not JSON: Expecting property name"),
        ("", "not JSON: Expecting value"),
        ('{"seed": 1, "seed": 2}', "seed: stands twice in one object"),
        ("[1, 2]", r"expected an object, got '\[1, 2\]"),
        ("{}", "no episode: KeyError"),
        (json.dumps({**EPISODE, "labels": "8 -1"}), "expected labels of 11 propositions, got -1"),
        (json.dumps({**EPISODE, "actions": [0, -1]}), "expected actions of 4 by their digit, got 0"),
        (json.dumps({**EPISODE, "actions": "04"}), "expected actions of 4 by their digit, got '4'"),
        (json.dumps({**EPISODE, "labels": "0 z"}), "no episode: ValueError.*invalid literal"),
        (json.dumps({**EPISODE, "labels": None}), "no episode: AttributeError"),
        (json.dumps({**EPISODE, "labels": "0 ffff"}), "expected labels of 11 propositions, got ffff"),
        (json.dumps({**EPISODE, "labels": "0"}), "expected an action for each label, got 2 for 1"),
        (json.dumps({**EPISODE, "labels": "", "actions": ""}), "expected an action for each label, got 0 for 0"),
        (json.dumps({**EPISODE, "actions": "19"}), "expected actions of 4 by their digit, got '9'"),
        (json.dumps({**EPISODE, "actions": 10}), "no episode: TypeError"),
        (json.dumps({**EPISODE, "end": None}), "no episode: TypeError"),
        (json.dumps({**EPISODE, "end": [True]}), "no episode: ValueError"),
    ],
)
def test_a_line_that_is_something_else_is_named(
    driving: Domain, whole: bytes, path: Path, line: str, message: str
) -> None:
    lines = whole.decode().splitlines()
    lines[3] = line
    content = "\n".join(lines).encode() + b"\n"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"copy.jsonl:4: {'.*' * (message[:2] != 'no')}{message}"):
        read_recording(path)
    with pytest.raises(InputError, match=r"copy.jsonl:4: "):
        record(path, WORLD, JOBS, driving.vocabulary)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("world", "jobs", "message"),
    [
        ("wide_median", JOBS, ":1: was recorded with another world: got 'roundabout', expected 'wide_median'"),
        (WORLD, JOBS[1:], ": holds other episodes than those asked for"),
        (WORLD, (("bold", 0), *JOBS[1:]), ": holds other episodes than those asked for"),
    ],
    ids=["another world", "other seeds", "another policy"],
)
def test_a_recording_of_something_else_is_refused_and_left_as_it_was(
    driving: Domain, whole: bytes, path: Path, world: str, jobs: tuple[recording.Job, ...], message: str
) -> None:
    for content in (whole, whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            record(path, world, jobs, driving.vocabulary)
        assert str(caught.value) == f"{path}{message}"
        assert path.read_bytes() == content


def test_of_a_longer_recording_the_beginning_serves(driving: Domain, whole: bytes, path: Path) -> None:
    path.write_bytes(whole)
    assert record(path, WORLD, JOBS[:3], driving.vocabulary).episodes == read_recording(path).episodes[:3]
    assert path.read_bytes() == whole


def test_a_given_controller_is_recorded_too(driving: Domain, tmp_path: Path) -> None:
    steps = "1. wait until no car from left then go straight\n2. go to step 1"
    jobs = (("controller", 0), ("bold", 1), ("controller", 2))
    path = tmp_path / "controller.jsonl"
    found = record(path, WORLD, jobs, driving.vocabulary, 2, controller=steps)
    assert found.provenance == {**provenance(WORLD, driving.vocabulary), "controller": steps}
    assert [(episode.policy, episode.seed) for episode in found.episodes] == list(jobs)
    for episode in found.episodes[::2]:
        expected = tuple("stop" if "car_from_left" in labels else "go_straight" for labels in episode.labels)
        assert episode.actions == expected
    with pytest.raises(InputError, match="was recorded with another controller: got '1"):
        record(path, WORLD, jobs, driving.vocabulary, controller="1. stop\n2. stop")
    with pytest.raises(InvalidController):
        record(path, WORLD, jobs, driving.vocabulary, controller="1. hope")


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [(labeller, "COMING_SPEED", 0.6), (ring, "COMING_TIME", 5.0), (TrafficCar, "TIME_WANTED", 1.5)],
    ids=["a threshold of the labels", "a threshold of one world", "a constant of a class"],
)
def test_the_digest_covers_constants(
    driving: Domain, path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, value: float
) -> None:
    before = provenance(WORLD, driving.vocabulary)
    assert provenance(WORLD, driving.vocabulary) == before
    monkeypatch.setattr(owner, name, value)
    assert provenance(WORLD, driving.vocabulary)["config_digest"] != before["config_digest"]
    with pytest.raises(InputError, match="was recorded with another config_digest"):
        record(path, WORLD, JOBS, driving.vocabulary)


@pytest.mark.parametrize("key", ["versions", "config_digest", "propositions", "labels"])
def test_other_circumstances_are_named(driving: Domain, whole: bytes, path: Path, key: str) -> None:
    header, _, rest = whole.partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(header), key: []}).encode() + b"\n" + rest.partition(b"\n")[0][:9])
    with pytest.raises(InputError, match=rf"copy.jsonl:1: was recorded with another {key}: got \[\], expected "):
        record(path, WORLD, JOBS, driving.vocabulary)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a letter to my aunt", "copy.jsonl:1: expected a recording of format 1"),
        (b'{"format": 2}\n', "copy.jsonl:1: expected a recording of format 1"),
        (b"\xff\xfe\n", "copy.jsonl: cannot be read: .*utf-8"),
    ],
)
def test_a_file_that_is_no_recording_is_left_as_it_was(
    driving: Domain, path: Path, content: bytes, message: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        record(path, WORLD, JOBS, driving.vocabulary)
    assert path.read_bytes() == content


def test_a_place_where_nothing_can_be_written_is_named(driving: Domain, path: Path) -> None:
    with pytest.raises(InputError, match=r"copy.jsonl/under.jsonl: cannot be written: "):
        record(path / "under.jsonl", WORLD, JOBS, driving.vocabulary)
    with pytest.raises(InputError, match=r"cannot be written: Is a directory"):
        record(path.parent, WORLD, JOBS, driving.vocabulary)


def test_an_unknown_policy_is_named(driving: Domain, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown policy: got 'boldly', expected one of .*mean 'bold'"):
        record(tmp_path / "episodes.jsonl", "two_way_stop", [("boldly", 1)], driving.vocabulary)
