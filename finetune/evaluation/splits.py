"""Evaluation: what the model answers before and after training, on prompts that training saw and on others."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ...specs.task import Split
from ...verify.records.evaluation import BeforeAfter, Constrained, Splits
from ...verify.records.run_files import RunFiles
from ...verify.reports.findings import SPLITS
from ..answers.responder import Responder
from ..answers.samples import Ask, asks_of
from ..answers.score import score, share_of
from ..answers.scored_answer import ScoredAnswer

HELD_OUT: tuple[Split, ...] = ("validation", "test")
Responses = dict[Split, list[ScoredAnswer]]


def evaluate(run: RunFiles, responder: Responder, name: str, adapter: Path | None) -> Responses:
    """Return the answers to the prompts of all splits, from the base model or with an adapter.

    The same seeds serve every model, and the held-out prompts come in the order of a certificate, which counts them.
    """
    domain, config = responder.domain, responder.config
    prompter = responder.models.prompter()
    prompts = {split: domain.prompts((split,), config.evaluation.held_out) for split in HELD_OUT}
    held_out = [Ask(task, wording, prompter.ask(wording)) for split in HELD_OUT for task, wording in prompts[split]]
    train = asks_of(domain, "train", config.evaluation.train, prompter)
    answers = responder.answer(run.evaluated(name), "held-out prompts", held_out, adapter)
    answers += responder.answer(run.evaluated(f"{name}-train"), "train prompts", train, adapter)
    return _by_split(answers, {**{split: len(prompts[split]) for split in HELD_OUT}, "train": len(train)})


def constrained_rates(run: RunFiles, responder: Responder, constrained: Sequence[ScoredAnswer]) -> Constrained | None:
    """Return which share of answers can be read, sampled freely and under the grammar; None in a run without it."""
    if not responder.config.constrained:
        return None
    prompter = responder.models.prompter()
    asks = asks_of(responder.domain, "validation", 1, prompter)
    free = responder.answer(run.evaluated("free"), "free answers", asks, constrained=False)
    return Constrained(
        free=share_of(free, lambda verdict: verdict.valid),
        constrained=share_of(constrained, lambda verdict: verdict.valid),
    )


def _by_split(responses: Sequence[ScoredAnswer], nums: dict[Split, int]) -> Responses:
    """Return responses that stand split by split, so many of each; a split without any is left out.

    Their wordings do not tell: tasks may share one.
    """
    rest = iter(responses)
    return {split: list(islice(rest, num)) for split, num in nums.items() if num}


def split_scores(before: Responses, after: Responses) -> Splits:
    """Return the scores before and after of each split that has prompts."""
    return {
        split: BeforeAfter(before=score(before[split]), after=score(after[split]))
        for split in SPLITS
        if split in before
    }
