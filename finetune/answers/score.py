"""Scores: what a set of answers amounts to, with intervals at 95 %."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from math import comb

import numpy as np

from ...verify.records.evaluation import Mean, RuleScore, Score, Share
from ...verify.records.verdict import RuleVerdict, Status, Verdict
from .scored_answer import ScoredAnswer

NUM_RESAMPLES = 2000


def mean_of(answers: Sequence[ScoredAnswer], value: Callable[[Verdict], float]) -> Mean:
    """Return a mean over answers with a bootstrap interval that resamples whole prompts.

    Answers to one prompt resemble each other, so the prompt is the unit (Efron and Tibshirani, 1993, chapter 8).
    """
    if not answers:
        return Mean(mean=0.0, low=0.0, high=1.0, n=0)
    values = [value(answer.verdict) for answer in answers]
    by_prompt: dict[tuple[str, str], list[float]] = defaultdict(list)
    for answer, found in zip(answers, values, strict=True):
        by_prompt[answer.prompt].append(found)
    sums = np.array([(sum(group), len(group)) for group in by_prompt.values()])
    picks = np.random.default_rng(0).integers(len(sums), size=(NUM_RESAMPLES, len(sums)))
    totals = sums[picks].sum(axis=1)
    low, high = np.quantile(totals[:, 0] / totals[:, 1], (0.025, 0.975))
    mean = sum(values) / len(values)
    return Mean(mean=mean, low=float(low), high=float(high), n=len(answers))


def mean_quality(answers: Sequence[ScoredAnswer]) -> Mean:
    """Return the mean of what answers are trained for, with its interval."""
    return mean_of(answers, lambda verdict: verdict.quality)


def share_of(answers: Sequence[ScoredAnswer], holds: Callable[[Verdict], bool]) -> Share:
    """Return the share of answers of whose verdicts something holds."""
    return Share.counted(sum(holds(answer.verdict) for answer in answers), len(answers))


def effective_machines(answers: Sequence[ScoredAnswer]) -> float:
    """Return how many controllers a task has: the inverse of the chance that two readable answers to it behave alike.

    Unlike a count of distinct ones it does not depend on how many were sampled (Simpson, Nature 1949). At least so
    many where no two behave alike, 0 where no task has two.
    """
    by_task: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        if answer.verdict.valid:
            by_task[answer.sample.task_id][answer.behaviour] += 1
    num_pairs = sum(comb(counts.total(), 2) for counts in by_task.values())
    num_alike = sum(comb(count, 2) for counts in by_task.values() for count in counts.values())
    return num_pairs / max(num_alike, 1)


def score(answers: Sequence[ScoredAnswer]) -> Score:
    """Return what the answers to the prompts of a split are worth."""
    readable = [answer for answer in answers if answer.verdict.valid]
    by_task: dict[str, list[ScoredAnswer]] = defaultdict(list)
    for answer in answers:
        by_task[answer.sample.task_id].append(answer)
    return Score(
        num_responses=len(answers),
        num_prompts=len({answer.prompt for answer in answers}),
        num_tokens=num_tokens(answers),
        compliance=mean_of(answers, lambda verdict: verdict.compliance),
        raw_share=mean_of(answers, lambda verdict: verdict.raw_share),
        gate_rate=share_of(answers, lambda verdict: verdict.gates_kept),
        all_kept=share_of(answers, lambda verdict: verdict.all_kept),
        observed_only=share_of(answers, lambda verdict: verdict.observed_only),
        invalid=share_of(answers, lambda verdict: not verdict.valid),
        vacuous=share_of(answers, lambda verdict: bool(verdict.vacuous)),
        always_stop=Share.counted(sum(answer.never_moves for answer in answers), len(answers)),
        distinct_machines=len({(answer.sample.task_id, answer.behaviour) for answer in readable}),
        effective_machines=effective_machines(answers),
        mean_steps=sum(answer.verdict.num_steps for answer in readable) / len(readable) if readable else 0.0,
        rules=rule_scores(answers),
        tasks={task_id: mean_of(group, lambda verdict: verdict.compliance) for task_id, group in by_task.items()},
    )


def rule_scores(answers: Sequence[ScoredAnswer]) -> dict[str, RuleScore]:
    """Return for each rule in how many answers it decides, is kept, is kept on what was seen only, and is not kept.

    An answer that is no controller keeps no rule and violates none.
    """
    decided: dict[str, list[RuleVerdict]] = {
        rule.rule_id: [] for answer in answers[:1] for rule in answer.verdict.rules
    }
    for answer in answers:
        for rule in answer.verdict.deciding:
            decided[rule.rule_id].append(rule)
    return {rule_id: _rule_score([rule.status for rule in rules]) for rule_id, rules in decided.items()}


def _rule_score(statuses: Sequence[Status]) -> RuleScore:
    kept = sum(status.is_kept for status in statuses)
    return RuleScore(
        applicable=len(statuses),
        kept=kept,
        observed=statuses.count(Status.OBSERVED),
        violated=len(statuses) - kept - statuses.count(Status.INVALID),
        share=Share.counted(kept, len(statuses)),
    )


def num_tokens(answers: Sequence[ScoredAnswer]) -> int:
    """Return how many tokens were sampled for answers."""
    return sum(answer.sample.num_tokens for answer in answers)
