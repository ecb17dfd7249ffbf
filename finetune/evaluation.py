"""Evaluation: what the model answers before and after training, on prompts that training saw and on others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..specs.domain import Domain
from ..specs.task import Split
from ..verify.issue import certified_prompts
from .pairs import Judged
from .responder import Responder
from .run_files import RunFiles
from .sampling import Ask, asks_of
from .score import Share, score

HELD_OUT: tuple[Split, ...] = ("validation", "test")
SPLITS: tuple[Split, ...] = ("train", *HELD_OUT)
Responses = dict[Split, list[Judged]]


def evaluate(run: RunFiles, responder: Responder, name: str, adapter: Path | None) -> Responses:
    """Return the judged answers to the prompts of all splits, from the base model or with an adapter.

    The same seeds serve every model, and the held-out prompts come in the order of a certificate, which counts them.
    """
    domain, config = responder.domain, responder.config
    prompter = responder.models.prompter()
    prompts = certified_prompts(domain, HELD_OUT, config.evaluation.held_out)
    held_out = [Ask(task, wording, prompter.ask(wording)) for task, wording in prompts]
    train = asks_of(domain, "train", config.evaluation.train, prompter)
    answers = responder.answer(run.evaluated(name), "held-out prompts", held_out, adapter)
    answers += responder.answer(run.evaluated(f"{name}-train"), "train prompts", train, adapter)
    return by_split(answers, domain)


def constrained_rates(run: RunFiles, responder: Responder, constrained: Sequence[Judged]) -> dict[str, Any] | None:
    """Return which share of answers can be read, sampled freely and under the grammar; None in a run without it."""
    if not responder.config.constrained:
        return None
    prompter = responder.models.prompter()
    asks = asks_of(responder.domain, "validation", 1, prompter)
    free = responder.answer(run.evaluated("free"), "free answers", asks, constrained=False)
    return {
        name: Share(sum(not answer.judgement.invalid for answer in answers), len(answers)).to_json()
        for name, answers in (("free", free), ("constrained", constrained))
    }


def by_split(responses: Sequence[Judged], domain: Domain) -> Responses:
    """Return responses by the split that their wording belongs to."""
    splits: Responses = {}
    for response in responses:
        wordings = domain.task(response.sample.task_id).wordings
        split = next(split for split in SPLITS if response.sample.wording in wordings.get(split, ()))
        splits.setdefault(split, []).append(response)
    return splits


def split_scores(before: Responses, after: Responses) -> dict[str, dict[str, Any]]:
    """Return the scores before and after of each split that has prompts."""
    return {
        split: {"before": score(before[split]), "after": score(after[split])} for split in SPLITS if split in before
    }
