"""The first stage: can every task be solved under the rulebook at all? Nothing is sampled if not."""

from collections.abc import Callable

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ...verify.checking.check import Runs
from ...verify.rulebooks.lint import Linter
from ...verify.rulebooks.reach import Reach

TIME_LIMIT = 30.0


def check_tasks(domain: Domain, rulebook: Rulebook, say: Callable[[str], None]) -> None:
    """Say for each combination of world and goal whether it can be solved; raises InputError if one cannot be.

    Also if there is no task to train on.
    """
    if all(task.split != "train" for task in domain.tasks.values()):
        raise InputError(domain.folder / "tasks.yaml", "expected a task of the train split, got none")
    linter = Linter(domain, rulebook, TIME_LIMIT)
    prepared = {name: linter.prepare(name) for name in dict.fromkeys(task.world for task in domain.tasks.values())}
    asked = {task.world for task in domain.tasks.values() if task.split == "train"}
    if not any(rule.applicable for world in asked for rule in prepared[world].rules):
        place = domain.folder / "rulebooks" / f"{rulebook.name}.yaml"
        raise InputError(place, "none of its rules applies to the world of any task to train on, so nothing is judged")
    questions = list(dict.fromkeys((task.world, task.goal) for task in domain.tasks.values()))
    unsolved = []
    for world, goal in questions:
        answer = linter.reach(prepared[world], Runs.FAIR, goal)
        if not answer.realizable:
            unsolved.append(f"{world}, {goal}: {_problem(answer)}")
    unjudged = [rule.rule.id for rule in next(iter(prepared.values())).rules if not rule.compiled]
    if unsolved or unjudged:
        parts = [*unsolved, *(f"{rule_id} could not be translated" for rule_id in unjudged)]
        raise InputError(
            domain.folder / "rulebooks" / f"{rulebook.name}.yaml",
            f"not fit for training, see `verilora rules`: {'; '.join(parts)}",
        )
    say(f"all {len(questions)} combinations of world and goal can be solved under the rulebook {rulebook.name}")


def _problem(answer: Reach) -> str:
    return answer.problem or "no controller passes the gates and keeps all applicable rules"
