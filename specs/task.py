"""Tasks: what is asked of a controller, where, and in which words (`tasks.yaml`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from .files.errors import expected_one_of
from .files.yaml_file import Row, YamlFile, read_yaml
from .logic import Formula
from .vocabulary import Name, Vocabulary
from .world_description import WorldDescription

Split = Literal["train", "validation", "test"]
LIMIT = 60
"""How many seconds a task's event may take to begin, unless the task says otherwise."""
MAX_LIMIT = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task. `relevant` are the propositions that it turns on; `wordings` the ways to ask for it, by split.

    `event` has to begin within `limit` seconds of a recorded wait in which `premise` is true at some second. It is the
    movement that the goal names unless the task says otherwise, None if the goal names none.
    """

    id: str
    english: str
    world: str
    goal: Formula
    relevant: tuple[str, ...]
    split: Literal["train", "test"]
    wordings: Mapping[Split, tuple[str, ...]]
    event: Formula | None = None
    limit: int = LIMIT
    premise: Formula | None = None


class _Row(Row):
    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9_]+)*$")
    english: str
    world: Name
    goal: Name
    relevant: tuple[Name, ...]
    split: Literal["train", "test"]
    wordings: dict[Split, tuple[str, ...]]
    event: Formula | None = None
    limit: int = Field(default=LIMIT, ge=1, le=MAX_LIMIT)
    premise: Formula | None = None


class _File(Row):
    goals: dict[Name, Formula]
    tasks: tuple[_Row, ...] = Field(min_length=1)


def read_tasks(path: Path, vocabulary: Vocabulary, worlds: Mapping[str, WorldDescription]) -> dict[str, Task]:
    """Return the tasks of a file by id; raises InputError."""
    file = read_yaml(path)
    content = file.parse(_File)
    for name, formula in content.goals.items():
        vocabulary.check(formula, file, ("goals", name), actions=True)
    tasks: dict[str, Task] = {}
    for row, entry in enumerate(content.tasks):
        if entry.id in tasks:
            raise file.error(("tasks", row, "id"), f"duplicate id {entry.id!r}")
        if entry.world not in worlds:
            raise file.error(("tasks", row, "world"), f"no such world: {expected_one_of(entry.world, worlds)}")
        if entry.goal not in content.goals:
            raise file.error(("tasks", row, "goal"), f"no such goal: {expected_one_of(entry.goal, content.goals)}")
        _check(entry, row, worlds[entry.world], file)
        goal = content.goals[entry.goal]
        _check_event(entry, row, vocabulary, file)
        event = entry.event or _movement(goal, vocabulary)
        tasks[entry.id] = Task(**{**dict(entry), "goal": goal, "event": event})
    return tasks


def _movement(goal: Formula, vocabulary: Vocabulary) -> Formula | None:
    """Return the event that a goal asks for: the actions that it names, but for the idle one."""
    moves = [name for name in vocabulary.action_ids if name in goal.propositions and name != vocabulary.idle]
    return Formula(" | ".join(moves)) if moves else None


def _check_event(entry: _Row, row: int, vocabulary: Vocabulary, file: YamlFile) -> None:
    for field, formula in (("event", entry.event), ("premise", entry.premise)):
        if formula is None:
            continue
        at = ("tasks", row, field)
        vocabulary.check(formula, file, at, actions=field == "event")
        if not formula.is_boolean:
            raise file.error(at, f"{formula.text!r} speaks of more than one second, expected no temporal operator")


def _check(entry: _Row, row: int, world: WorldDescription, file: YamlFile) -> None:
    existing = (*world.free, *world.constant)
    for index, name in enumerate(entry.relevant):
        if name not in existing:
            message = f"not in the world {entry.world!r}: {expected_one_of(name, existing)}"
            raise file.error(("tasks", row, "relevant", index), message)
    for split in entry.wordings:
        if (split == "test") != (entry.split == "test"):
            message = f"a task of the {entry.split} split has no {split!r} wordings"
            raise file.error(("tasks", row, "wordings", split), message)
    needed: tuple[Split, ...] = ("test",) if entry.split == "test" else ("train", "validation")
    for split in needed:
        if not entry.wordings.get(split):
            raise file.error(("tasks", row, "wordings"), f"a task of the {entry.split} split needs {split!r} wordings")
