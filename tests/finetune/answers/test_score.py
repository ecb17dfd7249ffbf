import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from verilora.finetune.answers.score import effective_machines, mean_quality, rule_scores, score
from verilora.finetune.answers.scored_answer import ScoredAnswer
from verilora.verify.records.evaluation import Share
from verilora.verify.records.verdict import Mode

MakeScored = Callable[..., ScoredAnswer]


def test_a_share_has_its_interval_by_prompt() -> None:
    assert Share.counted([0] * 59, [1] * 59).high == pytest.approx(0.0606, abs=1e-4)
    found = Share.counted([2, 1], [2, 2])
    assert (found.count, found.of, found.share, found.low, found.high) == (3, 4, 0.75, None, None)
    assert Share.counted([], []) == Share(count=0, of=0, share=0.0, low=None, high=None, counts=(), sizes=())


def test_the_unit_of_a_mean_is_the_prompt(scored: MakeScored) -> None:
    """Many answers to few prompts say less than as many answers to as many prompts."""
    kept = [2 * (place % 2) for place in range(200)]
    apart = mean_quality([scored("x", kept=most, wording=str(place)) for place, most in enumerate(kept)])
    together = mean_quality([scored("x", kept=most, wording=str(most)) for most in kept])
    assert apart.mean == together.mean == 0.5
    assert apart.low is not None
    assert apart.high is not None
    assert apart.high - apart.low == pytest.approx(0.142, abs=0.001)
    assert (together.low, together.high) == (None, None)


def test_rules_are_counted_prompt_by_prompt(scored: MakeScored) -> None:
    answers = [scored("x", kept=kept, wording=wording) for wording, kept in (("a", 2), ("b", 1), ("a", 1))]
    share = rule_scores(answers)["two"].share
    assert (share.counts, share.sizes) == ((1, 0), (2, 1))


def test_a_score_counts_what_it_is_given(scored: MakeScored) -> None:
    found = score(
        [
            scored("good"),
            scored("good"),
            scored("half", kept=1),
            scored("still", gates=False),
            scored("unreadable", kept=0, invalid="what?"),
        ]
    )
    assert found.compliance.mean == pytest.approx(2.5 / 5)
    assert found.raw_share.mean == pytest.approx((2 + 2 + 1 + 2 + 0) / 10)
    assert (found.gate_rate.count, found.all_kept.count, found.invalid.count, found.always_stop.count) == (3, 2, 1, 0)
    assert (found.num_responses, found.num_prompts, found.num_tokens) == (5, 1, 100)
    assert found.distinct_machines == 3
    assert found.rules["two"].share.count == 3
    assert (found.rules["two"].applicable, found.rules["two"].violated) == (5, 1)


def test_acting_in_time_is_counted_over_what_was_replayed(scored: MakeScored) -> None:
    found = score(
        [
            scored("quick", timely_share=1.0, wording="a"),
            scored("slow", timely_share=0.5, wording="b"),
            scored("unreadable", invalid="what?", timely_share=1.0, wording="b"),
            scored("not replayed", wording="c"),
        ]
    )
    assert (found.timely.counts, found.timely.sizes) == ((1, 0, 0), (1, 1, 0))
    assert (found.timely_share.sums, found.timely_share.mean) == ((1.0, 0.5, 0.0), 0.75)
    # The slow one fails a gate; only the quick one and that which was not replayed keep all.
    assert (found.gate_rate.count, found.all_kept.count) == (2, 2)
    assert score([scored("not replayed")]).timely_share.num_counted == 0


def test_what_no_rule_applies_to_is_counted_and_in_no_mean(scored: MakeScored) -> None:
    answers = [scored("good", wording="a"), scored("half", kept=1, wording="a"), unjudged(scored("x", wording="b"))]
    found = score(answers)
    assert (found.compliance.mean, found.compliance.n, found.compliance.sizes) == (0.75, 2, (2, 0))
    assert (found.all_kept.counts, found.all_kept.sizes, found.decided.sizes) == ((1, 0), (2, 0), (2, 0))
    assert found.unjudged is not None
    assert (found.unjudged.count, found.unjudged.of, found.num_responses) == (1, 3, 3)


def unjudged(answer: ScoredAnswer) -> ScoredAnswer:
    rules = tuple(rule.model_copy(update={"applicable": False, "weight": 0.0}) for rule in answer.verdict.rules)
    return replace(answer, verdict=answer.verdict.model_copy(update={"rules": rules}))


def test_the_effective_number_does_not_depend_on_how_many_were_sampled(scored: MakeScored) -> None:
    """Answers drawn alike from ten controllers a task, few or many, to one task or two."""
    rng = random.Random(0)
    for size, least, most in ((40, 7, 15), (400, 9, 11)):
        drawn = [scored(f"answer {rng.randrange(10)}", task_id=f"task {number % 2}") for number in range(size)]
        assert least < effective_machines(drawn) < most
    unreadable = [scored("x", invalid="what?")] * 5
    assert effective_machines([*drawn, *unreadable]) == effective_machines(drawn)
    assert effective_machines([scored("a"), scored("b"), scored("c")]) == 3
    assert effective_machines([scored("a")]) == 0


def test_quality_is_what_the_mode_trains_for(scored: MakeScored) -> None:
    for mode, expected in ((Mode.GATED, 0.25), (Mode.PAPER, 0.75)):
        answers = [scored("still", gates=False, mode=mode), scored("half", kept=1, mode=mode)]
        assert mean_quality(answers).mean == expected


def test_rules_are_counted_where_they_decide(scored: MakeScored) -> None:
    found = rule_scores([scored("good"), scored("half", kept=1)])
    assert (found["one"].kept, found["two"].kept, found["two"].applicable) == (2, 1, 2)
    assert rule_scores([]) == {}
