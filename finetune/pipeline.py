"""The main job. Its first stage exists: before anything is trained, can the tasks be solved under the rulebook?"""

import sys

from ..specs.domain import Domain
from ..specs.rulebook import Rulebook
from ..verify.check import Paths
from ..verify.lint import Linter
from ..verify.reach import Reach
from ..verify.render import console

MISSING = ("samples", "verdicts", "preference pairs", "DPO", "evaluation", "report")


def run(domain: Domain, rulebook: Rulebook, time_limit: float) -> int:
    """Check every task and say what of the job is missing; return 0, or 1 if a task cannot be solved or judged."""
    out = console()
    linter = Linter(domain, rulebook, time_limit)
    prepared = {name: linter.prepare(name) for name in dict.fromkeys(task.world for task in domain.tasks.values())}
    questions = dict.fromkeys((task.world, task.goal) for task in domain.tasks.values())
    out.print(f"Can the tasks of {domain.name} be solved under the rulebook {rulebook.name}?")
    reaches = []
    for number, (world, goal) in enumerate(questions, start=1):
        reaches.append(linter.reach(prepared[world], Paths.FAIR, goal))
        out.print(f"  [{number}/{len(questions)}] {world}, {goal}: {_answer(reaches[-1])}")
    unsolvable = sum(reach.realizable is False for reach in reaches)
    unknown = sum(reach.realizable is None for reach in reaches)
    unjudged = [rule.rule.id for rule in next(iter(prepared.values())).rules if not rule.compiled]
    if unsolvable or unknown or unjudged:
        print(
            f"error: of {len(questions)} combinations of world and goal {unsolvable} cannot be solved and {unknown} "
            f"got no answer; rules that could not be translated: {', '.join(unjudged) or 'none'}; see `verilora rules`",
            file=sys.stderr,
        )
        return 1
    out.print(f"Stages of the job that do not exist yet: {', '.join(MISSING)}. No adapter was trained.", style="yellow")
    return 0


def _answer(reach: Reach) -> str:
    if reach.problem:
        return f"unknown: {reach.problem}"
    if not reach.realizable:
        return "no controller passes the gates and keeps all applicable rules"
    controller = reach.controller or ""
    is_steps = controller.startswith("1.")
    return "yes, for example: " + (" / ".join(controller.splitlines()) if is_steps else f"{reach.num_states} states")
