"""What a report shows beside its figures: answers before and after, and violations that are left, with replays."""

from collections.abc import Iterator, Sequence
from typing import Any

from ...envs.scenario import SCENARIOS
from ...specs.processes.forked import Unanswered
from ...verify.audits.replay_search import ReplaySearch
from ...verify.records.verdict import Status
from ...verify.verdicts.verifier import Verifier
from ..answers.verdict_cache import Judged
from ..run.run_files import RunFiles

NUM_EXAMPLES = 4


def examples(before: Sequence[Judged], after: Sequence[Judged], verifier: Verifier) -> list[dict[str, Any]]:
    """Return answers to the same prompts before and after, the first of each, where compliance changed most.

    One for each world, and at least one where it fell, if it did anywhere. `verifier` tells witnesses.
    """
    pairs = sorted(_first_answers(before, after), key=_rise, reverse=True)
    domain = verifier.domain
    by_world = {domain.task(pair[0].sample.task_id).world: pair for pair in reversed(pairs)}
    chosen = sorted(by_world.values(), key=_rise, reverse=True)[:NUM_EXAMPLES]
    if pairs and _rise(pairs[-1]) < 0 and pairs[-1] not in chosen:
        chosen[-1:] = [pairs[-1]]
    return [
        {
            "task": first.sample.task_id,
            "wording": first.sample.wording,
            "before": _told(first, verifier),
            "after": _told(second, verifier),
        }
        for first, second in chosen
    ]


def violations(after: Sequence[Judged], verifier: Verifier, most: int) -> list[dict[str, Any]]:
    """Return answers that still violate a rule, one for each rule, those with the most violations first."""
    counts: dict[str, list[Judged]] = {}
    for answer in after:
        for rule_id in answer.judgement.judged:
            if answer.judgement.rules[rule_id] == Status.VIOLATED.name.lower():
                counts.setdefault(rule_id, []).append(answer)
    by_count = sorted(counts.items(), key=lambda item: len(item[1]), reverse=True)
    return [
        {
            "when": "after",
            "task": answers[0].sample.task_id,
            "wording": answers[0].sample.wording,
            "rule": rule_id,
            "num_answers": len(answers),
            **_told(answers[0], verifier),
        }
        for rule_id, answers in by_count[:most]
    ]


def add_replays(left: list[dict[str, Any]], search: ReplaySearch, run: RunFiles) -> None:
    """Give each violation in a simulated world an episode that shows it, as a GIF, or how many were tried in vain.

    Neither where the rule takes too long to translate.
    """
    for violation in left:
        task = search.domain.task(violation["task"])
        if task.world not in SCENARIOS:
            continue
        try:
            found = search.find(violation["text"], task, violation["rule"])
        except Unanswered:
            continue
        violation["replay"] = {"seed": found.seed, "searched": found.num_tried, "pending": found.is_pending}
        if found.seed is not None:
            path = run.path / "replays" / f"{violation['rule']}.gif"
            search.save(path, violation["text"], task, found.seed)
            violation["replay"]["gif"] = str(path.relative_to(run.path))


def _told(answer: Judged, verifier: Verifier) -> dict[str, Any]:
    verdict = verifier.verify_text(answer.sample.text, verifier.domain.task(answer.sample.task_id))
    return {"text": answer.sample.text, "verdict": verdict.to_json()}


def _first_answers(before: Sequence[Judged], after: Sequence[Judged]) -> Iterator[tuple[Judged, Judged]]:
    """Yield the first answers to each prompt."""
    seen = set()
    for first, second in zip(before, after, strict=True):
        if first.prompt not in seen:
            seen.add(first.prompt)
            yield first, second


def _rise(pair: tuple[Judged, Judged]) -> float:
    return pair[1].judgement.compliance - pair[0].judgement.compliance
