"""Judging many responses: each behaviour once, in a file that later stages and resumed runs read."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from ...specs.domain import Domain
from ...specs.files.errors import InputError
from ...specs.files.record_file import Record, RecordFile
from ...specs.task import Task
from ...synth.controllers.behaviour import behaviour_digest, never_moves
from ...synth.controllers.steps import InvalidController
from ...verify.records.verdict import Mode, Status, Verdict
from ...verify.verdicts.batch import Response, verify_batch
from ...verify.verdicts.verifier import Verifier
from ...verify.worlds.world import WorldKind
from .samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict in brief. `rules` are the statuses of all rules, `judged` those that decide, `vacuous` kept idly.

    `behaviour` names what the controller does: equivalent ones share it.
    """

    behaviour: str
    never_moves: bool
    num_steps: int
    invalid: str
    gates_kept: bool
    all_kept: bool
    compliance: float
    raw_kept: int
    rank: tuple[float, ...]
    rules: dict[str, str]
    judged: tuple[str, ...]
    vacuous: tuple[str, ...]

    @classmethod
    def of(cls, verdict: Verdict, behaviour: str, *, is_still: bool) -> Self:
        """Return a verdict in brief."""
        return cls(
            behaviour=behaviour,
            never_moves=is_still,
            num_steps=verdict.num_steps,
            invalid=verdict.invalid,
            gates_kept=verdict.gates_kept,
            all_kept=verdict.all_kept,
            compliance=verdict.compliance,
            raw_kept=verdict.raw_kept,
            rank=tuple(float(part) for part in verdict.rank),
            rules={rule.rule_id: rule.status.name.lower() for rule in verdict.rules},
            judged=tuple(rule.rule_id for rule in verdict.judged),
            vacuous=tuple(rule.rule_id for rule in verdict.judged if rule.vacuous and rule.status.is_kept),
        )

    @property
    def raw_share(self) -> float:
        """The share of all rules that are kept, whether they apply or not."""
        return self.raw_kept / len(self.rules)

    def quality(self, mode: Mode) -> float:
        """Return what answers are trained for: compliance, in paper mode the raw share."""
        return self.raw_share if mode is Mode.PAPER else self.compliance

    @property
    def observed_only(self) -> bool:
        """Whether all is kept, but something only on what was seen."""
        return self.all_kept and any(self.rules[name] == Status.OBSERVED.name.lower() for name in self.judged)


@dataclass(frozen=True, slots=True)
class Judged:
    """A response and what was found about it."""

    sample: Sample
    judgement: Judgement

    @property
    def prompt(self) -> tuple[str, str]:
        """The task and the wording that were asked."""
        return self.sample.task_id, self.sample.wording


def is_kept(status: str) -> bool:
    """Return whether a rule with this status, in lower case, is kept."""
    return Status[status.upper()].is_kept


class Judge:
    """Judges responses and remembers: a behaviour is checked once in each world under each rulebook.

    Raises InputError if the file that remembers holds something else.
    """

    def __init__(self, verifier: Verifier, cache: Path, num_processes: int) -> None:
        self.verifier = verifier
        self.num_processes = num_processes
        self._file = RecordFile(cache)
        self._known = dict(_entry(record, cache, number) for number, record in enumerate(self._file.read(), start=1))
        self._contexts: dict[str, str] = {}

    def judge(self, responses: Sequence[Response]) -> list[Judgement]:
        """Return the judgements on responses, in their order."""
        named = [(*self._name(text), text, task) for text, task in responses]
        keys = [self._key(behaviour, num_steps, task) for behaviour, _, num_steps, _, task in named]
        new = {key: entry for key, entry in zip(keys, named, strict=True) if key not in self._known}
        if new:
            verdicts = verify_batch(
                self.verifier, [(text, task) for *_, text, task in new.values()], min(self.num_processes, len(new))
            )
            found = {
                key: Judgement.of(verdict, behaviour, is_still=is_still)
                for (key, (behaviour, is_still, *_)), verdict in zip(new.items(), verdicts, strict=True)
            }
            self._file.append({"key": key, **asdict(judgement)} for key, judgement in found.items())
            self._known |= found
        return [self._known[key] for key in keys]

    def _name(self, text: str) -> tuple[str, bool, int]:
        """Return the behaviour of a response, whether it stands still for ever, and its number of steps."""
        try:
            controller = self.verifier.read(text)
        except InvalidController as error:
            return f"invalid: {error}", False, 0
        return behaviour_digest(controller), never_moves(controller), controller.num_steps

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
            "settings": asdict(settings),
        }
        return json.dumps(parts, sort_keys=True)


def world_digest(domain: Domain, task: Task, kind: WorldKind) -> str:
    """Return SHA-256 over the world in which a task is judged: its description, and what was learned of it."""
    learned = domain.learned_world(task) if kind is WorldKind.SIMULATED else None
    name = "universal" if kind is WorldKind.UNIVERSAL else task.world
    parts = [name, domain.world(name).model_dump(mode="json"), learned.digest if learned else None]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _entry(record: Record, path: Path, number: int) -> tuple[str, Judgement]:
    """Return the key and the judgement of a record; raises InputError."""
    expected = {"key", *(entry.name for entry in fields(Judgement))}
    if record.keys() != expected:
        odd = sorted(record.keys() ^ expected)[0]
        raise InputError(path, f"not a verdict of this version: {odd!r} is unknown or missing", line=number)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    return values.pop("key"), Judgement(**values)
