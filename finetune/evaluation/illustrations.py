"""What a report shows beside its figures: answers before and after, and violations that are left, with replays."""

from collections.abc import Iterator, Sequence

from ...envs.scenario import SCENARIOS
from ...specs.processes.forked import Unanswered
from ...verify.audits.replay_search import ReplaySearch
from ...verify.records.evaluation import AnswerRecord, Example, Replay, Violation
from ...verify.records.run_files import RunFiles
from ...verify.records.verdict import Status
from ...verify.verdicts.verifier import Verifier
from ..answers.scored_answer import ScoredAnswer

NUM_EXAMPLES = 4


def examples(before: Sequence[ScoredAnswer], after: Sequence[ScoredAnswer], verifier: Verifier) -> tuple[Example, ...]:
    """Return answers to the same prompts before and after, the first of each, where compliance changed most.

    One for each world, and at least one where it fell, if it did anywhere. `verifier` tells witnesses.
    """
    pairs = sorted(_first_answers(before, after), key=_rise, reverse=True)
    domain = verifier.domain
    by_world = {domain.task(pair[0].sample.task_id).world: pair for pair in reversed(pairs)}
    chosen = sorted(by_world.values(), key=_rise, reverse=True)[:NUM_EXAMPLES]
    if pairs and _rise(pairs[-1]) < 0 and pairs[-1] not in chosen:
        chosen[-1:] = [pairs[-1]]
    return tuple(
        Example(
            task=first.sample.task_id,
            wording=first.sample.wording,
            before=_told(first, verifier),
            after=_told(second, verifier),
        )
        for first, second in chosen
    )


def violations(after: Sequence[ScoredAnswer], verifier: Verifier, most: int) -> list[Violation]:
    """Return answers that still violate a rule, one for each rule, those with the most violations first."""
    counts: dict[str, list[ScoredAnswer]] = {}
    for answer in after:
        for rule in answer.verdict.deciding:
            if rule.status is Status.VIOLATED:
                counts.setdefault(rule.rule_id, []).append(answer)
    by_count = sorted(counts.items(), key=lambda item: len(item[1]), reverse=True)
    return [
        Violation(
            when="after",
            task=answers[0].sample.task_id,
            wording=answers[0].sample.wording,
            rule=rule_id,
            num_answers=len(answers),
            **dict(_told(answers[0], verifier)),
        )
        for rule_id, answers in by_count[:most]
    ]


def with_replay(violation: Violation, search: ReplaySearch, run: RunFiles) -> Violation:
    """Return a violation in a simulated world with an episode that shows it, as a GIF, or how many were tried in vain.

    As it is where its world cannot be simulated or the rule takes too long to translate.
    """
    task = search.domain.task(violation.task)
    if task.world not in SCENARIOS:
        return violation
    try:
        found = search.find(violation.text, task, violation.rule)
    except Unanswered:
        return violation
    gif = None
    if found.seed is not None:
        path = run.replay(violation.rule)
        search.save(path, violation.text, task, found.seed)
        gif = str(path.relative_to(run.path))
    replay = Replay(seed=found.seed, gif=gif, pending=found.is_pending, searched=found.num_tried)
    return violation.model_copy(update={"replay": replay})


def _told(answer: ScoredAnswer, verifier: Verifier) -> AnswerRecord:
    verdict = verifier.verify_text(answer.sample.text, verifier.domain.task(answer.sample.task_id))
    return AnswerRecord(text=answer.sample.text, verdict=verdict)


def _first_answers(
    before: Sequence[ScoredAnswer], after: Sequence[ScoredAnswer]
) -> Iterator[tuple[ScoredAnswer, ScoredAnswer]]:
    """Yield the first answers to each prompt."""
    seen = set()
    for first, second in zip(before, after, strict=True):
        if first.prompt not in seen:
            seen.add(first.prompt)
            yield first, second


def _rise(pair: tuple[ScoredAnswer, ScoredAnswer]) -> float:
    """Return by how much compliance rose; by nothing where no rule applies."""
    return (pair[1].verdict.compliance or 0.0) - (pair[0].verdict.compliance or 0.0)
