"""Preference pairs (Yang et al., MLSys 2024, section 4.3): of two responses to one task, which is better?"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ...verify.records.verdict import Mode
from ..answers.samples import derived_seed
from ..answers.verdict_cache import Judged
from ..run.config import PairConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two responses to a task, asked in a wording, of which the first ranks higher."""

    task_id: str
    wording: str
    chosen: str
    rejected: str
    chosen_rank: tuple[float, ...]
    rejected_rank: tuple[float, ...]


def make_pairs(responses: Sequence[Judged], mode: Mode, config: PairConfig, seed: int) -> list[Pair]:
    """Return the pairs of all tasks: another rank, at least the margin apart, equivalent controllers merged.

    At most `config.per_task` of a task, drawn at random among its best chosen responses; the wordings of the task take
    turns, and of equivalent responses any text may speak. None of a task whose responses all rank alike.
    """
    by_task: dict[str, list[Judged]] = {}
    for response in responses:
        by_task.setdefault(response.sample.task_id, []).append(response)
    pairs: list[Pair] = []
    for task_id, judged in by_task.items():
        # The seed is nobody's secret: it makes the choice of pairs repeatable.
        rng = random.Random(derived_seed(seed, "pairs", task_id))  # noqa: S311
        if config.shuffle:
            judged = _shuffled(judged, rng)
        pairs += _of_task(judged, mode, config, rng)
    return pairs


def _of_task(judged: Sequence[Judged], mode: Mode, config: PairConfig, rng: random.Random) -> list[Pair]:
    wordings = list(dict.fromkeys(response.sample.wording for response in judged))
    alike: dict[tuple[str, tuple[float, ...]], list[Judged]] = {}
    for entry in judged:
        alike.setdefault((entry.judgement.behaviour, entry.judgement.rank), []).append(entry)
    ordered = list(_ordered([group[0] for group in alike.values()], mode, config))
    rng.shuffle(ordered)

    def text(entry: Judged) -> str:
        """Return one of the texts that say the same."""
        return rng.choice(alike[entry.judgement.behaviour, entry.judgement.rank]).sample.text

    return [
        Pair(
            task_id=better.sample.task_id,
            wording=wordings[position % len(wordings)],
            chosen=text(better),
            rejected=text(worse),
            chosen_rank=better.judgement.rank,
            rejected_rank=worse.judgement.rank,
        )
        for position, (better, worse) in enumerate(_spread(ordered, config.per_task))
    ]


def _ordered(distinct: Sequence[Judged], mode: Mode, config: PairConfig) -> Iterator[tuple[Judged, Judged]]:
    """Yield the admissible pairs, the better one first."""
    for left, right in combinations(distinct, 2):
        better, worse = (left, right) if left.judgement.rank > right.judgement.rank else (right, left)
        if better.judgement.rank == worse.judgement.rank:
            continue
        if mode is Mode.PAPER:
            is_far = better.judgement.raw_kept - worse.judgement.raw_kept >= config.margin
        else:
            is_far = better.judgement.compliance - worse.judgement.compliance >= config.margin
            is_far &= better.judgement.compliance >= config.min_chosen
        if is_far and not better.judgement.invalid:
            yield better, worse


def _spread(ordered: Sequence[tuple[Judged, Judged]], most: int) -> list[tuple[Judged, Judged]]:
    """Return at most so many pairs in which every chosen response occurs about equally often, the best ones first.

    What is wrong with the rejected ones takes turns: unreadable, a failed gate, a broken rule. Otherwise the rarest
    fault would hardly be seen, and training makes it more frequent.
    """
    by_chosen: dict[int, list[tuple[Judged, Judged]]] = {}
    for pair in ordered:
        by_chosen.setdefault(id(pair[0]), []).append(pair)
    best_first = sorted(by_chosen.values(), key=lambda queue: queue[0][0].judgement.rank, reverse=True)
    queues = [_alternating(queue, first) for first, queue in enumerate(best_first)]
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)][:most]


def _alternating(queue: Sequence[tuple[Judged, Judged]], first: int) -> list[tuple[Judged, Judged]]:
    """Return pairs so that the faults of the rejected ones take turns, beginning with another one for each `first`."""
    by_fault: dict[tuple[bool, bool], list[tuple[Judged, Judged]]] = {}
    for pair in queue:
        fault = (bool(pair[1].judgement.invalid), pair[1].judgement.gates_kept)
        by_fault.setdefault(fault, []).append(pair)
    faults = [by_fault[fault] for fault in sorted(by_fault)]
    start = first % len(faults)
    faults = faults[start:] + faults[:start]
    return [group[turn] for turn in range(max(map(len, faults))) for group in faults if turn < len(group)]


def _shuffled(judged: Sequence[Judged], rng: random.Random) -> list[Judged]:
    """Return the responses with each other's judgements, but each with its own behaviour: a control experiment."""
    others = [entry.judgement for entry in judged]
    rng.shuffle(others)
    return [
        Judged(entry.sample, replace(other, behaviour=entry.judgement.behaviour))
        for entry, other in zip(judged, others, strict=True)
    ]
