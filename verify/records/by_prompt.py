"""Intervals of 95 % whose unit is the prompt: answers to one prompt resemble each other and are no separate trials.

A group is a prompt with its answers, or a controller with its episodes.
"""

from collections.abc import Sequence
from math import fsum, sqrt

from .beta import student_quantile
from .interval import clopper_pearson

MIN_GROUPS = 6
"""Fewer groups support no claim at 5 %: that five of five all move one way happens by chance in 2 of 32 cases (6 %)."""

Interval = tuple[float, float]
Groups = tuple[Sequence[float], Sequence[int]]
"""What each group adds up to, and its size."""
_UPPER = 0.975


def too_few(num_groups: int, what: str = "prompts") -> str:
    """Return the words for groups that are too few to claim anything."""
    return f"too few {what}: {num_groups} of {MIN_GROUPS} needed"


def interval_by_group(sums: Sequence[float], sizes: Sequence[int]) -> Interval | None:
    """Return the interval for a share, or for a mean of values from 0 to 1; None where groups are too few.

    `sums` holds what each group's values add up to, `sizes` how many they are; groups of none count for nothing.
    The exact interval of Clopper and Pearson for as many trials as the answers are worth: their number divided by the
    design effect, corrected for the degrees of freedom (Korn and Graubard, Survey Methodology 24, 1998). That is at
    most the number of answers, and at least that of groups (of unequal ones Kish's effective number, 1965). With one
    answer a prompt it is the interval of Clopper and Pearson.
    """
    groups = [(total, size) for total, size in zip(sums, sizes, strict=True) if size]
    if len(groups) < MIN_GROUPS:
        return None
    num_answers = sum(size for _, size in groups)
    least = num_answers**2 / sum(size**2 for _, size in groups)
    ratio = student_quantile(_UPPER, num_answers - 1) / student_quantile(_UPPER, len(groups) - 1)
    trials = min(max(num_answers / _design_effect(groups) * ratio**2, least), num_answers)
    # Rounding must not push a mean of 1 beyond it.
    share = min(max(fsum(total for total, _ in groups) / num_answers, 0.0), 1.0)
    return clopper_pearson(share * trials, trials)


def _design_effect(groups: Sequence[tuple[float, int]]) -> float:
    """Return how many times the variance is that of as many independent answers.

    Two groups of the mean size are added, one that is all 0 and one that is all 1: where hardly any group differs, or
    none, the sample alone says too little of how alike answers are (coverage fell to 90 % without them).
    """
    mean_size = sum(size for _, size in groups) / len(groups)
    added: list[tuple[float, float]] = [*groups, (0.0, mean_size), (mean_size, mean_size)]
    num, num_answers = len(added), fsum(size for _, size in added)
    share = fsum(total for total, _ in added) / num_answers
    squares = fsum((total - share * size) ** 2 for total, size in added)
    variance = num / (num - 1) * squares / num_answers**2
    return variance * (num_answers - 1) / (share * (1 - share))


def change_by_group(before: Groups, after: Groups) -> Interval | None:
    """Return the interval for how much a share or a mean moved, paired by group; None where pairs are too few.

    Both sides hold the same groups in the same order. Each pair counts the same. Student's interval over the
    differences, after two more pairs were added, half a one each at +1 and -1 and one at 0 (Agresti and Min,
    Statistics in Medicine 24, 2005): so differences that are all alike leave an interval, too.
    """
    sides = zip(*before, *after, strict=True)
    moves = [late / many - early / few for early, few, late, many in sides if few and many]
    if len(moves) < MIN_GROUPS:
        return None
    num = len(moves) + 2
    mean = fsum(moves) / num
    variance = (fsum(move**2 for move in moves) + 1) / num - mean**2
    reach = student_quantile(_UPPER, len(moves) - 1) * sqrt(variance / num)
    return max(mean - reach, -1.0), min(mean + reach, 1.0)
