"""What an auditor is told of each rule and task: counts, and the first answer that breaks the rule."""

from pathlib import Path

import pytest

from verilora.finetune.answers.samples import Sample
from verilora.finetune.answers.scored_answer import ScoredAnswer, scored
from verilora.finetune.answers.verdict_cache import VerdictCache
from verilora.finetune.evaluation.task_rules import task_rules
from verilora.specs.domain import Domain
from verilora.verify.records.evaluation import Finding, TaskRule
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind

TASK = "water-glasshouse"
CAREFUL = "1. wait until not tank empty and dry soil then open the valve\n2. hold"
CARELESS = "1. open the valve\n2. hold"
UNREADABLE = "water them"
NONE = {"invalid": 0, "violated": 0, "unknown": 0, "observed": 0, "satisfied": 0}


@pytest.fixture
def verifier(greenhouse: Domain) -> Verifier:
    return Verifier(greenhouse, "default", Settings(world=WorldKind.ABSTRACT, witnesses=False))


def answers(verifier: Verifier, tmp_path: Path, *asked: tuple[str, str]) -> list[ScoredAnswer]:
    samples = [
        Sample(part="", batch=0, task_id=TASK, wording=wording, text=text, num_prompt_tokens=1, num_tokens=1)
        for wording, text in asked
    ]
    return scored(samples, verifier.domain, VerdictCache(verifier, tmp_path / "verdicts.jsonl", 1))


def by_rule(found: tuple[TaskRule, ...]) -> dict[str, TaskRule]:
    assert {entry.task for entry in found} == {TASK}
    assert len(found) == len({entry.rule for entry in found})
    return {entry.rule: entry for entry in found}


def test_held_out_answers_are_counted_by_status(verifier: Verifier, tmp_path: Path) -> None:
    before = answers(verifier, tmp_path, ("a", CARELESS), ("a", UNREADABLE), ("b", CAREFUL), ("b", CARELESS))
    after = answers(verifier, tmp_path, ("a", CAREFUL), ("a", CAREFUL), ("b", CAREFUL), ("b", CAREFUL))
    train = answers(verifier, tmp_path, ("c", CARELESS))
    told = task_rules({"validation": before, "train": train}, {"validation": after, "train": train}, _telling(verifier))
    found = by_rule(told)["spare_pump"]
    assert found.splits == ("validation",)
    assert found.before == {**NONE, "violated": 2, "invalid": 1, "satisfied": 1}
    assert found.after == {**NONE, "satisfied": 4}
    assert found.finding == Finding(
        when="before", split="validation", wording="a", sample=0, witness="empty tank: open valve"
    )


def test_an_answer_from_after_training_is_found_first(verifier: Verifier, tmp_path: Path) -> None:
    before = answers(verifier, tmp_path, ("a", CARELESS))
    after = answers(verifier, tmp_path, ("b", CAREFUL), ("a", CAREFUL), ("b", CARELESS), ("a", CARELESS))
    found = by_rule(task_rules({"test": before}, {"test": after}, _telling(verifier)))
    place = found["spare_pump"].finding
    assert place is not None
    assert (place.when, place.split, place.wording, place.sample) == ("after", "test", "b", 1)
    thirst = found["quench_thirst"]
    assert (thirst.finding is None) == (thirst.before["violated"] + thirst.after["violated"] == 0)


def _telling(verifier: Verifier) -> Verifier:
    return verifier.with_witnesses()
