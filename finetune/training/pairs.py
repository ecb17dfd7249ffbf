"""Preference pairs (Yang et al., MLSys 2024, section 4.3): of two responses to one task, which is better?"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from ...specs.files.record import Record
from ...verify.records.verdict import Mode
from ..answers.scored_answer import ScoredAnswer
from ..run.config import PairConfig
from ..run.seeds import derived_seed


class Pair(Record):
    """Two responses to a task, asked in a wording, of which the first ranks higher. `round` is the one it trains."""

    round: int
    task_id: str
    wording: str
    chosen: str
    rejected: str
    chosen_rank: tuple[float, ...]
    rejected_rank: tuple[float, ...]


def make_pairs(
    answers: Sequence[ScoredAnswer], mode: Mode, config: PairConfig, seed: int, round_number: int
) -> list[Pair]:
    """Return the pairs of all tasks: another rank, at least the margin apart, equivalent controllers merged.

    At most `config.per_task` of a task, drawn at random among its best chosen responses; the wordings of the task take
    turns, and of equivalent responses any text may speak. None of a task whose responses all rank alike.
    """
    by_task: dict[str, list[ScoredAnswer]] = {}
    for answer in answers:
        by_task.setdefault(answer.sample.task_id, []).append(answer)
    pairs: list[Pair] = []
    for task_id, of_task in by_task.items():
        # The seed is nobody's secret: it makes the choice of pairs repeatable.
        rng = random.Random(derived_seed(seed, "pairs", task_id))  # noqa: S311
        if config.shuffle:
            of_task = _shuffled(of_task, rng)
        pairs += _of_task(of_task, mode, config, rng, round_number)
    return pairs


def _of_task(
    answers: Sequence[ScoredAnswer], mode: Mode, config: PairConfig, rng: random.Random, round_number: int
) -> list[Pair]:
    wordings = list(dict.fromkeys(answer.sample.wording for answer in answers))
    alike: dict[tuple[str, tuple[float, ...]], list[ScoredAnswer]] = {}
    for answer in answers:
        alike.setdefault((answer.behaviour, answer.verdict.rank), []).append(answer)
    ordered = list(_ordered([group[0] for group in alike.values()], mode, config))
    rng.shuffle(ordered)

    def text(answer: ScoredAnswer) -> str:
        """Return one of the texts that say the same."""
        return rng.choice(alike[answer.behaviour, answer.verdict.rank]).sample.text

    return [
        Pair(
            round=round_number,
            task_id=better.sample.task_id,
            wording=wordings[position % len(wordings)],
            chosen=text(better),
            rejected=text(worse),
            chosen_rank=better.verdict.rank,
            rejected_rank=worse.verdict.rank,
        )
        for position, (better, worse) in enumerate(_spread(ordered, config.per_task))
    ]


def _ordered(
    distinct: Sequence[ScoredAnswer], mode: Mode, config: PairConfig
) -> Iterator[tuple[ScoredAnswer, ScoredAnswer]]:
    """Yield the admissible pairs, the better one first."""
    # There are many pairs of few answers, so what a verdict amounts to is worked out once.
    found = (
        (answer, answer.verdict.raw_kept if mode is Mode.PAPER else answer.verdict.compliance) for answer in distinct
    )
    # Where no rule applies nothing is better than anything else.
    standing = [(answer.verdict.rank, amount, answer) for answer, amount in found if amount is not None]
    least_chosen = 0 if mode is Mode.PAPER else config.min_chosen
    for left, right in combinations(standing, 2):
        better, worse = (left, right) if left[0] > right[0] else (right, left)
        is_far = better[0] != worse[0] and better[1] - worse[1] >= config.margin
        if is_far and better[1] >= least_chosen and better[2].verdict.valid:
            yield better[2], worse[2]


def _spread(ordered: Sequence[tuple[ScoredAnswer, ScoredAnswer]], most: int) -> list[tuple[ScoredAnswer, ScoredAnswer]]:
    """Return at most so many pairs in which every chosen response occurs about equally often, the best ones first.

    What is wrong with the rejected ones takes turns: unreadable, a failed gate, a broken rule. Otherwise the rarest
    fault would hardly be seen, and training makes it more frequent.
    """
    by_chosen: dict[int, list[tuple[ScoredAnswer, ScoredAnswer]]] = {}
    for pair in ordered:
        by_chosen.setdefault(id(pair[0]), []).append(pair)
    # A task has many more pairs than places. A turn takes one pair of each chosen response, so that a model sees many
    # good answers instead of a few of them again and again. Often the places are filled after little more than one
    # turn: if all queues began with the same fault, that turn would show no other. So each begins with the next one.
    best_first = sorted(by_chosen.values(), key=lambda queue: queue[0][0].verdict.rank, reverse=True)
    queues = [_alternating(queue, first) for first, queue in enumerate(best_first)]
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)][:most]


def _alternating(
    queue: Sequence[tuple[ScoredAnswer, ScoredAnswer]], first: int
) -> list[tuple[ScoredAnswer, ScoredAnswer]]:
    """Return pairs so that the faults of the rejected ones take turns, beginning with another one for each `first`."""
    by_fault: dict[tuple[bool, bool], list[tuple[ScoredAnswer, ScoredAnswer]]] = {}
    for pair in queue:
        fault = (not pair[1].verdict.valid, pair[1].verdict.gates_kept)
        by_fault.setdefault(fault, []).append(pair)
    faults = [by_fault[fault] for fault in sorted(by_fault)]
    start = first % len(faults)
    faults = faults[start:] + faults[:start]
    return [group[turn] for turn in range(max(map(len, faults))) for group in faults if turn < len(group)]


def _shuffled(answers: Sequence[ScoredAnswer], rng: random.Random) -> list[ScoredAnswer]:
    """Return the responses with each other's verdicts, but each with its own behaviour: a control experiment."""
    others = list(answers)
    rng.shuffle(others)
    return [
        replace(other, sample=answer.sample, behaviour=answer.behaviour)
        for answer, other in zip(answers, others, strict=True)
    ]
