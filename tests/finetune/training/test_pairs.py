from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from verilora.finetune.answers.verdict_cache import Judged
from verilora.finetune.run.config import PairConfig
from verilora.finetune.training.pairs import make_pairs
from verilora.verify.records.verdict import Mode

MakeJudged = Callable[..., Judged]


def test_a_better_answer_is_chosen_over_a_worse_one(judged: MakeJudged) -> None:
    [pair] = make_pairs([judged("bad", kept=0), judged("good")], Mode.GATED, PairConfig(), 0)
    assert (pair.chosen, pair.rejected) == ("good", "bad")
    assert pair.chosen_rank > pair.rejected_rank


def test_ties_and_small_differences_make_no_pair(judged: MakeJudged) -> None:
    answers = [judged("good"), judged("good too"), judged("half", kept=1)]
    assert make_pairs(answers[:2], Mode.GATED, PairConfig(), 0) == []
    assert make_pairs(answers, Mode.GATED, PairConfig(margin=0.6), 0) == []
    assert len(make_pairs(answers, Mode.GATED, PairConfig(margin=0.5), 0)) == 2


def test_equivalent_answers_count_once(judged: MakeJudged) -> None:
    twin = judged("good in other words")
    twin = Judged(twin.sample, replace(twin.judgement, behaviour="behaviour of good"))
    assert len(make_pairs([judged("good"), twin, judged("bad", kept=0)], Mode.GATED, PairConfig(), 0)) == 1


def test_what_is_not_good_enough_is_never_chosen(judged: MakeJudged) -> None:
    answers = [judged("half", kept=1), judged("bad", kept=0), judged("unreadable", kept=0, invalid="what?")]
    assert make_pairs(answers, Mode.GATED, PairConfig(), 0) == []
    assert len(make_pairs(answers, Mode.GATED, PairConfig(min_chosen=0.5), 0)) == 2


def test_a_failed_gate_loses(judged: MakeJudged) -> None:
    [pair] = make_pairs([judged("stands still", gates=False), judged("moves")], Mode.GATED, PairConfig(), 0)
    assert pair.rejected == "stands still"


def test_paper_mode_counts_rules_and_knows_no_gate(judged: MakeJudged) -> None:
    answers = [judged("stands still", gates=False), judged("moves", kept=1)]
    answers = [
        Judged(entry.sample, replace(entry.judgement, rank=(1.0, float(entry.judgement.raw_kept)))) for entry in answers
    ]
    [pair] = make_pairs(answers, Mode.PAPER, PairConfig(margin=1.0), 0)
    assert pair.chosen == "stands still"


def test_pairs_are_capped_and_spread(judged: MakeJudged) -> None:
    wordings = ("Do it", "Please do it")
    answers = [
        judged(f"{quality} {number}", kept=kept, task_id=task_id, wording=wordings[number % 2])
        for task_id in ("first", "second")
        for quality, kept in (("good", 2), ("bad", 0))
        for number in range(6)
    ]
    pairs = make_pairs(answers, Mode.GATED, PairConfig(per_task=12), 0)
    assert Counter(pair.task_id for pair in pairs) == {"first": 12, "second": 12}
    assert set(Counter((pair.task_id, pair.chosen) for pair in pairs).values()) == {2}
    assert set(Counter((pair.task_id, pair.wording) for pair in pairs).values()) == {6}
    assert len({(pair.task_id, pair.chosen, pair.rejected) for pair in pairs}) == 24


def test_pairs_depend_on_the_seed_alone(judged: MakeJudged) -> None:
    answers = [judged(f"answer {number}", kept=number % 3) for number in range(20)]
    config = PairConfig(per_task=5)
    assert make_pairs(answers, Mode.GATED, config, 1) == make_pairs(answers, Mode.GATED, config, 1)
    assert make_pairs(answers, Mode.GATED, config, 1) != make_pairs(answers, Mode.GATED, config, 2)


def test_shuffled_verdicts_choose_worse_answers_as_well(judged: MakeJudged) -> None:
    answers = [judged(f"{kept} {number}", kept=kept) for kept in (0, 2) for number in range(20)]
    pairs = make_pairs(answers, Mode.GATED, PairConfig(per_task=200, shuffle=True), 0)
    good = sum(pair.chosen.startswith("2") for pair in pairs)
    assert 60 < good < 140


def test_the_faults_of_rejected_answers_take_turns(judged: MakeJudged) -> None:
    answers = [judged(f"good {number}") for number in range(6)]
    answers += [judged(f"broken {number}", kept=1) for number in range(40)]
    answers += [judged(f"still {number}", gates=False) for number in range(5)]
    answers += [judged(f"unreadable {number}", kept=0, invalid=f"reason {number}") for number in range(5)]
    pairs = make_pairs(answers, Mode.GATED, PairConfig(per_task=30), 0)
    assert Counter(pair.rejected.split()[0] for pair in pairs) == {"broken": 10, "still": 10, "unreadable": 10}
