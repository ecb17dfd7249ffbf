"""How good the shipped corpora are. That of the driving domain was written for the paper's fifteen rules."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest

from verilora.specs.corpus_description import read_corpus
from verilora.specs.domain import Domain
from verilora.specs.task import Task
from verilora.synth.controllers.behaviour import behaviour_digest, never_moves
from verilora.synth.corpus.corpus import CorpusGenerator, Draw
from verilora.verify.records.verdict import Verdict
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

NUM_DRAWS = 2400


def mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


@pytest.fixture(scope="module")
def verifier(driving: Domain) -> Verifier:
    return Verifier(driving, driving.rulebook("paper"), Settings(witnesses=False))


@pytest.fixture(scope="module")
def tasks_like(driving: Domain) -> dict[str, list[Task]]:
    """The tasks in the world of a task that want the same manoeuvre."""
    tasks = driving.tasks.values()
    return {
        task.id: [other for other in tasks if (other.world, other.goal.text) == (task.world, task.goal.text)]
        for task in tasks
    }


@pytest.fixture(scope="module")
def judged(driving: Domain, verifier: Verifier, tasks_like: dict[str, list[Task]]) -> list[tuple[Draw, Task, Verdict]]:
    """Draws, each judged under one of the tasks that it could answer, taken in turn."""
    draws = CorpusGenerator(read_corpus(driving.folder / "corpus.yaml", driving), driving).chunk(11, 0, NUM_DRAWS)
    taken = [tasks_like[draw.task_id][number % len(tasks_like[draw.task_id])] for number, draw in enumerate(draws)]
    return [(draw, task, verifier.verify_text(draw.answer, task)) for draw, task in zip(draws, taken, strict=True)]


def test_answers_are_of_mixed_quality(judged: Sequence[tuple[Draw, Task, Verdict]]) -> None:
    verdicts = [verdict for _, _, verdict in judged]
    assert 0.39 <= mean(verdict.compliance for verdict in verdicts) <= 0.47
    assert 0.47 <= mean(verdict.gates_kept for verdict in verdicts) <= 0.55
    assert mean(not verdict.valid for verdict in verdicts) <= 0.05


def test_few_answers_never_move(judged: Sequence[tuple[Draw, Task, Verdict]], verifier: Verifier) -> None:
    parsed = [draw.answer for draw, _, verdict in judged if verdict.valid]
    assert 0.01 <= sum(never_moves(verifier.read(text)) for text in parsed) / len(judged) <= 0.15


def test_some_answers_to_every_task_keep_all_and_most_differ(
    judged: Sequence[tuple[Draw, Task, Verdict]], verifier: Verifier, driving: Domain
) -> None:
    by_task: dict[str, list[tuple[Draw, Verdict]]] = defaultdict(list)
    for draw, task, verdict in judged:
        by_task[task.id].append((draw, verdict))
    assert set(by_task) == set(driving.tasks)
    for task_id, rows in by_task.items():
        assert mean(verdict.all_kept for _, verdict in rows) >= 0.1, task_id
        machines = {behaviour_digest(verifier.read(draw.answer)) for draw, verdict in rows if verdict.valid}
        assert len(machines) >= len(rows) / 3, task_id


def test_the_best_answers_keep_every_rule_under_every_task(
    judged: Sequence[tuple[Draw, Task, Verdict]], verifier: Verifier, tasks_like: dict[str, list[Task]]
) -> None:
    """Some go on with another manoeuvre, which breaks no rule, but misses the goal."""
    best = [draw for draw, _, _ in judged if draw.quality == "high"]
    assert len(best) > 200
    for draw in best[:120]:
        for task in tasks_like[draw.task_id]:
            verdict = verifier.verify_text(draw.answer, task)
            assert all(rule.status.is_kept for rule in verdict.deciding), (task.id, draw.answer)
            assert verdict.all_kept is _makes_no_other_movement(verifier, draw.answer, task), (task.id, draw.answer)


def _makes_no_other_movement(verifier: Verifier, answer: str, task: Task) -> bool:
    edges = (edge for edges in verifier.read(answer).states for edge in edges)
    return {edge.action for edge in edges} <= task.goal.propositions


def test_a_rule_against_right_on_red_parts_the_right_turns_at_lights(
    judged: Sequence[tuple[Draw, Task, Verdict]], driving: Domain
) -> None:
    rule = driving.rulebook("no-right-on-red").rules[-1]
    stricter = Verifier(driving, driving.rulebook("paper").extended("stricter", rule), Settings(witnesses=False))
    right = [(draw, task, verdict) for draw, task, verdict in judged if task.id.startswith("right-at-traffic-light")]
    kept = [(draw, task) for draw, task, verdict in right if verdict.all_kept]
    still = [stricter.verify_text(draw.answer, task).all_kept for draw, task in kept]
    assert len(kept) >= 15
    assert 0.15 <= mean(still) <= 0.75


def test_the_greenhouse_is_of_mixed_quality_too(greenhouse: Domain) -> None:
    verifier = Verifier(greenhouse, greenhouse.rulebook(), Settings(witnesses=False))
    draws = CorpusGenerator(read_corpus(greenhouse.folder / "corpus.yaml", greenhouse), greenhouse).chunk(0, 0, 600)
    verdicts = [verifier.verify_text(draw.answer, greenhouse.tasks[draw.task_id]) for draw in draws]
    assert 0.5 <= mean(verdict.compliance for verdict in verdicts) <= 0.8
    assert mean(not verdict.valid for verdict in verdicts) <= 0.06
    assert all(verdict.all_kept for draw, verdict in zip(draws, verdicts, strict=True) if draw.quality == "high")
