"""The verifier: controllers against a rulebook in the worlds of a domain."""

from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from dataclasses import replace

from ...specs.domain import Domain
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered
from ...specs.recorded_waits import RecordingSet, recorded_waits_path
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...specs.world_description import UNIVERSAL
from ...synth.controllers.alignment import Alignment
from ...synth.controllers.controller import Controller
from ...synth.controllers.steps import InvalidController
from ..checking.compiled import Compiler
from ..records.timely import TimelyVerdict
from ..records.verdict import Mode, Status, Verdict
from ..worlds.learned import learned_world
from ..worlds.world import World, WorldKind, world_of
from .judge import Findings, judge
from .prepared_world import PreparedWorld, prepare_world
from .response import Parsed, read_controller
from .settings import Settings
from .timely_gate import TimelyGate, why_not_timed
from .witness import shortened


class Verifier:
    """Verifies controllers. Made once and used many times: it keeps the automata of its rulebook and worlds.

    `rulebook` may be named; without it the mode's own holds. Raises InputError.
    """

    def __init__(
        self, domain: Domain, rulebook: str | Rulebook | None = None, settings: Settings | None = None
    ) -> None:
        self.domain = domain
        self.settings = settings or Settings()
        self.rulebook = domain.rulebook(rulebook or self.settings.mode.rulebook(domain.rulebook_names()))
        self.alignment = Alignment(domain.vocabulary)
        self.compiler = Compiler(self.settings.time_limit)
        self._prepared: dict[tuple[str, frozenset[str]], PreparedWorld] = {}
        self._timely_gate = TimelyGate(domain, self.settings.recordings)

    def prepare(self, tasks: Iterable[Task]) -> None:
        """Translate now what judging these tasks needs."""
        for task in tasks:
            prepared = self._prepare(task, Deadline())
            if self.settings.is_timed:
                self._timely_gate.prepare(task, prepared)
            for _, gate in self.settings.gates(task, self.domain.vocabulary):
                with suppress(Unanswered):
                    self.compiler.compile(gate)

    def with_witnesses(self) -> "Verifier":
        """Return a verifier that also tells witnesses; the two share all that is translated and prepared."""
        telling = copy(self)
        telling.settings = replace(self.settings, witnesses=True)
        return telling

    def replaying(self, recordings: RecordingSet) -> "Verifier":
        """Return a verifier that replays another set of recorded waits; the two share all that is translated.

        It is this one where none are replayed.
        """
        worlds = {task.world for task in self.domain.tasks.values()}
        ship = any(recorded_waits_path(self.domain.folder, world).is_file() for world in worlds)
        if not (self.settings.is_timed and ship):
            return self
        other = copy(self)
        other.settings = replace(self.settings, recordings=recordings)
        other._timely_gate = TimelyGate(self.domain, recordings)
        return other

    def read(self, text: str) -> Controller:
        """Return the controller in a response, numbered steps or HOA; raises InvalidController."""
        read = read_controller(text, self.alignment, self.settings.reading, self.settings.max_steps)
        return self.settings.judged(read)

    def parse(self, text: str) -> Parsed:
        """Return the controller in a response, or the error that says why it holds none."""
        try:
            return self.read(text)
        except InvalidController as error:
            return error

    def verify_text(self, text: str, task: Task) -> Verdict:
        """Return the verdict on a response; one that is no controller gets an INVALID verdict with the reason."""
        return self.verify(self.parse(text), task)

    def verify(self, parsed: Parsed, task: Task) -> Verdict:
        """Return the verdict on a controller, or on a response that holds none; what the deadline leaves is unknown."""
        deadline = Deadline(self.settings.deadline)
        prepared = self._prepare(task, deadline)
        gates = self.settings.gates(task, self.domain.vocabulary)
        if isinstance(parsed, InvalidController):
            findings = Findings.alike(prepared, gates, Status.INVALID)
            return self._verdict(task, prepared, 0, findings, None, invalid=str(parsed))
        parsed = self.settings.judged(parsed)
        timely = self._timely_gate.judge(parsed, task, prepared) if self.settings.is_timed else None
        findings = judge(parsed, prepared, gates, self.compiler, self.settings, deadline)
        verdict = self._verdict(task, prepared, parsed.num_steps, findings, timely)
        is_as_told = self.settings.full_witnesses or not self.settings.witnesses
        return verdict if is_as_told else shortened(verdict)

    def _verdict(
        self,
        task: Task,
        prepared: PreparedWorld,
        num_steps: int,
        findings: Findings,
        timely: TimelyVerdict | None,
        invalid: str = "",
    ) -> Verdict:
        return Verdict(
            task_id=task.id,
            world=prepared.world.name,
            world_kind=prepared.world.kind,
            learned=prepared.world.learned,
            free=prepared.world.free,
            notes=(*self._notes(prepared), *why_not_timed(self.settings, task, self._timely_gate, timely)),
            rulebook=self.rulebook.name,
            rulebook_digest=self.rulebook.digest,
            mode=self.settings.mode,
            runs=self.settings.runs,
            ending=self.settings.reading.ending,
            otherwise=self.settings.reading.otherwise,
            num_steps=num_steps,
            invalid=invalid,
            rules=findings.rules,
            gates=findings.gates,
            timely=timely,
        )

    def _notes(self, prepared: PreparedWorld) -> tuple[str, ...]:
        notes = []
        is_asked_for = self.settings.world is WorldKind.SIMULATED and prepared.world.kind is not WorldKind.UNIVERSAL
        if is_asked_for and not prepared.world.learned:
            notes.append(f"no learned world ships for {prepared.world.name!r}: the abstract one was used")
        if self.settings.mode is Mode.GATED and not any(rule.applicable for rule in prepared.rules):
            book, world = self.rulebook.name, prepared.world.name
            notes.append(f"no rule of the rulebook {book!r} applies to the world {world!r}, so nothing can be judged")
        return tuple(notes)

    def _prepare(self, task: Task, deadline: Deadline) -> PreparedWorld:
        """Return the world in which a task is judged and its rules, prepared; kept unless a deadline ended that."""
        name = UNIVERSAL if self.settings.world is WorldKind.UNIVERSAL else task.world
        learned_from = frozenset(task.relevant) if self.settings.world is WorldKind.SIMULATED else frozenset()
        key = (name, learned_from)
        if key in self._prepared:
            return self._prepared[key]
        prepared = prepare_world(self._world(name, task), self.rulebook, self.domain, self.compiler, deadline)
        if prepared.is_complete:
            self._prepared[key] = prepared
        return prepared

    def _world(self, name: str, task: Task) -> World:
        described = world_of(self.domain, name, self.compiler)
        learned = self.domain.learned_world(task) if self.settings.world is WorldKind.SIMULATED else None
        if learned is None:
            return described
        return learned_world(learned, self.domain.world(name), self.domain.vocabulary, self.compiler)


def verify_text(
    text: str,
    domain: Domain,
    task: str,
    *,
    rulebook: str | Rulebook | None = None,
    settings: Settings | None = None,
) -> Verdict:
    """Return the verdict on one response, numbered steps or HOA, as the task with this id; raises InputError.

    A response that is no controller gets an INVALID verdict with the reason. For many make one `Verifier`.
    """
    return Verifier(domain, rulebook, settings).verify_text(text, domain.task(task))
