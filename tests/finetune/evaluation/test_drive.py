"""Drives before and after training, with answers that were not sampled: only the driving is under test here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from verilora.envs.episode import Episode
from verilora.finetune.answers.samples import Sample
from verilora.finetune.answers.scored_answer import ScoredAnswer, scored
from verilora.finetune.answers.verdict_cache import VerdictCache
from verilora.finetune.commands.audit_command import audit_run, worse
from verilora.finetune.evaluation.drive import Driven, drive, drive_score, drivers
from verilora.finetune.run.config import TrainConfig
from verilora.finetune.run.config_file import write_config
from verilora.specs.domain import SHIPPED, Domain
from verilora.specs.files.errors import InputError
from verilora.specs.files.record_file import RecordFile
from verilora.synth.controllers.controller import Ending, Reading
from verilora.verify.records.evaluation import Drive, Drives, Share
from verilora.verify.records.run import read_config
from verilora.verify.records.run_files import RunFiles
from verilora.verify.records.verdict import Status, Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

from controllers import AFTER, BEFORE
from run_directories import write_run

Pairs = list[tuple[ScoredAnswer, ScoredAnswer]]
READING = Reading(ending=Ending.ONE_SHOT)
TASKS = ("right-at-traffic-light", "right-at-two-way-stop")


@pytest.fixture
def pairs(driving: Domain, tmp_path: Path) -> Pairs:
    settings = Settings(reading=READING, witnesses=False)
    verdicts = VerdictCache(Verifier(driving, driving.rulebook(), settings), tmp_path / "verdicts.jsonl", 1)

    def answers(*texts: str) -> list[ScoredAnswer]:
        return scored([sample(task_id, text) for task_id in TASKS for text in texts], driving, verdicts)

    return drivers(answers("1. hope", BEFORE), answers(AFTER, BEFORE), driving)


def sample(task_id: str, text: str) -> Sample:
    return Sample(part="", batch=0, task_id=task_id, wording="", text=text, num_prompt_tokens=1, num_tokens=1)


def drive_all(
    pairs: Pairs, domain: Domain, seconds: float = 60, num_processes: int = 1
) -> tuple[list[Driven], list[Driven]]:
    return drive(pairs, domain, READING, 2, seconds, num_processes, lambda num_done: None)


def test_the_first_answers_that_parse_drive(pairs: Pairs, driving: Domain) -> None:
    assert [(first.sample.text, second.sample.text) for first, second in pairs] == [(BEFORE, AFTER)] * 2
    unreadable = replace(pairs[0][0], verdict=pairs[0][0].verdict.model_copy(update={"invalid": "what?"}))
    assert drivers([unreadable], [pairs[0][1]], driving) == []


def test_any_number_of_processes_drives_the_same(pairs: Pairs, driving: Domain) -> None:
    alone = drive_all(pairs, driving)
    assert alone == drive_all(pairs, driving, num_processes=2)
    before, after = alone
    assert [entry.response for entry in before] == [first for first, _ in pairs]
    assert [[episode.seed for episode in entry.episodes] for entry in before] == [
        [episode.seed for episode in entry.episodes] for entry in after
    ]
    scores = drive_score(before, driving, driving.rulebook())
    assert (scores.num_controllers, scores.num_episodes, scores.arrived.of) == (2, 4, 4)
    assert all(rule.kept + rule.pending + rule.violated <= 4 for rule in scores.rules.values())


def test_goals_waiting_and_crashes_of_what_keeps_all_are_counted(pairs: Pairs, driving: Domain) -> None:
    response = pairs[0][0]
    ends = [
        episode("turn_right", at_fault=True),
        episode("turn_right"),
        episode("stop"),
        episode("go_straight", at_fault=True),
    ]
    kept = replace(response, verdict=keeping_all(response))
    controllers = [Driven(kept, ends), Driven(kept, ends[1:3]), Driven(response, ends)]
    found = drive_score(controllers, driving, driving.rulebook())
    counts = [share.counts for share in (found.reached, found.never_acted, found.all_kept_crashed) if share]
    assert counts == [(2, 1, 2), (1, 1, 1), (1, 0, 0)]
    assert found.all_kept_crashed is not None
    assert found.all_kept_crashed.sizes == (1, 1, 0)


def episode(action: str, *, at_fault: bool = False) -> Episode:
    return Episode(
        policy="controller",
        seed=1,
        labels=((), ()),
        actions=("stop", action),
        arrived=False,
        crashed=at_fault,
        at_fault=at_fault,
    )


def keeping_all(answer: ScoredAnswer) -> Verdict:
    """Return the verdict on an answer with all kept."""
    verdict = answer.verdict
    rules = tuple(rule.model_copy(update={"status": Status.SATISFIED}) for rule in verdict.rules)
    gates = tuple(gate.model_copy(update={"status": Status.SATISFIED}) for gate in verdict.gates)
    return verdict.model_copy(update={"rules": rules, "gates": gates})


@pytest.mark.parametrize("num_processes", [1, 2])
def test_what_time_does_not_allow_is_left_out(pairs: Pairs, driving: Domain, num_processes: int) -> None:
    before, after = drive_all(pairs, driving, seconds=1e-9, num_processes=num_processes)
    assert (len(before), len(after)) == (1, 1)


@pytest.fixture
def audited(driving: Domain, tmp_path: Path) -> RunFiles:
    """Return a finished run of one task, whose answers before and after are the two known ones."""
    run = RunFiles(write_run(tmp_path / "run", driving, driving.rulebook(), task_ids=TASKS[:1], per_prompt=1))
    settings = TrainConfig(task="driving", specs=str(SHIPPED), rulebook="default", ending=Ending.ONE_SHOT)
    write_config(run, settings, read_config(run))
    for name, text in (("before", BEFORE), ("after-1", AFTER)):
        RecordFile(run.evaluated(name), Sample).append([sample(TASKS[0], text)])
    return run


def test_an_audit_drives_the_answers_of_the_kept_round(audited: RunFiles, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_run(audited.path, None, 2, 1) == 0
    scores = json.loads((audited.path / "drive.json").read_text())
    assert [scores[when]["num_episodes"] for when in ("before", "after")] == [2, 2]
    out = capsys.readouterr().out
    assert all(words in out for words in ("violated, 95 % interval", "Never acted", "Keeps all rules, crashed"))


def test_more_crashes_by_own_fault_are_worse(driving: Domain) -> None:
    def side(num_crashed: int) -> Drive:
        some, none = Share.counted([num_crashed] * 8, [4] * 8), Share.counted([0] * 8, [4] * 8)
        ends = {"arrived": none, "crashed": none, "reached": none, "never_acted": none}
        return Drive(num_controllers=8, num_episodes=32, at_fault=some, rules={}, **ends)

    assert worse(Drives(before=side(0), after=side(3)), driving.rulebook()) == ["At fault"]
    assert worse(Drives(before=side(3), after=side(0)), driving.rulebook()) == []


def test_an_audit_needs_the_run_as_it_was(audited: RunFiles) -> None:
    config, evaluation = (json.loads(path.read_text()) for path in (audited.config, audited.evaluation))
    audited.config.write_text(json.dumps({**config, "rulebook_digest": "0" * 64}))
    with pytest.raises(InputError, match=r"config\.json: changed since the run, in .*: the rulebook; expected"):
        audit_run(audited.path, None, 2, 1)
    audited.config.write_text(json.dumps({**config, "samples": "many"}))
    with pytest.raises(InputError, match=r"config\.json: samples: Input should be a valid integer"):
        audit_run(audited.path, None, 2, 1)
    audited.config.write_text(json.dumps({**config, "rounds": 0}))
    with pytest.raises(InputError, match=r"config\.json: not the configuration of a run: rounds: "):
        audit_run(audited.path, None, 2, 1)
    audited.config.write_text(json.dumps(config))
    evaluation["rounds"][0]["kept"] = False
    audited.evaluation.write_text(json.dumps(evaluation))
    with pytest.raises(InputError, match=r"eval\.json: rounds: expected a round that was kept, got none"):
        audit_run(audited.path, None, 2, 1)
    audited.evaluation.unlink()
    with pytest.raises(InputError, match=r"eval\.json: no such file"):
        audit_run(audited.path, None, 2, 1)
