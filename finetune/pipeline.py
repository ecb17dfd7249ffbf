"""The main job. Its first stage exists: before anything is trained, can the tasks be solved under the rulebook?"""

import sys

from ..specs.domain import Domain
from ..specs.rulebook import Rulebook
from ..verify.check import Paths
from ..verify.lint import Linter, Reach
from ..verify.render import console

MISSING = ("samples", "verdicts", "preference pairs", "DPO", "evaluation", "report")


def run(domain: Domain, rulebook: Rulebook) -> int:
    """Check every task, say what of the job is missing, and return 1 if some task cannot be solved, else 0."""
    out = console()
    linter = Linter(domain, rulebook)
    benches = {name: linter.bench(name) for name in dict.fromkeys(task.world for task in domain.tasks.values())}
    questions = dict.fromkeys((task.world, task.goal) for task in domain.tasks.values())
    unsolved = 0
    out.print(f"Can the tasks of {domain.name} be solved under the rulebook {rulebook.name}?")
    for number, (world, goal) in enumerate(questions, start=1):
        reach = linter.reach(benches[world], Paths.FAIR, goal)
        out.print(f"  [{number}/{len(questions)}] {world}, {goal}: {_answer(reach)}", highlight=False)
        unsolved += not reach.realizable
    if unsolved:
        print(
            f"error: {unsolved} of {len(questions)} combinations cannot be solved; see `verilora rules`",
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
    return "yes, for example: " + " / ".join((reach.steps or "").splitlines())
