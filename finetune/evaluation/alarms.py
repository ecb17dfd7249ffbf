"""Alarms: signs that a rise in compliance is not what it seems."""

from collections.abc import Callable

from ...verify.records.by_prompt import MIN_GROUPS, too_few
from ...verify.records.evaluation import Alarm, Score, Share, Splits
from ...verify.records.verdict import Mode
from ...verify.reports.findings import Change, change, quality_name, rule_change

SATURATED = 0.95
LEAST_DIVERSITY = 0.1


def alarms(splits: Splits, mode: Mode) -> tuple[Alarm, ...]:
    """Return all alarms, raised or not, on the scores before and after of each split.

    Shares count as having moved by the same intervals as in reports; of too few prompts nothing is said.
    """
    enough = {split: scores for split, scores in splits.items() if scores.after.num_prompts >= MIN_GROUPS}
    few = [f"{split}: {too_few(scores.after.num_prompts)}" for split, scores in splits.items() if split not in enough]
    return (
        _alarm("reward-saturated", _saturated(enough, mode), few),
        _alarm("always-stop-rising", _rising(enough, lambda score: score.always_stop, "always-stopping answers"), few),
        _alarm("diversity-collapsing", _collapsing(splits), []),
        _alarm("parse-rate-falling", _rising(enough, lambda score: score.invalid, "answers that do not parse"), few),
        _alarm("rule-worse", _worse_rules(enough), few),
    )


def _alarm(name: str, signs: list[str], unknown: list[str]) -> Alarm:
    return Alarm(name=name, raised=bool(signs), message="; ".join(signs or unknown) or "no sign of it")


def _saturated(splits: Splits, mode: Mode) -> list[str]:
    """A verifier that finds nothing wrong with an untrained model is probably broken."""
    before = {split: mode.quality(scores.before).mean for split, scores in splits.items()}
    return [
        f"{split}: the base model's {quality_name(mode)} is {mean:.1%} before training, "
        "which leaves nothing to learn: is the verifier right?"
        for split, mean in before.items()
        if mean >= SATURATED
    ]


def _rising(splits: Splits, share: Callable[[Score], Share], what: str) -> list[str]:
    """A share that must not rise beyond its interval."""
    found = []
    for split, scores in splits.items():
        before, after = share(scores.before), share(scores.after)
        if change(before, after) is Change.BETTER:
            found.append(f"{split}: {what} rose from {before.share:.1%} to {after.share:.1%}")
    return found


def _collapsing(splits: Splits) -> list[str]:
    """Fewer controllers are what training is for; hardly any are a model that gives one answer to everything."""
    found = []
    for split, scores in splits.items():
        before, after = scores.before.effective_machines, scores.after.effective_machines
        if after < LEAST_DIVERSITY * before:
            found.append(f"{split}: the effective number of controllers a task fell from {before:.1f} to {after:.1f}")
    return found


def _worse_rules(splits: Splits) -> list[str]:
    """A rule that is kept less often, beyond the interval of the change."""
    found = []
    for split, scores in splits.items():
        for rule_id, rule in scores.before.rules.items():
            after = scores.after.rules[rule_id]
            if rule_change(rule, after) is Change.WORSE:
                found.append(f"{split}: {rule_id} fell from {rule.share.share:.1%} to {after.share.share:.1%}")
    return found
