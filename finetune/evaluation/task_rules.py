"""What an auditor asks of each rule and task: the verdicts on held-out answers, and one answer that breaks the rule."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import get_args

from ...specs.task import Split
from ...verify.records.evaluation import Finding, TaskRule, When
from ...verify.records.verdict import Status
from ...verify.verdicts.feedback import in_short
from ...verify.verdicts.verifier import Verifier
from ..answers.scored_answer import ScoredAnswer
from .splits import HELD_OUT, Responses


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an answer stands: `sample` counts those to its prompt from 0."""

    when: When
    split: Split
    sample: int
    answer: ScoredAnswer


@dataclass(slots=True)
class _Tally:
    splits: set[Split] = field(default_factory=set)
    counts: dict[When, Counter[Status]] = field(default_factory=lambda: {when: Counter() for when in get_args(When)})
    violated: dict[When, _Place] = field(default_factory=dict)


def task_rules(before: Responses, after: Responses, verifier: Verifier) -> tuple[TaskRule, ...]:
    """Return each rule on the answers to each task that it applies to; `verifier` tells witnesses."""
    tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    for place in (*_held_out("before", before), *_held_out("after", after)):
        for rule in place.answer.verdict.deciding:
            tally = tallies[place.answer.sample.task_id, rule.rule_id]
            tally.splits.add(place.split)
            tally.counts[place.when][rule.status] += 1
            if rule.status is Status.VIOLATED:
                tally.violated.setdefault(place.when, place)
    return tuple(
        TaskRule(
            task=task_id,
            rule=rule_id,
            splits=tuple(split for split in HELD_OUT if split in tally.splits),
            before=_by_word(tally.counts["before"]),
            after=_by_word(tally.counts["after"]),
            finding=_finding(rule_id, tally, verifier),
        )
        for (task_id, rule_id), tally in tallies.items()
    )


def _held_out(when: When, responses: Responses) -> Iterator[_Place]:
    for split in HELD_OUT:
        num_before: Counter[tuple[str, str]] = Counter()
        for answer in responses.get(split, ()):
            yield _Place(when=when, split=split, sample=num_before[answer.prompt], answer=answer)
            num_before[answer.prompt] += 1


def _by_word(counts: Counter[Status]) -> dict[str, int]:
    return {status.word: counts[status] for status in Status}


def _finding(rule_id: str, tally: _Tally, verifier: Verifier) -> Finding | None:
    place = tally.violated.get("after") or tally.violated.get("before")
    if place is None:
        return None
    sample, domain = place.answer.sample, verifier.domain
    # Those that were judged by the thousand tell no witness.
    verdict = verifier.verify_text(sample.text, domain.task(sample.task_id))
    witness = next(rule.witness for rule in verdict.rules if rule.rule_id == rule_id)
    return Finding(
        when=place.when,
        split=place.split,
        wording=sample.wording,
        sample=place.sample,
        witness=in_short(witness, domain.vocabulary),
    )
