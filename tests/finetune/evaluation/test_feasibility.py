from dataclasses import replace

import pytest

from verilora.finetune.evaluation.feasibility import check_tasks
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError
from verilora.specs.logic import Formula
from verilora.specs.rulebook import Rule, Rulebook
from verilora.synth.controllers.controller import Ending
from verilora.verify.checking.check import Runs
from verilora.verify.rulebooks.lint import Linter
from verilora.verify.rulebooks.reach import Reach
from verilora.verify.verdicts.prepared_world import PreparedWorld


def test_tasks_that_can_be_solved_are_counted(greenhouse: Domain) -> None:
    said: list[str] = []
    check_tasks(greenhouse, greenhouse.rulebook(), said.append)
    [line] = said
    assert "combinations of world and goal can be solved under the rulebook default" in line


def test_a_book_of_which_nothing_applies_is_refused(greenhouse: Domain) -> None:
    book = greenhouse.rulebook()
    lone = replace(book, rules=tuple(rule for rule in book.rules if rule.id == "spare_pump"))
    tasks = {name: replace(task, world="seedling_bench") for name, task in greenhouse.tasks.items()}
    with pytest.raises(InputError, match=r"default\.yaml: none of its rules applies to the world of any task"):
        check_tasks(replace(greenhouse, tasks=tasks), lone, print)


def extended(domain: Domain, *formulas: str) -> Rulebook:
    rules = (Rule(id=f"added{number}", formula=Formula(text), english="") for number, text in enumerate(formulas))
    return domain.rulebook().extended("extended", *rules)


def test_a_book_that_only_fairness_refutes_is_trained_on(driving: Domain) -> None:
    said: list[str] = []
    check_tasks(driving, extended(driving, "G(pedestrian_in_front -> X !go_straight)"), said.append)
    assert [line.split(" combinations")[0] for line in said] == ["all 15"]


def test_rules_that_clash_are_refused_by_name_unless_runs_may_end(greenhouse: Domain) -> None:
    book = extended(greenhouse, "G !open_valve")
    with pytest.raises(InputError, match=r"no controller passes the gates and keeps quench_thirst, added0"):
        check_tasks(greenhouse, book, print)
    said: list[str] = []
    check_tasks(greenhouse, book, said.append, Ending.ONE_SHOT)
    assert any("keeps quench_thirst, added0, in patrol; a run that ends may" in line for line in said)
    assert "asked for patrol" in said[-1]


def test_what_is_not_found_out_in_time_refuses_nothing(greenhouse: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    def unanswered(linter: Linter, prepared: PreparedWorld, runs: Runs, goal: Formula | None) -> Reach:
        return Reach(runs=runs, goal=goal.text if goal else None, problem="no result within 5 s")

    monkeypatch.setattr(Linter, "reach", unanswered)
    said: list[str] = []
    check_tasks(greenhouse, greenhouse.rulebook(), said.append)
    assert "not found out whether it can be solved: no result within 5 s" in said[0]
    assert said[-1].startswith("0 of ")


def test_a_domain_without_a_task_to_train_on_is_refused(greenhouse: Domain) -> None:
    tasks = {name: task for name, task in greenhouse.tasks.items() if task.split == "test"}
    with pytest.raises(InputError, match=r"tasks\.yaml: expected a task of the train split, got none"):
        check_tasks(replace(greenhouse, tasks=tasks), greenhouse.rulebook(), print)
