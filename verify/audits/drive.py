"""Driving: one controller in the simulated world of a task, and what became of its episodes."""

from collections.abc import Callable
from dataclasses import replace

from ...envs.scenario import SCENARIOS
from ...specs.domain import DEFAULT_RULEBOOK, Domain
from ...specs.files.errors import InputError, expected_one_of
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...synth.controllers.controller import Reading
from ..checking.compiled import Compiler
from ..checking.trace import TraceChecker
from .audit import FIRST_SEED, Audit, audit_episodes, goal_monitor, run_controller

_READ_AS_WRITTEN = Reading()


def drive(
    text: str,
    domain: Domain,
    task: str,
    *,
    num_episodes: int = 100,
    rulebook: str | Rulebook = DEFAULT_RULEBOOK,
    reading: Reading = _READ_AS_WRITTEN,
    num_processes: int = 1,
    progress: Callable[[int], None] = lambda num_done: None,
) -> Audit:
    """Return what became of the episodes of a controller, numbered steps or HOA, in the world of the task with this id.

    The rules that can be judged there are counted, and its goal. With several processes the episodes are the same and
    come sooner, but a script must then stand under `if __name__ == "__main__":`, because each process imports it.
    `progress` takes how many episodes are done. Raises InputError, and InvalidController for what is no controller.
    """
    chosen = domain.task(task)
    check_simulated(f"{domain.folder / 'tasks.yaml'}: {task}", chosen)
    if num_episodes < 1:
        raise ValueError(f"num_episodes: expected at least 1, got {num_episodes}")
    book = judged_rules(domain, domain.rulebook(rulebook), chosen)
    compiler = Compiler()
    checker = TraceChecker({rule.id: rule.formula for rule in book.rules}, compiler)
    goal = goal_monitor(chosen.goal, compiler)
    seeds = range(FIRST_SEED, FIRST_SEED + num_episodes)
    processes = min(num_processes, num_episodes)
    episodes = run_controller(text, chosen.world, seeds, domain.vocabulary, reading, processes, progress)
    return audit_episodes(chosen.world, episodes, book, checker, goal, domain.vocabulary.idle)


def check_simulated(place: str, task: Task) -> None:
    """Raise InputError that names a place if the world of a task cannot be simulated."""
    if task.world not in SCENARIOS:
        raise InputError(place, f"cannot be simulated: {expected_one_of(task.world, SCENARIOS)}")


def judged_rules(domain: Domain, rulebook: Rulebook, task: Task) -> Rulebook:
    """Return the rules that bind in the world of a task and of which all that they presume exists there."""
    world = domain.world(task.world)
    exists = {*world.free, *world.constant}
    judged = (rule for rule in rulebook.rules if rule.binds_in(task.world, exists.__contains__))
    return replace(rulebook, rules=tuple(judged))
