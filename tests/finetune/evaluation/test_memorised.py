"""Tables of memorised answers: what each of them can tell apart."""

import pytest

from verilora.finetune.evaluation.guards import GuardSearch
from verilora.finetune.evaluation.memorised import tables
from verilora.specs.domain import Domain
from verilora.verify.reports.comparison import TABLES
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier


@pytest.fixture(scope="module")
def found(driving: Domain) -> dict[str, dict[str, str]]:
    small = {task.id: task for task in driving.tasks.values() if task.world in ("roundabout", "two_way_stop")}
    domain = Domain(**{**{name: getattr(driving, name) for name in driving.__slots__}, "tasks": small})
    search = GuardSearch(Verifier(domain, driving.rulebook(), Settings(witnesses=False)))
    return tables(domain, search)


def test_every_table_answers_every_task_and_is_told_in_reports(found: dict[str, dict[str, str]]) -> None:
    assert list(found) == list(TABLES)
    assert len({tuple(answers) for answers in found.values()}) == 1


def test_a_table_tells_apart_what_it_looks_up(found: dict[str, dict[str, str]], driving: Domain) -> None:
    def keys(name: str) -> dict[str, set[str]]:
        by_answer: dict[str, set[str]] = {}
        for task_id, text in found[name].items():
            by_answer.setdefault(text, set()).add(driving.task(task_id).goal.text)
        return by_answer

    assert len(keys("idle")) == 1
    for name in ("blind", "guard_per_goal"):
        assert sorted(map(len, keys(name).values())) == [1, 1, 1]
    for name in ("guard_per_combination", "reference"):
        assert all(len(goals) == 1 for goals in keys(name).values())


def test_a_guard_is_worth_more_than_none(found: dict[str, dict[str, str]], driving: Domain) -> None:
    verifier = Verifier(driving, driving.rulebook(), Settings(witnesses=False))

    def total(name: str) -> float:
        verdicts = (verifier.verify_text(text, driving.task(task)) for task, text in found[name].items())
        return sum(verdict.compliance or 0.0 for verdict in verdicts)

    assert 0 == total("idle") < total("blind") < total("guard_per_goal") <= total("guard_per_combination")
