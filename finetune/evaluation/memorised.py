"""Memorised answers: what a table reaches that looks up a task's goal and world, without any model.

A model has learned to read a task only if it beats what needs no reading.
"""

from collections.abc import Callable, Sequence

from ...specs.domain import Domain
from ...specs.task import Split, Task
from ...synth.controllers.steps import Act, print_steps
from ...verify.records.evaluation import Memorised
from ..answers.responder import Responder
from ..answers.samples import Sample
from ..answers.scored_answer import scored
from ..answers.verdict_cache import VerdictCache
from .baselines import baseline
from .guards import GuardSearch

Answers = dict[str, str]
"""The answer to each task, by its id."""
Lookup = Callable[[Sequence[Task]], str]


def memorised(responder: Responder, splits: Sequence[Split]) -> dict[str, Memorised]:
    """Return what each table of answers reaches on the prompts of some splits.

    Answers are found by the verdicts to rank by, and what they are worth is what is reported.
    """
    search = GuardSearch(responder.ranking.verifier, responder.config.num_processes)
    with responder.times.stage("memorised answers"):
        found = tables(responder.domain, search)
        return {
            name: _reached(answers, responder.domain, responder.verdicts, splits) for name, answers in found.items()
        }


def tables(domain: Domain, search: GuardSearch) -> dict[str, Answers]:
    """Return the tables of answers, the least one first.

    A guard per goal is found on the tasks to train on, as an adapter is; without any of a goal its answer is blind. One
    per world and goal, and the reference, are found where they are asked for.
    """
    tasks = list(domain.tasks.values())
    idle = print_steps((Act(domain.vocabulary.idle),) * 2, domain.vocabulary)
    trained = {task.goal.text for task in tasks if task.split == "train"}

    def per_goal(group: Sequence[Task]) -> str:
        known = [task for task in group if task.split == "train"]
        return search.guarded(known) if group[0].goal.text in trained else search.blind(group)

    return {
        "idle": {task.id: idle for task in tasks},
        "blind": _answers(tasks, lambda task: task.goal.text, search.blind),
        "guard_per_goal": _answers(tasks, lambda task: task.goal.text, per_goal),
        "guard_per_combination": _answers(tasks, _combination, search.guarded),
        "reference": _answers(tasks, _combination, search.reference),
    }


def _combination(task: Task) -> str:
    return f"{task.world}, {task.goal.text}"


def _answers(tasks: Sequence[Task], key: Callable[[Task], str], lookup: Lookup) -> Answers:
    """Return one answer for all tasks that a table cannot tell apart."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(key(task), []).append(task)
    found = {name: lookup(group) for name, group in groups.items()}
    return {task.id: found[key(task)] for task in tasks}


def _reached(answers: Answers, domain: Domain, verdicts: VerdictCache, splits: Sequence[Split]) -> Memorised:
    reached = {}
    for split in splits:
        samples = [
            Sample(
                part="memorised",
                batch=0,
                task_id=task.id,
                wording=wording,
                text=answers[task.id],
                num_prompt_tokens=0,
                num_tokens=0,
            )
            for task, wording in domain.prompts((split,))
        ]
        reached[split] = baseline(scored(samples, domain, verdicts), 1, 0, split)
    return Memorised(answers=answers, splits=reached)
