import random
from collections.abc import Callable

import pytest

from verilora.finetune.answers.score import Share, effective_machines, mean_of, mean_quality, rule_scores, score
from verilora.finetune.answers.verdict_cache import Judged
from verilora.verify.records.verdict import Mode

MakeJudged = Callable[..., Judged]


def test_a_share_has_its_exact_interval() -> None:
    assert Share(0, 59).to_json()["high"] == pytest.approx(0.0606, abs=1e-4)
    assert Share(3, 4).to_json()["share"] == 0.75
    assert Share(0, 0).to_json() == {"count": 0, "of": 0, "share": 0.0, "low": 0.0, "high": 1.0}


def test_the_unit_of_a_mean_is_the_prompt() -> None:
    """Many answers to few prompts say less than as many answers to as many prompts."""
    values = [float(place % 2) for place in range(200)]
    apart = mean_of(values, range(200))
    together = mean_of(values, [place % 2 for place in range(200)])
    assert apart["mean"] == together["mean"] == 0.5
    assert apart["high"] - apart["low"] == pytest.approx(0.139, abs=0.01)
    assert (together["low"], together["high"]) == (0.0, 1.0)


def test_a_score_counts_what_it_is_given(judged: MakeJudged) -> None:
    found = score(
        [
            judged("good"),
            judged("good"),
            judged("half", kept=1),
            judged("still", gates=False),
            judged("unreadable", kept=0, invalid="what?"),
        ]
    )
    assert found["compliance"]["mean"] == pytest.approx(2.5 / 5)
    assert found["raw_share"]["mean"] == pytest.approx((2 + 2 + 1 + 2 + 0) / 10)
    counts = {name: found[name]["count"] for name in ("gate_rate", "all_kept", "invalid", "always_stop")}
    assert counts == {"gate_rate": 3, "all_kept": 2, "invalid": 1, "always_stop": 0}
    assert (found["num_responses"], found["num_prompts"], found["num_tokens"]) == (5, 1, 100)
    assert found["distinct_machines"] == 3
    assert found["rules"]["two"]["share"]["count"] == 3
    assert (found["rules"]["two"]["applicable"], found["rules"]["two"]["violated"]) == (5, 1)


def test_the_effective_number_does_not_depend_on_how_many_were_sampled(judged: MakeJudged) -> None:
    """Answers drawn alike from ten controllers a task, few or many, to one task or two."""
    rng = random.Random(0)
    for size, least, most in ((40, 7, 15), (400, 9, 11)):
        drawn = [judged(f"answer {rng.randrange(10)}", task_id=f"task {number % 2}") for number in range(size)]
        assert least < effective_machines(drawn) < most
    unreadable = [judged("x", invalid="what?")] * 5
    assert effective_machines([*drawn, *unreadable]) == effective_machines(drawn)
    assert effective_machines([judged("a"), judged("b"), judged("c")]) == 3
    assert effective_machines([judged("a")]) == 0


def test_quality_is_what_the_mode_trains_for(judged: MakeJudged) -> None:
    answers = [judged("still", gates=False), judged("half", kept=1)]
    assert mean_quality(answers, Mode.GATED)["mean"] == 0.25
    assert mean_quality(answers, Mode.PAPER)["mean"] == 0.75


def test_rules_are_counted_where_they_decide(judged: MakeJudged) -> None:
    found = rule_scores([judged("good").judgement, judged("half", kept=1).judgement])
    assert (found["one"]["kept"], found["two"]["kept"], found["two"]["applicable"]) == (2, 1, 2)
    assert rule_scores([]) == {}
