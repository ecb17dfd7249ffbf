"""A task domain: one folder of data under `specs/`, which the commands call `--task`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .files.errors import InputError, expected_one_of
from .learned_world import LearnedWorld, learned_world_path, read_learned_world
from .recorded_waits import RecordedWaits, read_recorded_waits, recorded_waits_path
from .rulebook import Rulebook, check_words, read_rulebook, rulebook_names
from .task import Split, Task, read_tasks
from .vocabulary import Vocabulary, read_vocabulary
from .world_description import UNIVERSAL, WorldDescription, read_worlds

SHIPPED = Path(__file__).parent
DEFAULT_RULEBOOK = "default"
PAPER_RULEBOOK = "paper"
"""Rules as a paper published them, for the mode that counts as it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The vocabulary, worlds and tasks of a domain; its rulebooks are read when asked for."""

    folder: Path
    vocabulary: Vocabulary
    worlds: Mapping[str, WorldDescription]
    tasks: Mapping[str, Task]

    @property
    def name(self) -> str:
        return self.folder.name

    def rulebook(self, rulebook: str | Rulebook = DEFAULT_RULEBOOK) -> Rulebook:
        """Return a rulebook by name, or one that is given, if it speaks of what the domain knows; raises InputError."""
        # Every rule binds in the universal world, so a rule that named it alone would bind nowhere else.
        places = self.worlds.keys() - {UNIVERSAL}
        if isinstance(rulebook, Rulebook):
            check_words(rulebook, self.vocabulary, places)
            return rulebook
        return read_rulebook(self.folder / "rulebooks", rulebook, self.vocabulary, places)

    def rulebook_names(self) -> list[str]:
        return rulebook_names(self.folder / "rulebooks")

    def world(self, name: str) -> WorldDescription:
        """Return a world by name; raises InputError."""
        if name not in self.worlds:
            raise InputError(self.folder / "worlds.yaml", f"no such world: {expected_one_of(name, self.worlds)}")
        return self.worlds[name]

    def task(self, task_id: str) -> Task:
        """Return a task by id; raises InputError."""
        if task_id not in self.tasks:
            raise InputError(self.folder / "tasks.yaml", f"no such task: {expected_one_of(task_id, self.tasks)}")
        return self.tasks[task_id]

    def prompts(self, splits: Sequence[Split], per_prompt: int = 1) -> list[tuple[Task, str]]:
        """Return the tasks and wordings of some splits in the order of the file, each so many times in a row."""
        asked = ((task, split) for split in splits for task in self.tasks.values())
        prompts = [(task, wording) for task, split in asked for wording in task.wordings.get(split, ())]
        return [prompt for prompt in prompts for _ in range(per_prompt)]

    def learned_world(self, task: Task) -> LearnedWorld | None:
        """Return the learned world over what a task turns on, None if none ships; raises InputError."""
        path = learned_world_path(self.folder, task.world, task.relevant)
        return read_learned_world(path, self.worlds) if path.is_file() else None

    def recorded_waits(self, world: str) -> RecordedWaits | None:
        """Return the recorded waits of a world, None if none ship; raises InputError."""
        path = recorded_waits_path(self.folder, world)
        return read_recorded_waits(path, self.vocabulary) if path.is_file() else None


def load_domain(name: str, specs: Path | str = SHIPPED) -> Domain:
    """Return the domain in the folder `specs/name`, by default one that ships; raises InputError."""
    folder = Path(specs) / name
    domains = [path.parent.name for path in Path(specs).glob("*/propositions.yaml")]
    if name not in domains:
        found = expected_one_of(name, domains)
        raise InputError(folder, f"no such task domain (a folder with propositions.yaml): {found}")
    vocabulary = read_vocabulary(folder / "propositions.yaml")
    worlds = read_worlds(folder / "worlds.yaml", vocabulary)
    tasks = read_tasks(folder / "tasks.yaml", vocabulary, worlds)
    return Domain(folder=folder, vocabulary=vocabulary, worlds=worlds, tasks=tasks)
