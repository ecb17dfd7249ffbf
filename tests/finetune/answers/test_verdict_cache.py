import json
from dataclasses import replace
from pathlib import Path

import pytest

from verilora.finetune.answers.verdict_cache import BehaviourVerdict, VerdictCache
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.files.record_file import RecordFile
from verilora.specs.logic import Formula
from verilora.specs.recorded_waits import RecordingSet
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

TASK = "water-glasshouse"
WAITING = "1. wait until dry soil and no empty tank then open valve\n2. hold"
IN_OTHER_WORDS = "1. wait until no empty tank and dry soil then open valve\n2. hold"


@pytest.fixture
def verifier(greenhouse: Domain) -> Verifier:
    return Verifier(greenhouse, greenhouse.rulebook(), Settings(world=WorldKind.ABSTRACT, witnesses=False))


def test_a_behaviour_is_judged_once_and_remembered(verifier: Verifier, tmp_path: Path) -> None:
    path, task = tmp_path / "verdicts.jsonl", verifier.domain.task(TASK)
    first, second, unreadable = VerdictCache(verifier, path, 1).verify(
        [(WAITING, task), (IN_OTHER_WORDS, task), ("1. hope\n2. hold", task)]
    )
    assert first == second != unreadable
    assert unreadable.verdict.invalid
    assert len(RecordFile(path, BehaviourVerdict).read()) == 2
    again = VerdictCache(verifier, path, 1)
    assert again.verify([(WAITING, task)]) == [first]
    assert len(RecordFile(path, BehaviourVerdict).read()) == 2
    again.verify([(WAITING, verifier.domain.task("warm-glasshouse"))])
    assert len(RecordFile(path, BehaviourVerdict).read()) == 3


def test_what_is_asked_of_recorded_waits_belongs_to_a_verdict(driving: Domain, tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    task = driving.task("right-at-roundabout")
    others = [
        replace(task, id="presuming", premise=Formula("car_from_left")),
        replace(task, id="hurried", limit=30),
        task,
    ]
    steps = "1. wait until no car from left and no pedestrian at right, then turn right\n2. stop"
    for recordings in RecordingSet:
        settings = Settings(recordings=recordings, witnesses=False)
        found = VerdictCache(Verifier(driving, settings=settings), path, 1).verify([(steps, one) for one in others])
        asked = [entry.verdict.timely for entry in found]
        assert [(one.premise, one.limit, one.recordings) for one in asked if one] == [
            ("car_from_left", 60, recordings),
            ("", 30, recordings),
            ("", 60, recordings),
        ]


def test_verdicts_of_another_version_are_refused(verifier: Verifier, tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    VerdictCache(verifier, path, 1).verify([(WAITING, verifier.domain.task(TASK))])
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "mood": 1}) + "\n")
    with pytest.raises(InputError, match=r"verdicts\.jsonl:1: mood: Extra inputs are not permitted"):
        VerdictCache(verifier, path, 1)


def test_a_text_is_parsed_once_and_a_verdict_is_that_on_its_own_task(
    verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    parse = verifier.parse
    monkeypatch.setattr(verifier, "parse", lambda text: parsed.append(text) or parse(text))
    tasks = list(verifier.domain.tasks.values())
    cache = VerdictCache(verifier, tmp_path / "verdicts.jsonl", 1)
    for _ in range(2):
        found = cache.verify([(WAITING, task) for task in tasks])
        assert [entry.verdict.task_id for entry in found] == [task.id for task in tasks]
    assert parsed == [WAITING, WAITING], "once a call"
