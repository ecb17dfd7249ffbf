"""Verdicts against the simulator: is a rule that is called kept ever seen broken?

    python benchmarks/agreement.py [--controllers N] [--episodes N] [--markdown FILE]

Controllers of varied quality (guarded by all that the task turns on or by a part, checking too early, random, just
going, standing still) are judged in the learned worlds that ship, then driven in episodes whose seeds were not learned
from. Printed for each: what the verdict says of the rules of `default`, which rules episodes broke, and which of those
were called kept.
"""

import argparse
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from verilora.specs.domain import Domain, load_domain
from verilora.specs.task import Task
from verilora.synth.controllers.controller import Reading
from verilora.synth.controllers.steps import InvalidController
from verilora.verify.audits.audit import FIRST_SEED, audit_episodes, goal_monitor, run_controller
from verilora.verify.checking.compiled import Compiler
from verilora.verify.checking.trace import TraceChecker
from verilora.verify.records.interval import upper_bound
from verilora.verify.records.verdict import Status
from verilora.verify.verdicts.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One controller: its verdict and what the episodes showed. `refuted` were called kept and seen broken."""

    kind: str
    task_id: str
    compliance: float
    satisfied: int
    observed: int
    violated: int
    seen_violated: tuple[str, ...]
    refuted: tuple[str, ...]
    leaving_bound: float


def controllers(domain: Domain, number: int) -> Iterator[tuple[str, str, Task]]:
    """Yield kind, steps and task of controllers, in turn from all tasks."""
    tasks = list(domain.tasks.values())
    for seed in range(number):
        random_ = random.Random(seed)
        task = tasks[(7 * seed) % len(tasks)]
        words = domain.vocabulary.english
        (action,) = (words[name] for name in task.goal.propositions - {domain.vocabulary.idle})
        guard = " and ".join(_clear(name, words[name]) for name in task.relevant)
        kind = ("guarded", "stale", "partly guarded", "random", "just going", "standing still")[seed % 6]
        some = random_.choice(task.relevant)
        steps = {
            "guarded": f"1. wait until {guard} then {action}\n2. stop",
            "stale": f"1. wait until {guard}\n2. {action}\n3. stop",
            "partly guarded": f"1. if {_clear(some, words[some])}, {action}, otherwise stay\n2. stop",
            "random": _random_steps(random_, domain, task),
            "just going": f"1. {action}\n2. {action}",
            "standing still": "1. stop\n2. stop",
        }[kind]
        yield kind, steps, task


def _clear(name: str, phrase: str) -> str:
    return phrase if name.startswith("green") else f"no {phrase}"


def _random_steps(random_: random.Random, domain: Domain, task: Task) -> str:
    words = domain.vocabulary.english
    actions = [words[name] for name in domain.vocabulary.action_ids]
    steps = [f"observe {words[random_.choice(task.relevant)]}"]
    for _ in range(random_.randint(1, 4)):
        condition = f"{random_.choice(('', 'no '))}{words[random_.choice(task.relevant)]}"
        steps.append(f"if {condition}, {random_.choice(actions)}, otherwise {random_.choice([*actions, 'stay'])}")
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))


def compare(domain: Domain, number: int, num_episodes: int) -> list[Row]:
    """Return a row for each controller."""
    rulebook = domain.rulebook()
    verifier = Verifier(domain, rulebook)
    compiler = Compiler()
    checker = TraceChecker({rule.id: rule.formula for rule in rulebook.rules}, compiler)
    processes = min(os.cpu_count() or 1, num_episodes)
    rows: list[Row] = []
    for kind, steps, task in controllers(domain, number):
        verdict = verifier.verify_text(steps, task)
        if not verdict.valid:
            raise InvalidController(verdict.invalid)
        first = FIRST_SEED + num_episodes * len(rows)
        seeds = range(first, first + num_episodes)
        episodes = run_controller(steps, task.world, seeds, domain.vocabulary, Reading(), processes)
        goal = goal_monitor(task.goal, compiler)
        audit = audit_episodes(task.world, episodes, rulebook, checker, goal, domain.vocabulary.idle)
        seen = tuple(rule.rule_id for rule in audit.rules if rule.violated)
        said = {rule.rule_id: rule.status for rule in verdict.rules}
        learned = domain.learned_world(task)
        rows.append(
            Row(
                kind=kind,
                task_id=task.id,
                compliance=verdict.compliance or 0.0,
                satisfied=sum(status is Status.SATISFIED for status in said.values()),
                observed=sum(status is Status.OBSERVED for status in said.values()),
                violated=sum(status is Status.VIOLATED for status in said.values()),
                seen_violated=seen,
                refuted=tuple(name for name in seen if said[name].is_kept),
                leaving_bound=learned.coverage["leaving_bound"] if learned else 1.0,
            )
        )
    return rows


def markdown(rows: list[Row], num_episodes: int) -> str:
    """Return the rows as a page."""
    refuted = sum(bool(row.refuted) for row in rows)
    total = num_episodes * len(rows)
    leaving = max(row.leaving_bound for row in rows)
    lines = [
        "# Verdicts against the simulator",
        "",
        f"{len(rows)} controllers of varied quality, judged in the learned worlds that ship, then driven in "
        f"{num_episodes} episodes each with seeds that nothing was learned from "
        "(`python benchmarks/agreement.py --markdown docs/agreement.md`).",
        "",
        f"**{refuted} of {len(rows)} controllers broke a rule that the verdict called kept**, in {total} episodes. "
        f"Under the exploration that worlds were learned from, at most {leaving:.1%} of a world's episodes leave what "
        f"was learned (95 % bound from held-out episodes, the worst world); none of {total} is at most "
        f"{upper_bound(0, total):.2%}.",
        "",
        "A rule that the verdict calls violated need not break in so few episodes: a verdict speaks of all runs, "
        "and of liveness a finite episode never shows a violation. Refuted: called kept, yet seen violated.",
        "",
        "| controller | task | compliance | kept | observed only | violated | seen violated | refuted |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.kind} | {row.task_id} | {row.compliance:.0%} | {row.satisfied} | {row.observed} | {row.violated} | "
        f"{', '.join(row.seen_violated) or '-'} | {', '.join(row.refuted) or '-'} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--controllers", type=int, default=36)
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    arguments = parser.parse_args()
    rows = compare(load_domain("driving"), arguments.controllers, arguments.episodes)
    table = Table("kind", "task", "compliance", "kept", "observed", "violated", "seen violated", "refuted")
    for row in rows:
        counts = (f"{row.compliance:.0%}", str(row.satisfied), str(row.observed), str(row.violated))
        table.add_row(row.kind, row.task_id, *counts, " ".join(row.seen_violated), " ".join(row.refuted))
    Console().print(table)
    print(f"controllers that broke a rule called kept: {sum(bool(row.refuted) for row in rows)} of {len(rows)}")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(rows, arguments.episodes))


if __name__ == "__main__":
    main()
