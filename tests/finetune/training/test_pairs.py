from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from verilora.finetune.answers.scored_answer import ScoredAnswer
from verilora.finetune.run.config import PairConfig
from verilora.finetune.training.pairs import make_pairs
from verilora.verify.records.verdict import Mode

MakeScored = Callable[..., ScoredAnswer]


def test_a_better_answer_is_chosen_over_a_worse_one(scored: MakeScored) -> None:
    [pair] = make_pairs([scored("bad", kept=0), scored("good")], Mode.GATED, PairConfig(), 0, 1)
    assert (pair.chosen, pair.rejected) == ("good", "bad")
    assert pair.chosen_rank > pair.rejected_rank


def test_ties_and_small_differences_make_no_pair(scored: MakeScored) -> None:
    answers = [scored("good"), scored("good too"), scored("half", kept=1)]
    assert make_pairs(answers[:2], Mode.GATED, PairConfig(), 0, 1) == []
    assert make_pairs(answers, Mode.GATED, PairConfig(margin=0.6), 0, 1) == []
    assert len(make_pairs(answers, Mode.GATED, PairConfig(margin=0.5), 0, 1)) == 2


def test_where_no_rule_applies_there_are_no_pairs(scored: MakeScored) -> None:
    free = {"applicable": False, "weight": 0.0}
    answers = [scored("stands still", gates=False), scored("moves"), scored("unreadable", kept=0, invalid="what?")]
    assert make_pairs(answers, Mode.GATED, PairConfig(min_chosen=0, margin=0.1), 0, 1)
    verdicts = [
        answer.verdict.model_copy(
            update={"rules": tuple(rule.model_copy(update=free) for rule in answer.verdict.rules)}
        )
        for answer in answers
    ]
    unjudged = [replace(answer, verdict=verdict) for answer, verdict in zip(answers, verdicts, strict=True)]
    assert make_pairs(unjudged, Mode.GATED, PairConfig(min_chosen=0, margin=0.1), 0, 1) == []


def test_equivalent_answers_count_once(scored: MakeScored) -> None:
    twin = scored("good in other words")
    twin = replace(twin, behaviour="behaviour of good")
    assert len(make_pairs([scored("good"), twin, scored("bad", kept=0)], Mode.GATED, PairConfig(), 0, 1)) == 1


def test_what_is_not_good_enough_is_never_chosen(scored: MakeScored) -> None:
    answers = [scored("half", kept=1), scored("bad", kept=0), scored("unreadable", kept=0, invalid="what?")]
    assert make_pairs(answers, Mode.GATED, PairConfig(), 0, 1) == []
    assert len(make_pairs(answers, Mode.GATED, PairConfig(min_chosen=0.5), 0, 1)) == 2


def test_a_failed_gate_loses(scored: MakeScored) -> None:
    [pair] = make_pairs([scored("stands still", gates=False), scored("moves")], Mode.GATED, PairConfig(), 0, 1)
    assert pair.rejected == "stands still"


def test_paper_mode_counts_rules_and_knows_no_gate(scored: MakeScored) -> None:
    answers = [scored("stands still", gates=False, mode=Mode.PAPER), scored("moves", kept=1, mode=Mode.PAPER)]
    [pair] = make_pairs(answers, Mode.PAPER, PairConfig(margin=1.0), 0, 1)
    assert pair.chosen == "stands still"


def test_pairs_are_capped_and_spread(scored: MakeScored) -> None:
    wordings = ("Do it", "Please do it")
    answers = [
        scored(f"{quality} {number}", kept=kept, task_id=task_id, wording=wordings[number % 2])
        for task_id in ("first", "second")
        for quality, kept in (("good", 2), ("bad", 0))
        for number in range(6)
    ]
    pairs = make_pairs(answers, Mode.GATED, PairConfig(per_task=12), 0, 1)
    assert Counter(pair.task_id for pair in pairs) == {"first": 12, "second": 12}
    assert set(Counter((pair.task_id, pair.chosen) for pair in pairs).values()) == {2}
    assert set(Counter((pair.task_id, pair.wording) for pair in pairs).values()) == {6}
    assert len({(pair.task_id, pair.chosen, pair.rejected) for pair in pairs}) == 24


def test_pairs_depend_on_the_seed_alone(scored: MakeScored) -> None:
    answers = [scored(f"answer {number}", kept=number % 3) for number in range(20)]
    config = PairConfig(per_task=5)
    assert make_pairs(answers, Mode.GATED, config, 1, 1) == make_pairs(answers, Mode.GATED, config, 1, 1)
    assert make_pairs(answers, Mode.GATED, config, 1, 1) != make_pairs(answers, Mode.GATED, config, 2, 1)


def test_shuffled_verdicts_choose_worse_answers_as_well(scored: MakeScored) -> None:
    answers = [scored(f"{kept} {number}", kept=kept) for kept in (0, 2) for number in range(20)]
    pairs = make_pairs(answers, Mode.GATED, PairConfig(per_task=200, shuffle=True), 0, 1)
    good = sum(pair.chosen.startswith("2") for pair in pairs)
    assert 60 < good < 140


def test_the_faults_of_rejected_answers_take_turns(scored: MakeScored) -> None:
    answers = [scored(f"good {number}") for number in range(6)]
    answers += [scored(f"broken {number}", kept=1) for number in range(40)]
    answers += [scored(f"still {number}", gates=False) for number in range(5)]
    answers += [scored(f"unreadable {number}", kept=0, invalid=f"reason {number}") for number in range(5)]
    pairs = make_pairs(answers, Mode.GATED, PairConfig(per_task=30), 0, 1)
    assert Counter(pair.rejected.split()[0] for pair in pairs) == {"broken": 10, "still": 10, "unreadable": 10}
