"""What simulating, learning and judging in learned worlds cost, on one core.

    python benchmarks/worlds.py [--episodes N] [--repeat N] [--json FILE]

For each environment: simulated seconds (steps) per second of CPU time without and with resets, whose time it is
(cProfile's own time by file: ours, highway-env's, and numpy, built-ins and the rest), and an episode with a controller.
Then, for each set of propositions: learning a world from the episodes in memory, and verifying one controller in it,
warm, without and with witnesses. An environment whose seed does not give the same labels twice is not reported.
"""

import argparse
import cProfile
import json
import os
import platform
import pstats
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.table import Table

from verilora.envs.episode import Episode, run_episode
from verilora.envs.policy import ControllerPolicy, explorers
from verilora.envs.recording import record
from verilora.envs.scenario import SCENARIOS, make_env
from verilora.specs.domain import Domain, load_domain
from verilora.specs.learned_world import LABELS, LearnedWorld, learned_world_path, write_learned_world
from verilora.specs.logic import spot
from verilora.specs.task import Task
from verilora.synth.controllers.alignment import Alignment
from verilora.synth.controllers.build import parse_controller
from verilora.synth.controllers.controller import Controller, Reading
from verilora.verify.commands.terminal import console
from verilora.verify.commands.world_command import projections
from verilora.verify.verdicts.settings import Settings
from verilora.verify.verdicts.verifier import Verifier
from verilora.verify.worlds.learning import learn

TARGET_MS = 20.0
NUM_TIMED, NUM_PROFILED = 30, 8
"""Episodes in which steps are counted, and in which they are profiled."""
NUM_ROLLOUTS = 30
NUM_CONTROLLERS = 12
NUM_STEPS = 6
HELD_OUT = 5
"""One more episode is held out for so many to learn from, as `verilora world learn` does."""
POLICIES = ("random", "random", "cautious", "random", "bold")
OURS = os.sep + os.path.join("envs", "")
THEIRS = os.sep + os.path.join("highway_env", "")
CONTROLLER = "1. wait until no car from left and no pedestrian in front then go straight\n2. go to step 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """An environment: steps per second of CPU time, shares of own time, and milliseconds of an episode (20/50/80 %)."""

    world: str
    steps_per_second: float
    steps_per_second_with_reset: float
    reset_ms: float
    share_ours: float
    share_highway_env: float
    share_rest: float
    rollout_p20: float
    rollout_p50: float
    rollout_p80: float
    rollout_steps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """A learned world: seconds to learn it, and milliseconds for each controller, without and with witnesses."""

    world: str
    propositions: tuple[str, ...]
    num_episodes: int
    num_transitions: int
    learn_seconds: float
    plain_p20: float
    plain_p50: float
    plain_p80: float
    witnesses_p20: float
    witnesses_p50: float
    witnesses_p80: float


def check_labels(world: str, domain: Domain) -> None:
    """Refuse to go on if a seed does not decide the labels."""
    episodes = []
    for _ in range(2):
        env = make_env(world)
        policy = explorers(domain.vocabulary)["cautious"](random.Random(3))
        # Other seeds in between must not matter.
        env.reset(seed=len(episodes) + 50)
        episodes.append(run_episode(env, policy, "cautious", 3, domain.vocabulary))
    if episodes[0] != episodes[1]:
        raise SystemExit(f"{world}: one seed gave two different episodes, so no speed is reported")


def speed(world: str, domain: Domain) -> Speed:
    """Return the row of an environment."""
    check_labels(world, domain)
    resets, steps, num_steps = walk(world, domain, range(NUM_TIMED))
    profile = cProfile.Profile()
    profile.runcall(walk, world, domain, range(NUM_PROFILED))
    ours, theirs, rest = shares(profile)
    controller = parse_controller(CONTROLLER, Alignment(domain.vocabulary), Reading())
    env = make_env(world)
    lengths: list[int] = []

    def roll(seed: int) -> None:
        episode = run_episode(env, ControllerPolicy(controller), "controller", seed, domain.vocabulary)
        lengths.append(len(episode.labels))

    p20, p50, p80 = percentiles(time_each(roll, range(NUM_ROLLOUTS), 1))
    return Speed(
        world=world,
        steps_per_second=round(num_steps / steps, 1),
        steps_per_second_with_reset=round(num_steps / (steps + resets), 1),
        reset_ms=round(1000 * resets / NUM_TIMED, 2),
        share_ours=ours,
        share_highway_env=theirs,
        share_rest=rest,
        rollout_p20=p20,
        rollout_p50=p50,
        rollout_p80=p80,
        rollout_steps=round(sum(lengths) / len(lengths), 1),
    )


def walk(world: str, domain: Domain, seeds: Iterable[int]) -> tuple[float, float, int]:
    """Return the CPU seconds that resets and steps took under a random policy, and how many steps they were."""
    env = make_env(world)
    vocabulary = domain.vocabulary
    resets = steps = 0.0
    num_steps = 0
    for seed in seeds:
        policy = explorers(vocabulary)["random"](random.Random(seed))
        start = time.process_time()
        _, info = env.reset(seed=seed)
        resets += time.process_time() - start
        ended = False
        while not ended:
            action = vocabulary.action_ids.index(policy(frozenset(info["labels"])))
            start = time.process_time()
            _, _, terminated, truncated, info = env.step(action)
            steps += time.process_time() - start
            num_steps += 1
            ended = terminated or truncated
    return resets, steps, num_steps


def shares(profile: cProfile.Profile) -> tuple[float, float, float]:
    """Return the shares of own time in our files, in highway-env's, and in all else."""
    total = ours = theirs = 0.0
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        total += own
        if THEIRS in file:
            theirs += own
        elif OURS in file and "site-packages" not in file:
            ours += own
    return tuple(round(part / total, 3) for part in (ours, theirs, total - ours - theirs))  # type: ignore[return-value]


def judging(domain: Domain, num_episodes: int, repeat: int) -> list[Judging]:
    """Return a row for each learned world: learned here, written beside a copy of the domain, and judged in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "driving"
        shutil.copytree(domain.folder, folder, ignore=shutil.ignore_patterns("worlds"))
        learned = {}
        for world in SCENARIOS:
            episodes = driven(domain, world, num_episodes + num_episodes // HELD_OUT, Path(name))
            for propositions in projections(domain, world):
                found, seconds = timed_learning(world, propositions, episodes, num_episodes, repeat)
                learned[world, frozenset(propositions)] = found, seconds
                write_learned_world(learned_world_path(folder, world, propositions), found)
        copied = load_domain("driving", Path(name))
        verifiers = [Verifier(copied, copied.rulebook(), Settings(witnesses=flag)) for flag in (False, True)]
        tasks = {(task.world, frozenset(task.relevant)): task for task in copied.tasks.values()}
        return [judging_row(*learned[key], task, verifiers, repeat) for key, task in tasks.items()]


def driven(domain: Domain, world: str, num_episodes: int, folder: Path) -> list[Episode]:
    jobs = [(POLICIES[seed % len(POLICIES)], seed) for seed in range(num_episodes)]
    path = folder / "recordings" / f"{world}.jsonl"
    return list(record(path, world, jobs, domain.vocabulary, os.cpu_count() or 1).episodes)


def timed_learning(
    world: str, propositions: tuple[str, ...], episodes: list[Episode], num_episodes: int, repeat: int
) -> tuple[LearnedWorld, float]:
    """Return a world learned from the first episodes, the rest being held out, and the least seconds that took."""

    def work() -> LearnedWorld:
        letters = [episode.letters for episode in episodes]
        return learn(world, propositions, letters[:num_episodes], held_out=letters[num_episodes:], labels=LABELS)

    (milliseconds,) = time_each(lambda _: work(), [None], repeat)
    return work(), milliseconds / 1000


def judging_row(learned: LearnedWorld, seconds: float, task: Task, verifiers: list[Verifier], repeat: int) -> Judging:
    times = []
    check_verdicts(learned, task, verifiers)
    for verifier in verifiers:
        verifier.prepare([task])
        controllers = [sample(verifier, task, seed) for seed in range(NUM_CONTROLLERS)]
        times.append(percentiles(time_each(lambda item, v=verifier: v.verify(item, task), controllers, repeat)))
    return Judging(
        world=learned.world,
        propositions=learned.propositions,
        num_episodes=learned.coverage["episodes"],
        num_transitions=len(learned.transitions),
        learn_seconds=round(seconds, 4),
        **dict(zip(("plain_p20", "plain_p50", "plain_p80"), times[0], strict=True)),
        **dict(zip(("witnesses_p20", "witnesses_p50", "witnesses_p80"), times[1], strict=True)),
    )


def check_verdicts(learned: LearnedWorld, task: Task, verifiers: list[Verifier]) -> None:
    """Refuse to go on if another world is judged in, or if telling what was violated changes a verdict."""
    for seed in range(NUM_CONTROLLERS):
        found = [verifier.verify(sample(verifier, task, seed), task) for verifier in verifiers]
        if any({*verdict.learned} != {*learned.propositions} for verdict in found):
            raise SystemExit(f"{task.id}: not judged in the world that was learned here, so no speed is reported")
        statuses = [[part.status for part in (*verdict.rules, *verdict.gates)] for verdict in found]
        if statuses[0] != statuses[1]:
            raise SystemExit(f"{task.id}: with witnesses the verdict is another, so no speed is reported")


def sample(verifier: Verifier, task: Task, seed: int) -> Controller:
    """Return a controller as a language model might write it, over what the task turns on."""
    random_ = random.Random(seed)
    words = verifier.domain.vocabulary.english
    actions = [words[name] for name in verifier.domain.vocabulary.action_ids]

    def condition() -> str:
        chosen = random_.sample(task.relevant, random_.randint(1, len(task.relevant)))
        return " and ".join(random_.choice(("", "no ")) + words[name] for name in chosen)

    def step() -> str:
        kind = random_.randrange(3)
        if kind == 0:
            return f"wait until {condition()} then {random_.choice(actions)}"
        if kind == 1:
            return f"if {condition()}, {random_.choice(actions)}, otherwise {random_.choice([*actions, 'stay'])}"
        return f"if {condition()}, {random_.choice(actions)}"

    return verifier.read("\n".join(f"{number}. {step()}" for number in range(1, NUM_STEPS + 1)))


def time_each(work: Callable[[Any], object], items: Iterable[Any], repeat: int) -> list[float]:
    """Return the milliseconds of each call, the best of `repeat` for each item."""

    def once(item: Any) -> float:
        start = time.perf_counter()
        work(item)
        return (time.perf_counter() - start) * 1000

    return [min(once(item) for _ in range(repeat)) for item in items]


def percentiles(milliseconds: list[float]) -> tuple[float, float, float]:
    """Return the 20th, 50th and 80th percentile."""
    p20, p50, p80 = (quantiles(milliseconds, n=20)[index] for index in (3, 9, 15))
    return round(p20, 3), round(p50, 3), round(p80, 3)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    names = ("gymnasium", "highway-env", "numpy")
    return {
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "spot": spot.version(),
        **{name: version(name) for name in names},
    }


def table_of_speeds(rows: list[Speed]) -> Table:
    table = Table(title="environments: steps (simulated seconds) per CPU second; share of own time; ms of an episode")
    for column in (
        "world",
        "steps/s",
        "with reset",
        "reset ms",
        "ours",
        "highway-env",
        "numpy, rest",
        "p20",
        "p50",
        "p80",
    ):
        table.add_column(column, justify="left" if column == "world" else "right")
    for row in rows:
        parts = (f"{share:.0%}" for share in (row.share_ours, row.share_highway_env, row.share_rest))
        rollout = (f"{row.rollout_p20:.0f}", f"{row.rollout_p50:.0f}", f"{row.rollout_p80:.0f}")
        speeds = (f"{row.steps_per_second:.0f}", f"{row.steps_per_second_with_reset:.0f}", f"{row.reset_ms:.1f}")
        table.add_row(row.world, *speeds, *parts, *rollout)
    return table


def table_of_judging(rows: list[Judging]) -> Table:
    table = Table(title=f"learned worlds: s to learn from {rows[0].num_episodes} episodes; ms to verify a controller")
    for column in ("world over", "edges", "learn s", "p20", "p50", "p80", "told p20", "told p50", "told p80"):
        table.add_column(column, justify="left" if column == "world over" else "right")
    for row in rows:
        plain = (f"{row.plain_p20:.2f}", f"{row.plain_p50:.2f}", f"{row.plain_p80:.2f}")
        told = (f"{row.witnesses_p20:.2f}", f"{row.witnesses_p50:.2f}", f"{row.witnesses_p80:.2f}")
        name = f"{row.world}: {', '.join(row.propositions)}"
        table.add_row(name, str(row.num_transitions), f"{row.learn_seconds:.3f}", *plain, *told)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=300, help="episodes to learn each world from")
    parser.add_argument("--repeat", type=int, default=3, help="the best of N for each controller")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    domain = load_domain("driving")
    about = machine()
    speeds = [speed(world, domain) for world in SCENARIOS]
    out = console()
    out.print(table_of_speeds(speeds))
    judged = judging(domain, arguments.episodes, arguments.repeat)
    out.print(table_of_judging(judged))
    plain, told = max(row.plain_p80 for row in judged), max(row.witnesses_p80 for row in judged)
    print(f"target: at most {TARGET_MS} ms for a controller, warm; slowest p80: {plain} ms, with witnesses {told} ms")
    print("load average: {:.2f}, {:.2f}, {:.2f} before, ".format(*about["load_average"]), end="")
    print("{:.2f}, {:.2f}, {:.2f} after".format(*os.getloadavg()))
    if arguments.json:
        about["load_average_after"] = os.getloadavg()
        rows = {"environments": [asdict(row) for row in speeds], "learned_worlds": [asdict(row) for row in judged]}
        arguments.json.write_text(json.dumps({"machine": about, **rows}, indent=2))


if __name__ == "__main__":
    main()
