"""Evaluations whose answers are made up: only which prompts are asked, and as which split they count, is under test."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from verilora.finetune.answers.responder import Responder
from verilora.finetune.answers.samples import Ask
from verilora.finetune.answers.scored_answer import ScoredAnswer
from verilora.finetune.evaluation.splits import HELD_OUT, evaluate
from verilora.finetune.run.config import EvaluationConfig, TrainConfig
from verilora.specs.domain import Domain
from verilora.synth.models.prompt import Prompter, PromptStyle
from verilora.verify.records.run_files import RunFiles

MakeScored = Callable[..., ScoredAnswer]


class Echo:
    """Answers every question with its wording."""

    def __init__(self, domain: Domain, scored: MakeScored) -> None:
        self.domain = domain
        self.config = TrainConfig(
            task=domain.name, specs="", rulebook="default", evaluation=EvaluationConfig(train=2, held_out=4)
        )
        self.models = self
        self._scored = scored

    def prompter(self) -> Prompter:
        return Prompter(self.domain, PromptStyle.PLAIN)

    def answer(self, path: Path, name: str, asks: Sequence[Ask], adapter: Path | None = None) -> list[Any]:
        return [self._scored(ask.wording, task_id=ask.task.id, wording=ask.wording) for ask in asks]


def prompts(answers: Sequence[ScoredAnswer]) -> list[tuple[str, str]]:
    return [(answer.sample.task_id, answer.sample.wording) for answer in answers]


def test_a_wording_of_two_splits_counts_where_it_was_asked(
    greenhouse: Domain, scored: MakeScored, tmp_path: Path
) -> None:
    task = greenhouse.task("warm-glasshouse")
    shared = replace(task, wordings={**task.wordings, "validation": task.wordings["train"][:1]})
    domain = replace(greenhouse, tasks={**greenhouse.tasks, task.id: shared})
    found = evaluate(RunFiles(tmp_path), cast(Responder, Echo(domain, scored)), "before", None)
    assert {split: len(answers) for split, answers in found.items()} == {"validation": 8, "test": 8, "train": 8}
    held_out = [prompt for split in HELD_OUT for prompt in prompts(found[split])]
    assert held_out == [(task.id, wording) for task, wording in domain.prompts(HELD_OUT, 4)]
