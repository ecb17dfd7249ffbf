"""Does keeping every rule keep the car from crashing? `python benchmarks/completeness.py --json FILE`.

Controllers "wait until G, then M; stop" for every conjunction G of literals, in every world and for every manoeuvre M:
those that keep all rules of a book, and answers of runs that do (`--runs`), are driven in the simulator. Counted are
crashes by the ego's own fault. `--without` drops each rule that `default` adds to `paper` in turn, and drives those
that then keep all the others until one crashes; `--replays` shows these crashes as animated pictures.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypedDict

from rich.console import Console
from rich.progress import track

from verilora.envs.policy import ControllerPolicy
from verilora.envs.replay import save_replay
from verilora.envs.scenario import SCENARIOS
from verilora.specs.domain import Domain, load_domain
from verilora.specs.processes.workers import in_order
from verilora.specs.rulebook import Rulebook
from verilora.specs.task import Task
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.behaviour import behaviour_digest
from verilora.synth.controllers.controller import Reading
from verilora.synth.controllers.steps import InvalidController
from verilora.verify.audits.audit import FIRST_SEED, run_one
from verilora.verify.records.by_prompt import interval_by_group
from verilora.verify.records.interval import upper_bound
from verilora.verify.records.versions import versions
from verilora.verify.verdicts.response import read_controller
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier

ALLOWED, MOST = 0.0005, 0.005
"""The shares of crashes that are allowed: over all episodes (one-sided bound of 95 %), and in each combination."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Steps that keep all rules, and the task that they answer."""

    task: Task
    steps: str


@dataclass(slots=True, kw_only=True)
class Row:
    """A combination of world and manoeuvre: its controllers' crashes by own fault, and the seeds of these."""

    world: str
    manoeuvre: str
    controllers: int = 0
    episodes: int = 0
    never_moved: int = 0
    crashes: list[int] = field(default_factory=list)
    crashed: list[tuple[str, int]] = field(default_factory=list)


class Crash(TypedDict):
    """A crash by own fault of a controller that breaks one rule of the book alone; without steps if none was found."""

    rule: str
    task: str
    steps: str
    seed: int
    driven: int


def combinations(domain: Domain) -> dict[tuple[str, str], Task]:
    """Return one task for each simulated world and manoeuvre."""
    idle = domain.vocabulary.idle
    found: dict[tuple[str, str], Task] = {}
    for task in domain.tasks.values():
        (action,) = task.goal.propositions - {idle}
        if task.world in SCENARIOS:
            found.setdefault((task.world, action), task)
    return found


def guarded(domain: Domain, rulebook: Rulebook, task: Task, action: str) -> Iterator[str]:
    """Yield the steps that wait for a conjunction of what rules speak of and can change in a task's world, then act."""
    spoken = frozenset[str]().union(*(rule.formula.propositions for rule in rulebook.rules))
    words, free = domain.vocabulary.english, [name for name in domain.world(task.world).free if name in spoken]
    for values in product((None, True, False), repeat=len(free)):
        literals = [
            f"{'' if value else 'no '}{words[name]}"
            for name, value in zip(free, values, strict=True)
            if value is not None
        ]
        if literals:
            yield f"1. wait until {' and '.join(literals)}, then {words[action]}\n2. {words[domain.vocabulary.idle]}"


def answers(domain: Domain, runs: list[Path]) -> Iterator[Candidate]:
    """Yield the answers of runs, each once for its task."""
    for run in runs:
        for path in sorted((run / "evaluation").glob("*.jsonl")):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                if row.get("task_id") in domain.tasks:
                    yield Candidate(domain.tasks[row["task_id"]], row["text"])


def keeping_all(candidates: Iterator[Candidate], verifier: Verifier) -> Iterator[Candidate]:
    """Yield the candidates that keep all rules and gates, of equal machines for a task the first."""
    seen = set()
    for candidate in candidates:
        parsed = verifier.parse(candidate.steps)
        if isinstance(parsed, InvalidController) or not verifier.verify(parsed, candidate.task).all_kept:
            continue
        key = candidate.task.world, candidate.task.goal.text, behaviour_digest(parsed)
        if key not in seen:
            seen.add(key)
            yield candidate


def guards(domain: Domain, rulebook: Rulebook) -> Iterator[Candidate]:
    """Yield all guarded controllers of all combinations."""
    for (_, action), task in combinations(domain).items():
        yield from (Candidate(task, steps) for steps in guarded(domain, rulebook, task, action))


def drive_all(domain: Domain, candidates: list[Candidate], num_episodes: int, processes: int) -> list[Row]:
    """Return a row for each combination; each controller has seeds of its own."""
    rows: dict[tuple[str, str], Row] = {}
    work = [(one, FIRST_SEED + number * num_episodes) for number, one in enumerate(candidates)]
    driven = in_order(partial(_drive, domain, num_episodes), work, processes)
    for candidate, (never, crashed) in track(zip(candidates, driven, strict=True), "driving", len(candidates)):
        (action,) = candidate.task.goal.propositions - {domain.vocabulary.idle}
        row = rows.setdefault((candidate.task.world, action), Row(world=candidate.task.world, manoeuvre=action))
        row.controllers += 1
        row.episodes += num_episodes
        row.never_moved += never
        row.crashes.append(len(crashed))
        row.crashed += [(candidate.steps, seed) for seed in crashed]
    return [*rows.values()]


def _drive(domain: Domain, num_episodes: int, work: tuple[Candidate, int]) -> tuple[int, list[int]]:
    """Return in how many episodes a controller never moved, and the seeds of crashes by its own fault."""
    candidate, first = work
    one = partial(run_one, candidate.steps, candidate.task.world, domain.vocabulary, Reading())
    episodes = [one(seed) for seed in range(first, first + num_episodes)]
    never = sum(set(episode.actions) == {domain.vocabulary.idle} for episode in episodes)
    return never, [episode.seed for episode in episodes if episode.at_fault]


def summary(rows: list[Row]) -> dict[str, object]:
    """Return the totals, their bounds and whether they are within what is allowed."""
    crashes, episodes = sum(sum(row.crashes) for row in rows), sum(row.episodes for row in rows)
    each = [count for row in rows for count in row.crashes]
    sizes = [row.episodes // row.controllers for row in rows for _ in row.crashes]
    shares = {f"{row.manoeuvre} at {row.world}": sum(row.crashes) / row.episodes for row in rows}
    return {
        "controllers": len(each),
        "episodes": episodes,
        "never_moved": sum(row.never_moved for row in rows),
        "own_fault_crashes": crashes,
        "upper_bound": upper_bound(crashes, episodes),
        "interval_by_controller": interval_by_group(each, sizes),
        "worst_combination": max(shares.items(), key=lambda item: item[1]),
        "is_allowed": upper_bound(crashes, episodes) <= ALLOWED and max(shares.values()) <= MOST,
    }


def crash_without(domain: Domain, rulebook: Rulebook, rule_id: str, settings: Settings, most: int) -> Crash:
    """Return the first crash by own fault of a controller that keeps all rules but one, which it breaks."""
    fewer = Rulebook(
        name=f"without {rule_id}", description="", rules=tuple(rule for rule in rulebook.rules if rule.id != rule_id)
    )
    verifiers = Verifier(domain, fewer, settings), Verifier(domain, rulebook, settings)
    driven = 0
    for candidate in keeping_all(guards(domain, rulebook), verifiers[0]):
        if verifiers[1].verify_text(candidate.steps, candidate.task).all_kept:
            continue
        one = partial(run_one, candidate.steps, candidate.task.world, domain.vocabulary, Reading())
        for seed in range(FIRST_SEED, FIRST_SEED + most):
            driven += 1
            if one(seed).at_fault:
                return Crash(rule=rule_id, task=candidate.task.id, steps=candidate.steps, seed=seed, driven=driven)
    return Crash(rule=rule_id, task="", steps="", seed=0, driven=driven)


def save(domain: Domain, crash: Crash, folder: Path) -> None:
    """Write the episode of a crash as a picture that bears the name of the rule."""
    if crash["steps"]:
        policy = ControllerPolicy(read_controller(crash["steps"], Alignment(domain.vocabulary), Reading()))
        world, lines = domain.task(crash["task"]).world, crash["steps"].splitlines()
        save_replay(folder / f"{crash['rule']}.gif", world, policy, crash["seed"], domain.vocabulary, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rulebook", default="default")
    parser.add_argument("--episodes", type=int, default=20, help="of each controller")
    parser.add_argument("--most", type=int, help="controllers of guards to drive, evenly chosen; default: all")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="directories whose answers are driven too")
    parser.add_argument("--without", action="store_true", help="drop each added rule in turn instead")
    parser.add_argument("--replays", type=Path, help="a folder for the pictures")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    domain, settings, begin = load_domain("driving"), Settings(witnesses=False), time.perf_counter()
    rulebook = domain.rulebook(options.rulebook)
    found: dict[str, object]
    if options.without:
        added = [rule.id for rule in rulebook.rules if rulebook.written_in[rule.id] != "paper"]
        drops = partial(crash_without, domain, rulebook, settings=settings, most=options.episodes)
        crashes = [drops(rule_id) for rule_id in track(added, "dropping")]
        if options.replays:
            for crash in crashes:
                save(domain, crash, options.replays)
        found = {"without": crashes}
    else:
        verifier = Verifier(domain, rulebook, settings)
        kept = [*keeping_all(guards(domain, rulebook), verifier)]
        kept = kept[:: max(1, len(kept) // options.most)] if options.most else kept
        kept += keeping_all(answers(domain, options.runs), verifier)
        rows = drive_all(domain, kept, options.episodes, options.processes)
        found = {**summary(rows), "rows": [asdict(row) for row in rows]}
    found = {"rulebook": rulebook.name, "digest": rulebook.digest, **found, "versions": versions()}
    found["seconds"] = round(time.perf_counter() - begin)
    Console().print_json(json.dumps({key: value for key, value in found.items() if key != "rows"}))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
