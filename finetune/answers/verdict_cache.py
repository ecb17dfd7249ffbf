"""Verdicts on many responses: each behaviour is checked once, in a file that later stages and resumed runs read."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from pydantic import ConfigDict

from ...specs.domain import Domain
from ...specs.files.record import Record
from ...specs.files.record_file import RecordFile
from ...specs.task import Task
from ...synth.controllers.behaviour import behaviour_digest, never_moves
from ...synth.controllers.steps import InvalidController
from ...verify.records.verdict import Verdict
from ...verify.verdicts.batch import verify_batch
from ...verify.verdicts.response import Parsed
from ...verify.verdicts.verifier import Verifier
from ...verify.worlds.world import WorldKind


class BehaviourVerdict(Record):
    """The verdict on all responses that behave alike, in one world under one rulebook, which `key` stands for.

    `behaviour` names what the controller does, `never_moves` says that it stands still for ever.
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    behaviour: str
    never_moves: bool
    verdict: Verdict

    def of_task(self, task: Task) -> Self:
        """Return it as the verdict on an answer to a task: all with the same goal in the same world share one."""
        if self.verdict.task_id == task.id:
            return self
        return self.model_copy(update={"verdict": self.verdict.model_copy(update={"task_id": task.id})})


class VerdictCache:
    """Verifies responses and remembers: a behaviour is checked once in each world under each rulebook.

    Raises InputError if the file that remembers holds something else.
    """

    def __init__(self, verifier: Verifier, path: Path, num_processes: int) -> None:
        self.verifier = verifier
        self.num_processes = num_processes
        self._file = RecordFile(path, BehaviourVerdict)
        self._known = {entry.key: entry for entry in self._file.read()}
        self._contexts: dict[str, str] = {}

    def verify(self, responses: Sequence[tuple[str, Task]]) -> list[BehaviourVerdict]:
        """Return the verdicts on texts as answers to tasks, in their order; a text is parsed once."""
        parsed = {text: self.verifier.parse(text) for text in dict.fromkeys(text for text, _ in responses)}
        named = {text: _name(found) for text, found in parsed.items()}
        keys = [self._key(*named[text], task) for text, task in responses]
        new = {key: response for key, response in zip(keys, responses, strict=True) if key not in self._known}
        if new:
            questions = [(parsed[text], task) for text, task in new.values()]
            verdicts = verify_batch(self.verifier, questions, min(self.num_processes, len(new)))
            found = {
                key: BehaviourVerdict(
                    key=key, behaviour=named[text][0], never_moves=_never_moves(parsed[text]), verdict=verdict
                )
                for (key, (text, _)), verdict in zip(new.items(), verdicts, strict=True)
            }
            self._file.append(found.values())
            self._known |= found
        return [self._known[key].of_task(task) for key, (_, task) in zip(keys, responses, strict=True)]

    def _key(self, behaviour: str, num_steps: int, task: Task) -> str:
        if task.id not in self._contexts:
            self._contexts[task.id] = self._context(task)
        return hashlib.sha256(f"{self._contexts[task.id]}\n{num_steps}\n{behaviour}".encode()).hexdigest()

    def _context(self, task: Task) -> str:
        """Return all that decides a verdict besides the response."""
        settings = self.verifier.settings
        parts = {
            "world": world_digest(self.verifier.domain, task, settings.world),
            "rulebook": self.verifier.rulebook.digest,
            "goal": task.goal.text,
            "waits": [str(task.event or ""), task.limit, str(task.premise or ""), self._waits_digest(task)],
            "settings": asdict(settings),
        }
        return json.dumps(parts, sort_keys=True)

    def _waits_digest(self, task: Task) -> str | None:
        waits = self.verifier.domain.recorded_waits(task.world) if self.verifier.settings.is_timed else None
        return waits.digest if waits else None


def world_digest(domain: Domain, task: Task, kind: WorldKind) -> str:
    """Return SHA-256 over the world in which a task is judged: its description, and what was learned of it."""
    learned = domain.learned_world(task) if kind is WorldKind.SIMULATED else None
    name = "universal" if kind is WorldKind.UNIVERSAL else task.world
    parts = [name, domain.world(name).model_dump(mode="json"), learned.digest if learned else None]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _name(parsed: Parsed) -> tuple[str, int]:
    """Return what names a behaviour, and its number of steps."""
    if isinstance(parsed, InvalidController):
        return f"invalid: {parsed}", 0
    return behaviour_digest(parsed), parsed.num_steps


def _never_moves(parsed: Parsed) -> bool:
    return not isinstance(parsed, InvalidController) and never_moves(parsed)
