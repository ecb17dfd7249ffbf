from collections.abc import Callable
from dataclasses import replace

import pytest

from verilora.finetune.answers.score import score
from verilora.finetune.answers.scored_answer import ScoredAnswer
from verilora.finetune.evaluation.alarms import alarms
from verilora.verify.records.evaluation import BeforeAfter
from verilora.verify.records.verdict import Mode

MakeScored = Callable[..., ScoredAnswer]
NAMES = ("reward-saturated", "always-stop-rising", "diversity-collapsing", "parse-rate-falling", "rule-worse")


def raised(before: list[ScoredAnswer], after: list[ScoredAnswer], mode: Mode = Mode.GATED) -> set[str]:
    found = alarms({"validation": BeforeAfter(before=score(before), after=score(after))}, mode)
    assert tuple(entry.name for entry in found) == NAMES
    return {entry.name for entry in found if entry.raised}


@pytest.fixture
def mixed(scored: MakeScored) -> list[ScoredAnswer]:
    return [scored(f"answer {number}", wording=f"prompt {number}", kept=number % 3) for number in range(60)]


def test_a_plain_improvement_raises_none(scored: MakeScored, mixed: list[ScoredAnswer]) -> None:
    assert raised(mixed, [scored(f"better {number}", wording=f"prompt {number}") for number in range(60)]) == set()


def test_a_reward_that_leaves_nothing_to_learn(scored: MakeScored) -> None:
    good = [scored(f"good {number}", wording=f"prompt {number}") for number in range(60)]
    assert raised(good, good) == {"reward-saturated"}


def test_fewer_controllers(scored: MakeScored, mixed: list[ScoredAnswer]) -> None:
    assert raised(mixed, [scored(f"better {number % 5}", wording=f"prompt {number}") for number in range(60)]) == {
        "diversity-collapsing"
    }
    # However few answers were sampled: here one in fifteen differs from the rest.
    assert raised(
        mixed[:15], [scored(f"better {number == 0}", wording=f"prompt {number}") for number in range(15)]
    ) == {"diversity-collapsing"}


def test_a_choice_of_good_controllers_is_no_collapse(scored: MakeScored) -> None:
    before = [scored(f"answer {number % 20}", wording=f"prompt {number}", kept=number % 3) for number in range(60)]
    assert raised(before, [scored(f"better {number % 5}", wording=f"prompt {number}") for number in range(60)]) == set()


def test_paper_mode_looks_at_the_raw_share(scored: MakeScored) -> None:
    """Gates do not count there: what keeps all rules leaves nothing to learn, though its compliance is 0."""
    idle = [scored(f"idle {number}", wording=f"prompt {number}", gates=False) for number in range(60)]
    assert raised(idle, idle) == set()
    assert raised(idle, idle, Mode.PAPER) == {"reward-saturated"}


def test_more_answers_that_do_not_parse(scored: MakeScored, mixed: list[ScoredAnswer]) -> None:
    after = [scored(f"better {number}", wording=f"prompt {number}") for number in range(50)]
    after += [
        scored(f"unreadable {number}", wording=f"prompt {number}", invalid=f"reason {number}")
        for number in range(50, 60)
    ]
    assert raised(mixed, after) == {"parse-rate-falling"}


def test_more_answers_that_stand_still(scored: MakeScored, mixed: list[ScoredAnswer]) -> None:
    after = [scored(f"better {number}", wording=f"prompt {number}") for number in range(60)]
    after[:8] = [replace(entry, never_moves=True) for entry in after[:8]]
    assert raised(mixed, after) == {"always-stop-rising"}


def test_a_rule_that_got_worse(scored: MakeScored) -> None:
    before = [
        scored(f"answer {number}", wording=f"prompt {number}", kept=2 if number % 10 else 0) for number in range(60)
    ]
    after = [scored(f"answer {number}", wording=f"prompt {number}", kept=1) for number in range(60)]
    assert raised(before, after) == {"rule-worse"}


def test_nothing_is_said_of_too_few_prompts(scored: MakeScored) -> None:
    """Sixty answers to five prompts: all is as bad as it can be."""
    before = [scored(f"answer {number}", wording=f"prompt {number % 5}") for number in range(60)]
    after = [replace(entry, never_moves=True) for entry in before[:30]]
    after += [scored(f"x {number}", wording=f"prompt {number % 5}", invalid="what?") for number in range(30)]
    assert raised(before, after) == set()
    found = alarms({"test": BeforeAfter(before=score(before), after=score(after))}, Mode.GATED)
    told = {alarm.name: alarm.message for alarm in found}
    assert told.pop("diversity-collapsing") == "no sign of it"
    assert set(told.values()) == {"test: too few prompts: 5 of 6 needed"}
