"""Scores: what a set of judged responses amounts to, with intervals at 95 %."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from ...verify.records.interval import clopper_pearson
from ...verify.records.verdict import Mode
from .verdict_cache import Judged, Judgement, is_kept

NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Share:
    """A count out of so many, with the exact interval of Clopper and Pearson."""

    count: int
    of: int

    def to_json(self) -> dict[str, float]:
        low, high = clopper_pearson(self.count, self.of) if self.of else (0.0, 1.0)
        share = self.count / self.of if self.of else 0.0
        return {"count": self.count, "of": self.of, "share": share, "low": low, "high": high}


def mean_of(values: Sequence[float], groups: Sequence[object]) -> dict[str, float]:
    """Return a mean with a bootstrap interval that resamples whole groups.

    Responses to one prompt resemble each other, so the prompt is the unit (Efron and Tibshirani, 1993, chapter 8).
    """
    by_group: dict[object, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        by_group[group].append(value)
    if not by_group:
        return {"mean": 0.0, "low": 0.0, "high": 1.0, "n": 0}
    sums = np.array([(sum(group), len(group)) for group in by_group.values()])
    picks = np.random.default_rng(0).integers(len(sums), size=(NUM_RESAMPLES, len(sums)))
    totals = sums[picks].sum(axis=1)
    low, high = np.quantile(totals[:, 0] / totals[:, 1], (0.025, 0.975))
    return {"mean": sum(values) / len(values), "low": float(low), "high": float(high), "n": len(values)}


def mean_quality(responses: Sequence[Judged], mode: Mode) -> dict[str, float]:
    """Return the mean of what answers are trained for, with its interval."""
    return mean_of([entry.judgement.quality(mode) for entry in responses], [entry.prompt for entry in responses])


def effective_machines(responses: Sequence[Judged]) -> float:
    """Return how many controllers a task has: the inverse of the chance that two readable answers to it behave alike.

    Unlike a count of distinct ones it does not depend on how many were sampled (Simpson, Nature 1949). At least so
    many where no two behave alike, 0 where no task has two.
    """
    by_task: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in responses:
        if not entry.judgement.invalid:
            by_task[entry.sample.task_id][entry.judgement.behaviour] += 1
    num_pairs = sum(comb(counts.total(), 2) for counts in by_task.values())
    num_alike = sum(comb(count, 2) for counts in by_task.values() for count in counts.values())
    return num_pairs / max(num_alike, 1)


def score(responses: Sequence[Judged]) -> dict[str, Any]:
    """Return the figures of judged responses as the object that `eval.json` holds for a split."""
    judgements = [entry.judgement for entry in responses]
    prompts = [entry.prompt for entry in responses]
    valid = [judgement for judgement in judgements if not judgement.invalid]
    behaviours = {(entry.sample.task_id, entry.judgement.behaviour) for entry in responses}
    invalid = {pair for pair in behaviours if pair[1].startswith("invalid: ")}

    def share(holds: Callable[[Judgement], bool]) -> dict[str, float]:
        return Share(sum(map(holds, judgements)), len(judgements)).to_json()

    return {
        "num_responses": len(responses),
        "num_prompts": len(set(prompts)),
        "num_tokens": sum(entry.sample.num_tokens for entry in responses),
        "compliance": mean_of([judgement.compliance for judgement in judgements], prompts),
        "raw_share": mean_of([judgement.raw_share for judgement in judgements], prompts),
        "gate_rate": share(lambda judgement: judgement.gates_kept),
        "all_kept": share(lambda judgement: judgement.all_kept),
        "observed_only": share(lambda judgement: judgement.observed_only),
        "invalid": share(lambda judgement: bool(judgement.invalid)),
        "vacuous": share(lambda judgement: bool(judgement.vacuous)),
        "always_stop": share(lambda judgement: judgement.never_moves),
        "distinct_machines": len(behaviours - invalid),
        "effective_machines": effective_machines(responses),
        "mean_steps": sum(judgement.num_steps for judgement in valid) / len(valid) if valid else 0.0,
        "rules": rule_scores(judgements),
        "tasks": {
            task_id: mean_of([judgement.compliance for judgement, _ in of_task], [prompt for _, prompt in of_task])
            for task_id, of_task in _by_task(judgements, prompts).items()
        },
    }


def rule_scores(judgements: Sequence[Judgement]) -> dict[str, dict[str, Any]]:
    """Return for each rule in how many responses it decides, is kept, is kept on what was seen only, and is not kept.

    A response that is no controller keeps no rule and violates none.
    """
    scores = {}
    for rule_id in judgements[0].rules if judgements else ():
        decided = [judgement.rules[rule_id] for judgement in judgements if rule_id in judgement.judged]
        kept = sum(map(is_kept, decided))
        scores[rule_id] = {
            "applicable": len(decided),
            "kept": kept,
            "observed": decided.count("observed"),
            "violated": len(decided) - kept - decided.count("invalid"),
            "share": Share(kept, len(decided)).to_json(),
        }
    return scores


def _by_task(
    judgements: Sequence[Judgement], prompts: Sequence[tuple[str, str]]
) -> dict[str, list[tuple[Judgement, tuple[str, str]]]]:
    by_task: dict[str, list[tuple[Judgement, tuple[str, str]]]] = defaultdict(list)
    for judgement, prompt in zip(judgements, prompts, strict=True):
        by_task[prompt[0]].append((judgement, prompt))
    return by_task
