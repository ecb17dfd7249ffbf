"""The first stage: can every task be solved under the rulebook at all? Nothing is sampled if not."""

from collections.abc import Callable

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.rulebook import Rulebook
from ...synth.controllers.controller import Ending
from ...verify.checking.check import Runs
from ...verify.rulebooks.lint import Linter
from ...verify.rulebooks.reach import Reach


def check_tasks(domain: Domain, rulebook: Rulebook, say: Callable[[str], None], ending: Ending = Ending.PATROL) -> None:
    """Say how many combinations of world and goal can be solved; raises InputError if one certainly cannot be.

    That is if no controller passes the gates and keeps all applicable rules almost surely. It is asked for patrol. What
    can be solved there can be solved by runs that may end; what cannot is not refused if they may. Nor is what was not
    found out in time. Raises InputError also if there is no task to train on, or a rule cannot be judged.
    """
    if all(task.split != "train" for task in domain.tasks.values()):
        raise InputError(domain.folder / "tasks.yaml", "expected a task of the train split, got none")
    linter = Linter(domain, rulebook)
    prepared = {name: linter.prepare(name) for name in dict.fromkeys(task.world for task in domain.tasks.values())}
    asked = {task.world for task in domain.tasks.values() if task.split == "train"}
    if not any(rule.applicable for world in asked for rule in prepared[world].rules):
        place = domain.folder / "rulebooks" / f"{rulebook.name}.yaml"
        raise InputError(place, "none of its rules applies to the world of any task to train on, so nothing is judged")
    questions = list(dict.fromkeys((task.world, task.goal) for task in domain.tasks.values()))
    answers = [(world, linter.reach(prepared[world], Runs.CHAIN, goal)) for world, goal in questions]
    unsolved = [f"{world}, {reach.goal}: {_problem(reach)}" for world, reach in answers if reach.realizable is False]
    unjudged = [rule.rule.id for rule in next(iter(prepared.values())).rules if not rule.compiled]
    refused = unsolved if ending is Ending.PATROL else []
    if refused or unjudged:
        parts = [*refused, *(f"{rule_id} could not be translated" for rule_id in unjudged)]
        raise InputError(
            domain.folder / "rulebooks" / f"{rulebook.name}.yaml",
            f"not fit for training, see `verilora rules`: {'; '.join(parts)}",
        )
    for problem in unsolved:
        say(f"{problem}, in patrol; a run that ends may")
    for world, reach in answers:
        if reach.realizable is None:
            say(f"{world}, {reach.goal}: not found out whether it can be solved: {reach.problem}")
    num_solved = sum(reach.realizable is True for _, reach in answers)
    num = f"all {len(answers)}" if num_solved == len(answers) else f"{num_solved} of {len(answers)}"
    say(f"{num} combinations of world and goal can be solved under the rulebook {rulebook.name} (asked for patrol)")


def _problem(reach: Reach) -> str:
    if reach.clash:
        return f"no controller passes the gates and keeps {', '.join(reach.clash)}"
    return "no controller passes the gates" + (" and keeps all applicable rules" if reach.problem else "")
