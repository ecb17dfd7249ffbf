"""Comparisons: what a report sets side by side, before and after training."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...specs.rulebook import Rulebook
from ...specs.task import Split
from ...specs.waiver import Waiver
from ..records.evaluation import Baseline, BeforeAfter, Drives, Evaluation, Mean, Memorised, Score, Share
from ..records.verdict import Mode
from .findings import SPLITS, Change, change, quality_name, rule_change
from .strip import strip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A share before and after. `note` is said instead where there is nothing to compare."""

    before: Share | Mean | None = None
    after: Share | Mean | None = None
    change: Change = Change.NONE
    strip: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a comparison: a cell for each split that was measured. `waiver` is that of a rule."""

    name: str
    words: str
    cells: tuple[Cell, ...]
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of answers or of drives; `direction` is 1 if more is better, -1 if less is, 0 if neither."""

    field: str
    name: str
    words: str
    direction: int


MEASURES = (
    Measure("compliance", "Compliance", "weighted share of the applicable rules kept; 0 without gates", 1),
    Measure("all_kept", "All kept", "answers that keep every rule that decides, and the gates", 1),
    Measure("gate_rate", "Gates", "answers that reach the task's goal, in time, and never stop making progress", 1),
    Measure("timely", "Timely", "controllers that act in time in 80 % of recorded waits: measured, not proved", 1),
    Measure("timely_share", "Timely share", "share of recorded waits in which controllers act in time: measured", 1),
    Measure("raw_share", "Raw share", "share of all rules kept, whether they apply or not, gates aside", 1),
    Measure("invalid", "Invalid", "answers that cannot be read as a controller", -1),
    Measure("always_stop", "Never act", "answers that never give any action but the idle one", -1),
    Measure("vacuous", "Vacuous", "answers with a rule kept whatever its trigger says; reported, not ranked", 0),
    Measure("decided", "Decided", "share of the rules that decide which are not kept vacuously; not ranked", 0),
    Measure("observed_only", "Observed only", "answers that pass only on what was observed of a world", -1),
)
UNJUDGED = Measure("unjudged", "Not judged", "answers to tasks to which no rule of the book applies; in no mean", 0)
ENDS = (
    Measure("reached", "Goal reached", "episodes in which the controller did what its task asks for", 1),
    Measure("arrived", "Arrived", "episodes that reached the end of their way", 1),
    Measure("crashed", "Crashed", "episodes that ended in a crash", -1),
    Measure("at_fault", "At fault", "crashes that count as the controller's own", -1),
    Measure("never_acted", "Never acted", "episodes in which it gave no action but the idle one", -1),
    Measure(
        "all_kept_crashed",
        "Keeps all rules, crashed",
        "controllers with a crash by their own fault, of those whose verdict keeps all: what the rules leave out",
        -1,
    ),
)


def measured(evaluation: Evaluation) -> list[tuple[Split, BeforeAfter]]:
    """Return the splits that were measured, in their order."""
    return [(split, evaluation.splits[split]) for split in SPLITS if split in evaluation.splits]


def measures(evaluation: Evaluation) -> Iterator[Row]:
    """Yield the measures of answers, a row each."""
    scored = [score for split in evaluation.splits.values() for score in (split.before, split.after)]
    has_unjudged = any(score.unjudged and score.unjudged.count for score in scored)
    for measure in (*MEASURES, *((UNJUDGED,) if has_unjudged else ())):
        cells = (_measure(measure, scores.before, scores.after) for _, scores in measured(evaluation))
        yield Row(name=measure.name, words=measure.words, cells=tuple(cells))


def rules(evaluation: Evaluation, rulebook: Rulebook) -> Iterator[Row]:
    """Yield the rules of a book, a row each."""
    for rule in rulebook.rules:
        cells = (_rule(rule.id, scores) for _, scores in measured(evaluation))
        yield Row(name=rule.id, words=rule.english, cells=tuple(cells), waiver=rulebook.waiver(rule.id))


def episodes(drives: Drives) -> Iterator[Row]:
    """Yield how episodes in the simulator ended, a row each."""
    for end in ENDS:
        before, after = getattr(drives.before, end.field), getattr(drives.after, end.field)
        is_measured = before is not None and after is not None
        cell = _cell(end.name, before, after, end.direction) if is_measured else Cell(note="not measured")
        yield Row(name=end.name, words=end.words, cells=(cell,))


def driven_rules(drives: Drives, rulebook: Rulebook) -> Iterator[Row]:
    """Yield in how many episodes each rule was violated, a row each, but for rules that never were."""
    for rule in rulebook.rules:
        before, after = drives.before.rules.get(rule.id), drives.after.rules.get(rule.id)
        if before and after and (before.violated or after.violated):
            cell = _cell(rule.id, before.share_violated, after.share_violated, -1)
            yield Row(name=rule.id, words=rule.english, cells=(cell,), waiver=rulebook.waiver(rule.id))


def undisturbed_rules(drives: Drives, rulebook: Rulebook) -> list[str]:
    """Return the rules that judged episodes and were violated in none."""
    judged = (drives.before.rules, drives.after.rules)
    driven = [rule.id for rule in rulebook.rules if all(rule.id in rules for rules in judged)]
    return [name for name in driven if not any(rules[name].violated for rules in judged)]


def baselines(found: dict[str, Baseline], mode: Mode) -> list[tuple[str, Baseline, Mean, str]]:
    """Return the baselines: what they are called, their quality, and a strip of it."""
    names = {
        "base": "The base model, one answer",
        "best_of_n": "Best of n by the verifier, no training",
        "repair": "Repair: told what it broke, n tries",
        "dpo": "The adapter, one answer",
    }
    return [
        (
            names.get(key, key),
            baseline,
            mode.quality(baseline),
            strip(None, mode.quality(baseline), f"{quality_name(mode)} of {key}"),
        )
        for key, baseline in found.items()
    ]


TABLES = {
    "idle": ("Always idle", "Every answer never acts."),
    "blind": ("Blind", "Every answer gives the action of its goal at once and looks at nothing."),
    "guard_per_goal": (
        "One guard per goal",
        "Of each goal one answer that waits for a condition, then acts: the best of a search on the tasks to train on.",
    ),
    "guard_per_combination": (
        "One guard per world and goal",
        "The same for each world with each goal, found on the held-out combinations too.",
    ),
    "reference": (
        "Reference",
        "For each world with each goal the best of the short answers that follow from the rules themselves.",
    ),
}
"""A name and a sentence for each table."""

_COMPARED = {
    Change.BETTER: "the adapter beats it",
    Change.SAME: "the adapter differs from it by no more than chance may",
    Change.WORSE: "the adapter falls short of it",
    Change.TOO_FEW: "too few prompts to tell whether the adapter beats it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What a table reaches on a split, beside the adapter on the same prompts."""

    split: Split
    baseline: Baseline
    quality: Mean
    adapter: Mean
    change: Change

    @property
    def words(self) -> str:
        """The comparison in words."""
        return _COMPARED[self.change]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorisedRow:
    """One table of answers: what it is, what it reaches on each held-out split, and a sentence on all of it."""

    key: str
    name: str
    words: str
    reached: tuple[Reached, ...]
    sentence: str


def memorised(evaluation: Evaluation, mode: Mode) -> Iterator[MemorisedRow]:
    """Yield a row for each table; none in a run that measured none."""
    for key, found in evaluation.memorised.items():
        name, words = TABLES.get(key, (key, ""))
        reached = tuple(_sides(found, evaluation, mode))
        parts = (
            f"on {one.split} {one.words} ({quality_name(mode)} {one.adapter.mean:.1%} against {one.quality.mean:.1%})"
            for one in reached
        )
        yield MemorisedRow(key=key, name=name, words=words, reached=reached, sentence=f"{name}: {'; '.join(parts)}.")


def _sides(found: Memorised, evaluation: Evaluation, mode: Mode) -> Iterator[Reached]:
    for split in SPLITS:
        if split in found.splits and split in evaluation.splits:
            quality, adapter = mode.quality(found.splits[split]), mode.quality(evaluation.splits[split].after)
            yield Reached(
                split=split,
                baseline=found.splits[split],
                quality=quality,
                adapter=adapter,
                change=change(quality, adapter),
            )


def _measure(measure: Measure, before: Score, after: Score) -> Cell:
    return _cell(measure.name, getattr(before, measure.field), getattr(after, measure.field), measure.direction)


def _cell(name: str, before: Share | Mean, after: Share | Mean, direction: int) -> Cell:
    if not (before.num_counted or after.num_counted):
        return Cell(note="nothing to count")
    both = before.num_counted and after.num_counted
    moved = change(before, after) if both and direction else Change.NONE
    if direction < 0:
        moved = _REVERSED[moved]
    return Cell(before=before, after=after, change=moved, strip=strip(before, after, name))


def _rule(rule_id: str, scores: BeforeAfter) -> Cell:
    before, after = scores.before.rules.get(rule_id), scores.after.rules.get(rule_id)
    if not (before and after) or not (before.applicable or after.applicable):
        return Cell(note="applies nowhere here")
    observed = f"{after.observed} by observation only" if after.observed else ""
    return Cell(
        before=before.share,
        after=after.share,
        change=rule_change(before, after),
        strip=strip(before.share, after.share, rule_id),
        note=observed,
    )


_REVERSED = {
    Change.BETTER: Change.WORSE,
    Change.WORSE: Change.BETTER,
    Change.SAME: Change.SAME,
    Change.TOO_FEW: Change.TOO_FEW,
    Change.NONE: Change.NONE,
}
