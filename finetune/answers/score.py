"""Scores: what a set of answers amounts to, with intervals at 95 %."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from math import comb, fsum
from typing import Any

from ...verify.records.evaluation import Mean, RuleScore, Score, Share
from ...verify.records.verdict import Status, Verdict
from .scored_answer import ScoredAnswer


def by_prompt(answers: Sequence[ScoredAnswer]) -> list[list[ScoredAnswer]]:
    """Return answers by prompt, in the order in which prompts were first asked."""
    found: dict[tuple[str, str], list[ScoredAnswer]] = {}
    for answer in answers:
        found.setdefault(answer.prompt, []).append(answer)
    return list(found.values())


def mean_of(answers: Sequence[ScoredAnswer], value: Callable[[Verdict], float | None]) -> Mean:
    """Return a mean over answers, with its interval by prompt; those without a value are left out."""
    found = [[value(answer.verdict) for answer in group] for group in by_prompt(answers)]
    groups = [[number for number in group if number is not None] for group in found]
    return Mean.of([fsum(group) for group in groups], list(map(len, groups)))


def mean_quality(answers: Sequence[ScoredAnswer]) -> Mean:
    """Return the mean of what answers are trained for, with its interval."""
    return mean_of(answers, lambda verdict: verdict.quality)


def share_of(answers: Sequence[ScoredAnswer], holds: Callable[[Verdict], bool]) -> Share:
    """Return the share of answers of whose verdicts something holds."""
    return _share_of(answers, lambda answer: holds(answer.verdict))


def share_of_judged(answers: Sequence[ScoredAnswer], holds: Callable[[Verdict], bool]) -> Share:
    """Return the share of which something holds among the answers to which a rule applies."""
    groups = [[answer.verdict for answer in group if answer.verdict.is_judged] for group in by_prompt(answers)]
    return Share.counted([sum(map(holds, group)) for group in groups], list(map(len, groups)))


def _share_of(answers: Sequence[ScoredAnswer], holds: Callable[[ScoredAnswer], bool]) -> Share:
    groups = by_prompt(answers)
    return Share.counted([sum(map(holds, group)) for group in groups], list(map(len, groups)))


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
        num_prompts=len(by_prompt(answers)),
        num_tokens=num_tokens(answers),
        compliance=mean_of(answers, lambda verdict: verdict.compliance),
        raw_share=mean_of(answers, lambda verdict: verdict.raw_share),
        gate_rate=share_of(answers, lambda verdict: verdict.gates_kept),
        all_kept=share_of_judged(answers, lambda verdict: verdict.all_kept),
        observed_only=share_of_judged(answers, lambda verdict: verdict.observed_only),
        unjudged=share_of(answers, lambda verdict: not verdict.is_judged),
        invalid=share_of(answers, lambda verdict: not verdict.valid),
        vacuous=share_of_judged(answers, lambda verdict: bool(verdict.vacuous)),
        decided=mean_of(answers, lambda verdict: verdict.decided_share if verdict.is_judged else None),
        always_stop=_share_of(answers, lambda answer: answer.never_moves),
        distinct_machines=len({(answer.sample.task_id, answer.behaviour) for answer in readable}),
        effective_machines=effective_machines(answers),
        mean_steps=sum(answer.verdict.num_steps for answer in readable) / len(readable) if readable else 0.0,
        rules=rule_scores(answers),
        **_timely(answers),
        tasks={task_id: mean_of(group, lambda verdict: verdict.compliance) for task_id, group in by_task.items()},
    )


def _timely(answers: Sequence[ScoredAnswer]) -> dict[str, Any]:
    """Return how many answers act in time, and how often they do, of those for which waits were replayed."""
    groups = [
        [(answer.verdict.is_timely, share) for answer in group if (share := answer.verdict.timely_share) is not None]
        for group in by_prompt(answers)
    ]
    sizes = list(map(len, groups))
    return {
        "timely": Share.counted([sum(is_timely for is_timely, _ in group) for group in groups], sizes),
        "timely_share": Mean.of([fsum(share for _, share in group) for group in groups], sizes),
    }


def rule_scores(answers: Sequence[ScoredAnswer]) -> dict[str, RuleScore]:
    """Return for each rule in how many answers it decides, is kept, is kept on what was seen only, and is not kept.

    An answer that is no controller keeps no rule and violates none.
    """
    groups = by_prompt(answers)
    decided: dict[str, list[list[Status]]] = {
        rule.rule_id: [[] for _ in groups] for answer in answers[:1] for rule in answer.verdict.rules
    }
    for place, group in enumerate(groups):
        for answer in group:
            for rule in answer.verdict.deciding:
                decided[rule.rule_id][place].append(rule.status)
    return {rule_id: _rule_score(statuses) for rule_id, statuses in decided.items()}


def _rule_score(by_group: Sequence[Sequence[Status]]) -> RuleScore:
    statuses = [status for group in by_group for status in group]
    share = Share.counted([sum(status.is_kept for status in group) for group in by_group], list(map(len, by_group)))
    return RuleScore(
        applicable=share.of,
        kept=share.count,
        observed=statuses.count(Status.OBSERVED),
        violated=share.of - share.count - statuses.count(Status.INVALID),
        share=share,
    )


def num_tokens(answers: Sequence[ScoredAnswer]) -> int:
    """Return how many tokens were sampled for answers."""
    return sum(answer.sample.num_tokens for answer in answers)
