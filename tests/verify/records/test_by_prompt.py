"""Intervals by prompt: that they hold what they promise where intervals by answer do not."""

import numpy as np
import pytest

from verilora.verify.records.by_prompt import MIN_GROUPS, change_by_group, interval_by_group, too_few
from verilora.verify.records.interval import clopper_pearson

PER_PROMPT = 5


@pytest.mark.parametrize(
    ("num_prompts", "share", "alike"),
    [(MIN_GROUPS, 0.5, 0.9), (20, 0.1, 0.6), (60, 0.02, 0.6), (100, 0.98, 0.8), (30, 0.3, 1.0), (20, 0.3, 0.0)],
)
def test_95_percent_of_the_intervals_hold_the_share(num_prompts: int, share: float, alike: float) -> None:
    """`alike` is the correlation of answers to one prompt; where there is any, the exact interval of answers fails."""
    rng = np.random.default_rng(0)
    num_samples = 400
    shape = (num_samples, num_prompts)
    if alike in (0.0, 1.0):
        chances = np.full(shape, share) if not alike else (rng.random(shape) < share).astype(float)
    else:
        spread = 1 / alike - 1
        chances = rng.beta(share * spread, (1 - share) * spread, shape)
    held, held_by_answer = 0, 0
    for counts in rng.binomial(PER_PROMPT, chances).tolist():
        found = interval_by_group(counts, [PER_PROMPT] * num_prompts)
        assert found is not None
        held += found[0] <= share <= found[1]
        low, high = clopper_pearson(sum(counts), PER_PROMPT * num_prompts)
        held_by_answer += low <= share <= high
    assert held / num_samples >= 0.93
    assert (held_by_answer / num_samples < 0.9) is bool(alike)


@pytest.mark.parametrize("num_prompts", [MIN_GROUPS, 20, 60])
def test_what_did_not_move_is_said_to_have_moved_in_1_of_20_cases_at_most(num_prompts: int) -> None:
    rng = np.random.default_rng(0)
    sizes = [PER_PROMPT] * num_prompts
    claimed = 0
    for chances in rng.beta(0.5, 0.5, (400, num_prompts)):
        sides = [(rng.binomial(PER_PROMPT, chances).tolist(), sizes) for _ in range(2)]
        found = change_by_group(*sides)
        assert found is not None
        claimed += found[0] > 0 or found[1] < 0
    assert claimed / 400 <= 0.05


def test_with_one_answer_a_prompt_it_is_the_exact_interval() -> None:
    for count in (0, 1, 7, 20):
        assert interval_by_group([1] * count + [0] * (20 - count), [1] * 20) == pytest.approx(
            clopper_pearson(count, 20)
        )


def test_more_answers_to_the_same_prompts_tell_no_more_if_all_are_alike() -> None:
    assert interval_by_group([5] * 10, [5] * 10) == pytest.approx(clopper_pearson(10, 10))
    assert interval_by_group([5] * 4 + [0] * 6, [5] * 10) == pytest.approx(clopper_pearson(4, 10))


def test_it_never_is_a_point() -> None:
    low, high = interval_by_group([4] * 20, [5] * 20) or (0, 0)
    assert low < 0.75
    assert high > 0.85
    low, high = change_by_group(([4] * 20, [5] * 20), ([5] * 20, [5] * 20)) or (0, 0)
    assert low < 0.2 < high


def test_too_few_prompts_have_none() -> None:
    few = [1] * (MIN_GROUPS - 1)
    assert interval_by_group(few, few) is None
    assert change_by_group((few, few), (few, few)) is None
    # Prompts that a rule does not apply to are none of its prompts.
    assert interval_by_group([*few, 0, 0], [*few, 0, 0]) is None
    assert change_by_group(([*few, 0], [*few, 0]), ([*few, 1], [*few, 1])) is None
    assert too_few(1) == f"too few prompts: 1 of {MIN_GROUPS} needed"


def test_the_least_number_can_tell_a_change_at_5_percent_and_one_less_cannot() -> None:
    assert 2 / 2**MIN_GROUPS < 0.05 < 2 / 2 ** (MIN_GROUPS - 1)
    none, all_of_them = [0] * MIN_GROUPS, [5] * MIN_GROUPS
    low, _ = change_by_group((none, all_of_them), (all_of_them, all_of_them)) or (0, 0)
    assert low > 0


def test_pairs_tell_more_than_two_intervals_that_overlap() -> None:
    """Prompts differ much, and each gains a little."""
    before, after = [0, 1, 2, 3] * 5, [1, 2, 3, 4] * 5
    sizes = [5] * 20
    first, second = interval_by_group(before, sizes), interval_by_group(after, sizes)
    assert first
    assert second
    assert first[1] > second[0]
    low, _ = change_by_group((before, sizes), (after, sizes)) or (0, 0)
    assert low > 0


def test_a_mean_of_shares_has_one_too() -> None:
    low, high = interval_by_group([0.8 * 5] * 9 + [0.9 * 5] * 9, [5] * 18) or (0, 0)
    assert 0.6 < low < 0.85 < high < 1
