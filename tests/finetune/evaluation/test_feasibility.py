from dataclasses import replace

import pytest

from verilora.finetune.evaluation.feasibility import check_tasks
from verilora.specs.domain import Domain
from verilora.specs.files.errors import InputError


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


def test_a_domain_without_a_task_to_train_on_is_refused(greenhouse: Domain) -> None:
    tasks = {name: task for name, task in greenhouse.tasks.items() if task.split == "test"}
    with pytest.raises(InputError, match=r"tasks\.yaml: expected a task of the train split, got none"):
        check_tasks(replace(greenhouse, tasks=tasks), greenhouse.rulebook(), print)
