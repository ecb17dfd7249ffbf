from collections.abc import Callable
from typing import Any

import pytest

from verilora.finetune.answers.score import score
from verilora.finetune.answers.verdict_cache import Judged
from verilora.finetune.evaluation.alarms import alarms
from verilora.verify.records.verdict import Mode

MakeJudged = Callable[..., Judged]
NAMES = ("reward-saturated", "always-stop-rising", "diversity-collapsing", "parse-rate-falling", "rule-worse")


def raised(before: list[Judged], after: list[Judged], mode: Mode = Mode.GATED) -> set[str]:
    scores: dict[str, Any] = {"validation": {"before": score(before), "after": score(after)}}
    found = alarms(scores, mode)
    assert tuple(entry["name"] for entry in found) == NAMES
    return {entry["name"] for entry in found if entry["raised"]}


@pytest.fixture
def mixed(judged: MakeJudged) -> list[Judged]:
    return [judged(f"answer {number}", kept=number % 3) for number in range(60)]


def test_a_plain_improvement_raises_none(judged: MakeJudged, mixed: list[Judged]) -> None:
    assert raised(mixed, [judged(f"better {number}") for number in range(60)]) == set()


def test_a_reward_that_leaves_nothing_to_learn(judged: MakeJudged) -> None:
    good = [judged(f"good {number}") for number in range(60)]
    assert raised(good, good) == {"reward-saturated"}


def test_fewer_controllers(judged: MakeJudged, mixed: list[Judged]) -> None:
    assert raised(mixed, [judged(f"better {number % 5}") for number in range(60)]) == {"diversity-collapsing"}
    # However few answers were sampled: here one in fifteen differs from the rest.
    assert raised(mixed[:15], [judged(f"better {number == 0}") for number in range(15)]) == {"diversity-collapsing"}


def test_a_choice_of_good_controllers_is_no_collapse(judged: MakeJudged) -> None:
    before = [judged(f"answer {number % 20}", kept=number % 3) for number in range(60)]
    assert raised(before, [judged(f"better {number % 5}") for number in range(60)]) == set()


def test_paper_mode_looks_at_the_raw_share(judged: MakeJudged) -> None:
    """Gates do not count there: what keeps all rules leaves nothing to learn, though its compliance is 0."""
    idle = [judged(f"idle {number}", gates=False) for number in range(60)]
    assert raised(idle, idle) == set()
    assert raised(idle, idle, Mode.PAPER) == {"reward-saturated"}


def test_more_answers_that_do_not_parse(judged: MakeJudged, mixed: list[Judged]) -> None:
    after = [judged(f"better {number}") for number in range(50)]
    after += [judged(f"unreadable {number}", invalid=f"reason {number}") for number in range(10)]
    assert raised(mixed, after) == {"parse-rate-falling"}


def test_more_answers_that_stand_still(judged: MakeJudged, mixed: list[Judged]) -> None:
    from dataclasses import replace

    after = [judged(f"better {number}") for number in range(60)]
    after[:6] = [Judged(entry.sample, replace(entry.judgement, never_moves=True)) for entry in after[:6]]
    assert raised(mixed, after) == {"always-stop-rising"}


def test_a_rule_that_got_worse(judged: MakeJudged) -> None:
    before = [judged(f"answer {number}", kept=2 if number % 10 else 0) for number in range(60)]
    after = [judged(f"answer {number}", kept=1) for number in range(60)]
    assert raised(before, after) == {"rule-worse"}
