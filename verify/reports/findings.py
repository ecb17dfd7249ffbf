"""Findings: what the numbers of a run come to, in words."""

from enum import StrEnum
from typing import Protocol

from ...specs.task import Split
from ..records.by_prompt import Groups, change_by_group, too_few
from ..records.evaluation import BeforeAfter, Mean, RuleScore, Share
from ..records.run import Run
from ..records.verdict import Mode

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MEANT = {
    "train": "on the prompts it was trained on",
    "validation": "on tasks that it was trained on, asked in other words",
    "test": "on combinations that it was not trained on",
}


class Change(StrEnum):
    """How a share moved, prompt by prompt: by more than its interval, or not."""

    BETTER = "better"
    SAME = "within the interval"
    WORSE = "worse"
    TOO_FEW = "too few to tell"
    NONE = "nothing to compare"


class Grouped(Protocol):
    """Whatever was counted in groups."""

    @property
    def groups(self) -> Groups: ...


def change(before: Grouped, after: Grouped) -> Change:
    """Return how a share moved, where more is better.

    Nothing is claimed if the interval of the change, prompt by prompt, holds 0, or if prompts are too few.
    """
    moved = change_by_group(before.groups, after.groups)
    if moved is None:
        return Change.TOO_FEW
    if moved[0] > 0:
        return Change.BETTER
    return Change.WORSE if moved[1] < 0 else Change.SAME


def rule_change(before: RuleScore, after: RuleScore) -> Change:
    """Return how the share of answers that keep a rule moved."""
    if not (before.applicable and after.applicable):
        return Change.NONE
    return change(before.share, after.share)


def quality_name(mode: Mode) -> str:
    """Return what `Mode.quality` is called."""
    return "raw share of rules kept" if mode is Mode.PAPER else "compliance"


def hardest_split(run: Run) -> Split:
    """Return the split that asks most of what was learned."""
    return next(split for split in reversed(SPLITS) if split in run.evaluation.splits)


def broken_rules(scores: BeforeAfter) -> list[str]:
    """Return the rules that some controller still breaks, most often broken first."""
    rules = scores.after.rules
    broken = [name for name, rule in rules.items() if rule.violated]
    return sorted(broken, key=lambda name: rules[name].violated / rules[name].applicable, reverse=True)


def worse_rules(run: Run) -> list[str]:
    """Return the rules that are kept less often after training than before, on any split, by more than its interval."""
    splits = run.evaluation.splits.values()
    pairs = (
        (name, scores.before.rules.get(name), after) for scores in splits for name, after in scores.after.rules.items()
    )
    worse = (name for name, before, after in pairs if before and rule_change(before, after) is Change.WORSE)
    return list(dict.fromkeys(worse))


def sentence(run: Run) -> str:
    """Return the verdict on a run in one sentence."""
    split, mode = hardest_split(run), run.config.mode
    scores = run.evaluation.splits[split]
    before, after = mode.quality(scores.before), mode.quality(scores.after)
    name = quality_name(mode)
    if not (before.num_counted and after.num_counted):
        return f"Nothing is claimed of {name} {MEANT[split]}: no rule of the book applies there."
    num_judged = sum(map(bool, after.sizes))
    moved = {
        Change.BETTER: f"Training raised {name}",
        Change.WORSE: f"Training lowered {name}",
        Change.SAME: f"Training did not change {name} by more than chance may,",
        Change.TOO_FEW: f"Nothing is claimed ({too_few(num_judged)}) of {name}",
    }[change(before, after)]
    kept = scores.after.all_kept
    whole = "every rule" if mode is Mode.PAPER else "every applicable rule and gate"
    return (
        f"{moved} {MEANT[split]} from {before.mean:.0%} to {after.mean:.0%} "
        f"({_interval(after)}); {kept.count} of {kept.of} answers keep {whole}, "
        f"and {_remaining(broken_rules(scores), worse_rules(run), scores.after.invalid.count)}."
    )


def caveats(run: Run) -> list[str]:
    """Return what stands against the verdict: raised alarms (a rule got worse, for one), what was only observed."""
    found = [rejection(run)] if run.evaluation.rejected else []
    found += [f"Alarm {alarm.name}: {alarm.message}." for alarm in run.evaluation.alarms if alarm.raised]
    if run.config.pairs.shuffle:
        found.append(
            "A control experiment: verdicts were shuffled among answers, so nothing could be learned from them."
        )
    unjudged = run.evaluation.splits[hardest_split(run)].after.unjudged
    if unjudged and unjudged.count:
        found.append(
            f"No rule of the book applies to the tasks of {unjudged.count} of {unjudged.of} answers: they are "
            "in no mean and keep nothing."
        )
    observed = run.evaluation.splits[hardest_split(run)].after.observed_only
    if observed.count:
        rest = f"{observed.count} of {observed.of} answers pass only on what was observed of a world"
        found.append(f"{rest}; the certificate does not count them.")
    return found


def rejection(run: Run) -> str:
    """Return why a run kept no adapter."""
    mode, scores = run.config.mode, run.evaluation.splits["validation"]
    before, after = percent(mode.quality(scores.before)), percent(mode.quality(scores.after))
    return (
        f"No adapter was kept: its {quality_name(mode)} on the validation split, {after}, is not higher than that of "
        f"the base model, {before}. It lies in {run.files.rejected.name}/, without a certificate."
    )


def percent(share: Share | Mean) -> str:
    """Return a share with its interval, if it has one, for people; where nothing was counted, that."""
    if not share.num_counted:
        return "nothing to count"
    if share.low is None or share.high is None:
        return f"{share.value:.1%}"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _interval(share: Share | Mean) -> str:
    if share.low is None or share.high is None:
        return "no interval"
    return f"95% interval {share.low:.0%} to {share.high:.0%}"


def _remaining(broken: list[str], worse: list[str], num_invalid: int) -> str:
    count = "1 rule is" if len(broken) == 1 else f"{len(broken)} rules are"
    fell = f", {len(worse)} of the rules more often than before" if worse else ""
    still = f"{count} still broken by some{fell}" if broken else "none of them breaks a rule"
    unread = f"; {num_invalid} cannot be read as a controller" if num_invalid else ""
    return f"{still}{unread}"
