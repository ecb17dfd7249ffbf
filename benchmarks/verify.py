"""Milliseconds to verify one controller: all rules, vacuity and gates, on one core.

    python benchmarks/verify.py [--repeat N] [--json FILE]

Rows: world kind x controller size, warm (the rulebook's automata are cached) and cold (a new verifier, which translates
everything first), without and with witnesses; then how it grows with free propositions, and 500 responses on one and on
two processes. Times compare only within one run; the load average stands beside them.
"""

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from verilora.specs.domain import Domain, load_domain
from verilora.specs.logic import Formula, spot
from verilora.specs.task import Task
from verilora.synth.controllers.controller import Controller
from verilora.verify.checking.compiled import Compiler
from verilora.verify.verdicts.batch import verify_batch
from verilora.verify.verdicts.prepared_world import prepare_world
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.world import WorldKind, explicit_world, world_of

NUM_STEPS = (2, 4, 6, 8, 10, 12)
NUM_CONTROLLERS = 40
TARGET_MS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was timed, and its 20th, 50th and 80th percentile in milliseconds for each controller."""

    what: str
    num_steps: int | str
    p20: float
    p50: float
    p80: float


def random_steps(random_: random.Random, num_steps: int, domain: Domain, propositions: tuple[str, ...]) -> str:
    """Return numbered steps as a language model might write them, half of them conditional."""
    words = domain.vocabulary.english
    actions = [words[name] for name in domain.vocabulary.action_ids]

    def condition() -> str:
        chosen = random_.sample(propositions, random_.randint(1, min(4, len(propositions))))
        return random_.choice((" and ", " or ")).join(random_.choice(("", "no ")) + words[name] for name in chosen)

    def step() -> str:
        kind = random_.randrange(4)
        if kind == 0:
            return f"observe {words[random_.choice(propositions)]}"
        if kind == 1:
            return f"wait until {condition()} then {random_.choice(actions)}"
        if kind == 2:
            return f"if {condition()}, {random_.choice(actions)}, otherwise {random_.choice([*actions, 'stay'])}"
        return f"if {condition()}, {random_.choice(actions)}"

    return "\n".join(f"{number}. {step()}" for number in range(1, num_steps + 1))


def time_each(work: Callable[[Any], object], items: list[Any], repeat: int) -> list[float]:
    """Return the milliseconds of each call, the best of `repeat` for each item."""

    def once(item: Any) -> float:
        start = time.perf_counter()
        work(item)
        return (time.perf_counter() - start) * 1000

    return [min(once(item) for _ in range(repeat)) for item in items]


def row(what: str, num_steps: int | str, milliseconds: list[float]) -> Row:
    p20, _, p50, _, p80 = (quantiles(milliseconds, n=20)[index] for index in (3, 6, 9, 12, 15))
    return Row(what=what, num_steps=num_steps, p20=round(p20, 3), p50=round(p50, 3), p80=round(p80, 3))


def rows_by_world(domain: Domain, repeat: int) -> list[Row]:
    """Return warm and cold times in symbolic and explicit worlds, by controller size."""
    task = domain.task("right-at-traffic-light")
    rows = []
    for what, settings, is_explicit in (
        ("symbolic, warm", Settings(world=WorldKind.ABSTRACT, witnesses=False, max_steps=12), False),
        ("symbolic, warm, with witnesses", Settings(world=WorldKind.ABSTRACT, max_steps=12), False),
        ("explicit (257 states), warm", Settings(world=WorldKind.ABSTRACT, witnesses=False, max_steps=12), True),
    ):
        verifier = prepared(domain, settings, task, is_explicit=is_explicit)
        for num_steps in NUM_STEPS:
            controllers = sample_controllers(verifier, domain, task, num_steps, 5 if is_explicit else NUM_CONTROLLERS)
            times = time_each(lambda item, v=verifier: v.verify(item, task), controllers, 1 if is_explicit else repeat)
            rows.append(row(what, num_steps, times))
    texts = [random_steps(random.Random(seed), 6, domain, domain.worlds["traffic_light"].free) for seed in range(5)]
    cold = time_each(lambda text: Verifier(domain, domain.rulebook()).verify_text(text, task), texts, 1)
    return [*rows, row("symbolic, cold (translates the rulebook)", 6, cold)]


def rows_by_propositions(domain: Domain, repeat: int) -> list[Row]:
    """Return warm times in symbolic worlds of the domain, from few to all propositions."""
    rows = []
    for name, world in sorted(domain.worlds.items(), key=lambda item: len(item[1].free)):
        task = Task(id="any", english="", world=name, goal=Formula("true"), relevant=(), split="train", wordings={})
        settings = Settings(world=WorldKind.ABSTRACT, witnesses=False)
        verifier = prepared(domain, settings, task)
        controllers = sample_controllers(verifier, domain, task, 6, NUM_CONTROLLERS)
        times = time_each(lambda item, v=verifier, t=task: v.verify(item, t), controllers, repeat)
        rows.append(row(f"symbolic, {len(world.free)} free propositions ({name})", 6, times))
    return rows


def rows_by_processes(domain: Domain, repeat: int) -> list[Row]:
    """Return wall-clock times for each of 500 responses, warm, on one and on two processes."""
    tasks = list(domain.tasks.values())
    verifier = Verifier(domain, domain.rulebook(), Settings(world=WorldKind.ABSTRACT))
    questions = []
    for seed in range(500):
        task = tasks[seed % len(tasks)]
        free = tuple(domain.worlds[task.world].free)
        questions.append((verifier.parse(random_steps(random.Random(seed), 6, domain, free)), task))
    verifier.prepare(tasks)
    answers = {number: verify_batch(verifier, questions, number) for number in (1, 2)}
    if answers[1] != answers[2]:
        raise SystemExit("two processes must give the answers of one; no time is reported")
    return [
        row(
            f"500 responses with witnesses, wall clock, {number} processes",
            6,
            [t / 500 for t in time_each(lambda n: verify_batch(verifier, questions, n), [number] * repeat, 1)],
        )
        for number in (1, 2)
    ]


def prepared(domain: Domain, settings: Settings, task: Task, *, is_explicit: bool = False) -> Verifier:
    verifier = Verifier(domain, domain.rulebook(), settings)
    if is_explicit:
        world = explicit_world(world_of(domain, task.world, Compiler()))
        verifier._prepared[task.world, frozenset()] = prepare_world(world, domain.rulebook(), domain, Compiler())
    verifier.prepare([task])
    return verifier


def sample_controllers(verifier: Verifier, domain: Domain, task: Task, num_steps: int, number: int) -> list[Controller]:
    free = tuple(domain.worlds[task.world].free)
    return [verifier.read(random_steps(random.Random(seed), num_steps, domain, free)) for seed in range(number)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="the best of N for each controller")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    domain = load_domain("driving")
    rows = [
        *rows_by_world(domain, arguments.repeat),
        *rows_by_propositions(domain, arguments.repeat),
        *rows_by_processes(domain, arguments.repeat),
    ]
    table = Table(title="verification, ms for each controller")
    for column in ("what", "steps", "p20", "p50", "p80"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for found in rows:
        table.add_row(found.what, str(found.num_steps), f"{found.p20:.3f}", f"{found.p50:.3f}", f"{found.p80:.3f}")
    Console().print(table)
    warm = [found for found in rows if found.what == "symbolic, warm"]
    slowest = max(found.p80 for found in warm)
    print(f"target: at most {TARGET_MS} ms, symbolic and warm; slowest p80: {slowest} ms")
    if arguments.json:
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "spot": spot.version(),
            "load": os.getloadavg(),
        }
        arguments.json.write_text(json.dumps({"machine": machine, "rows": [asdict(found) for found in rows]}, indent=2))


if __name__ == "__main__":
    main()
