"""Recordings: files of episodes, a line each behind a line of provenance, written so that they can be cut and resumed.

Episodes stand in the order in which they were asked for, however many processes drove them, so a recording that was
interrupted and resumed is the same file, byte for byte.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from random import Random
from typing import Any

from ..specs.files.errors import InputError, expected_one_of
from ..specs.files.lock import held
from ..specs.files.record import decode_json
from ..specs.learned_world import LABELS
from ..specs.processes.workers import in_order
from ..specs.vocabulary import Vocabulary
from ..synth.controllers.alignment import Alignment
from ..synth.controllers.build import parse_controller
from .constants import constants
from .episode import Episode, run_episode
from .policy import ControllerPolicy, Policy, explorers
from .scenario import SCENARIOS, make_env

FORMAT = 1
CONTROLLER = "controller"
"""The name of the policy that is a given controller."""
Job = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The content of a recording. `was_cut`: its last line is incomplete and was left out."""

    provenance: dict[str, Any]
    episodes: tuple[Episode, ...]
    was_cut: bool


def provenance(world: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what an episode of a world depends on besides policy and seed."""
    scenario = SCENARIOS[world]
    env: Any = make_env(world)
    settings = json.dumps([env.unwrapped.config, constants()], sort_keys=True, default=str)
    env.close()
    return {
        "format": FORMAT,
        "labels": LABELS,
        "world": world,
        "environment": scenario.env_id,
        "config": dict(scenario.config),
        # Over all options, the defaults included, and all constants, the labels' thresholds included.
        "config_digest": hashlib.sha256(settings.encode()).hexdigest(),
        "propositions": list(vocabulary.proposition_ids),
        "actions": list(vocabulary.action_ids),
        "versions": {name: version(name) for name in ("gymnasium", "highway-env", "numpy")}
        | {"python": platform.python_version()},
    }


def record(
    path: Path,
    world: str,
    jobs: Sequence[Job],
    vocabulary: Vocabulary,
    num_processes: int = 1,
    progress: Callable[[int], None] = lambda num_done: None,
    controller: str = "",
) -> Recording:
    """Drive the episodes that a recording lacks, a job being a policy's name and a seed, and return those of the jobs.

    The policy "controller" is that of the steps in `controller`; those raise InvalidController if they are none.
    `progress` is called with the number of episodes that stand in the file. One that holds more, beyond those of the
    jobs, stays as it is. Raises InputError if the file at `path` was recorded with anything else.
    """
    header = provenance(world, vocabulary)
    if controller:
        parse_controller(controller, Alignment(vocabulary))
        header["controller"] = controller
    with held(path):
        done = _begin(path, header, jobs)
        progress(min(done, len(jobs)))
        with path.open("a") as file:
            work = partial(_run, world, vocabulary, controller=controller)
            for number, episode in enumerate(in_order(work, jobs[done:], num_processes), start=done + 1):
                file.write(_line(episode, vocabulary))
                file.flush()
                progress(number)
    found = read_recording(path)
    return replace(found, episodes=found.episodes[: len(jobs)])


def read_recording(path: Path) -> Recording:
    """Return a recording up to where it may have been cut; raises InputError for lines that are something else."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read: {error}") from None
    was_cut = bool(lines) and not lines[-1].endswith("\n")
    rows = [_row(path, number, line) for number, line in enumerate(lines[: len(lines) - was_cut], start=1)]
    if not rows or rows[0].get("format") != FORMAT:
        raise InputError(path, f"expected a recording of format {FORMAT}", line=1)
    episodes = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            episodes.append(_episode(row, rows[0]))
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
            raise InputError(path, f"no episode: {error!r}", line=number) from None
    return Recording(provenance=rows[0], episodes=tuple(episodes), was_cut=was_cut)


def _begin(path: Path, header: dict[str, Any], jobs: Sequence[Job]) -> int:
    """Make the file ready to be appended to; return how many of the jobs it holds."""
    first_line = (json.dumps(header) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        if first_line.startswith(content):
            path.write_bytes(first_line)
            return 0
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from None
    found = read_recording(path)
    for key, value in header.items():
        if found.provenance.get(key) != value:
            got = f"got {found.provenance.get(key)!r}, expected {value!r}"
            raise InputError(path, f"was recorded with another {key}: {got}", line=1)
    recorded = [(episode.policy, episode.seed) for episode in found.episodes]
    if recorded[: len(jobs)] != list(jobs[: len(recorded)]):
        raise InputError(path, "holds other episodes than those asked for")
    if found.was_cut and len(recorded) < len(jobs):
        text = path.read_text()
        path.write_text(text[: text.rindex("\n") + 1])
    return len(recorded)


def _run(world: str, vocabulary: Vocabulary, job: Job, controller: str = "") -> Episode:
    name, seed = job
    policy: Policy
    if name == CONTROLLER:
        policy = ControllerPolicy(parse_controller(controller, Alignment(vocabulary)))
    else:
        known = explorers(vocabulary)
        if name not in known:
            raise ValueError(f"unknown policy: {expected_one_of(name, (*known, CONTROLLER))}")
        policy = known[name](Random(seed))
    env = make_env(world)
    try:
        return run_episode(env, policy, name, seed, vocabulary)
    finally:
        env.close()


def _line(episode: Episode, vocabulary: Vocabulary) -> str:
    """Return an episode as a line: each second's propositions as a hexadecimal number, its action as a digit."""
    bit = {name: 1 << number for number, name in enumerate(vocabulary.proposition_ids)}
    row = {
        "policy": episode.policy,
        "seed": episode.seed,
        "labels": " ".join(f"{sum(bit[name] for name in labels):x}" for labels in episode.labels),
        "actions": "".join(str(vocabulary.action_ids.index(action)) for action in episode.actions),
        "end": [episode.arrived, episode.crashed, episode.at_fault],
    }
    return json.dumps(row) + "\n"


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    row = decode_json(line, path, number)
    if not isinstance(row, dict):
        raise InputError(path, f"expected an object, got {line[:40]!r}", line=number)
    return row


def _episode(row: dict[str, Any], header: dict[str, Any]) -> Episode:
    names, actions = header["propositions"], header["actions"]
    digits = {str(number): action for number, action in enumerate(actions)}
    numbers = [int(word, 16) for word in row["labels"].split()]
    labels = tuple(tuple(compress(names, (n >> i & 1 for i in range(len(names))))) for n in numbers)
    arrived, crashed, at_fault = row["end"]
    if not 0 < len(numbers) == len(row["actions"]):
        raise ValueError(f"expected an action for each label, got {len(row['actions'])} for {len(numbers)}")
    for number in numbers:
        if not 0 <= number < 1 << len(names):
            raise ValueError(f"expected labels of {len(names)} propositions, got {number:x}")
    for digit in row["actions"]:
        if digit not in digits:
            raise ValueError(f"expected actions of {len(actions)} by their digit, got {digit!r}")
    return Episode(
        policy=row["policy"],
        seed=row["seed"],
        labels=labels,
        actions=tuple(digits[digit] for digit in row["actions"]),
        arrived=arrived,
        crashed=crashed,
        at_fault=at_fault,
    )
