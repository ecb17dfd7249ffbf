"""Counting for certificates: verdicts on sampled answers, prompt by prompt."""

from collections.abc import Sequence
from math import fsum

from ...specs.domain import Domain
from ..records.by_prompt import interval_by_group
from ..records.verdict import Status, Verdict
from .content import CertifiedSampling
from .counts import CertifiedPrompt, Count, Counts, MeasuredTimely, RuleCount


def prompts_of(domain: Domain, sampling: CertifiedSampling) -> list[tuple[str, str]]:
    """Return the task's id and the wording of each answer that is sampled, in order."""
    prompts = domain.prompts(sampling.splits, sampling.samples_per_prompt)
    return [(task.id, wording) for task, wording in prompts]


def counts_of(prompts: Sequence[tuple[str, str]], verdicts: Sequence[Verdict]) -> Counts:
    """Return what a certificate counts of verdicts on answers to prompts, which are a task's id and a wording each.

    Only what holds in all that nothing excludes counts as kept; what was measured in recorded waits stands beside.
    """
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for prompt, verdict in zip(prompts, verdicts, strict=True):
        groups.setdefault(prompt, []).append(verdict)
    asked = [
        CertifiedPrompt(task=task, wording=wording, num_answers=len(group)) for (task, wording), group in groups.items()
    ]
    by_prompt = list(groups.values())
    return Counts(
        num_samples=len(verdicts),
        prompts=tuple(asked),
        invalid=_count([[not verdict.valid for verdict in group] for group in by_prompt]),
        gates=_count([[_keeps_gates(verdict) for verdict in group] for group in by_prompt]),
        all_kept=_count([[verdict.exit_code(strict=True) == 0 for verdict in group] for group in by_prompt]),
        rules=_rule_counts(by_prompt),
        measured_timely=_measured_timely(by_prompt),
    )


def _keeps_gates(verdict: Verdict) -> bool:
    return verdict.valid and all(gate.status is Status.SATISFIED for gate in verdict.gates)


def _measured_timely(by_prompt: Sequence[Sequence[Verdict]]) -> MeasuredTimely | None:
    """Return how many act in time and how often, None where no recorded waits were replayed."""
    found = [
        [(verdict.is_timely, share) for verdict in group if (share := verdict.timely_share) is not None]
        for group in by_prompt
    ]
    if not any(found):
        return None
    reached = _count([[is_timely for is_timely, _ in group] for group in found])
    sums = tuple(fsum(share for _, share in group) for group in found)
    return MeasuredTimely(**dict(reached), sums=sums, share=fsum(sums) / reached.of)


def _rule_counts(by_prompt: Sequence[Sequence[Verdict]]) -> dict[str, RuleCount]:
    statuses: dict[str, list[list[Status]]] = {}
    for place, group in enumerate(by_prompt):
        for verdict in group:
            for rule in verdict.deciding:
                statuses.setdefault(rule.rule_id, [[] for _ in by_prompt])[place].append(rule.status)
    return {rule_id: _rule_count(found) for rule_id, found in statuses.items()}


def _rule_count(statuses: Sequence[Sequence[Status]]) -> RuleCount:
    certified = _count([[status is Status.SATISFIED for status in group] for group in statuses])
    observed = sum(status is Status.OBSERVED for group in statuses for status in group)
    return RuleCount(**dict(certified), observed_only=observed)


def _count(outcomes: Sequence[Sequence[bool]]) -> Count:
    counts, sizes = tuple(map(sum, outcomes)), tuple(map(len, outcomes))
    low, high = interval_by_group(counts, sizes) or (None, None)
    return Count(count=sum(counts), of=sum(sizes), low=low, high=high, counts=counts, sizes=sizes)
