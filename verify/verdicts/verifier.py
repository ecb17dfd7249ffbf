"""The verifier: controllers against a rulebook in the worlds of a domain."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

from ...specs.domain import Domain
from ...specs.logic import Automaton, Formula
from ...specs.processes.deadline import Deadline
from ...specs.processes.forked import Unanswered, check_time_limit
from ...specs.recorded_waits import RecordingSet, recorded_waits_path
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...specs.world_description import UNIVERSAL
from ...synth.controllers.alignment import Alignment
from ...synth.controllers.controller import Controller, Ending, Reading
from ...synth.controllers.steps import MAX_STEPS, InvalidController
from ..checking.check import FindCounterexample, Runs, find_violation
from ..checking.compiled import CompiledFormula, Compiler
from ..checking.ending import find_broken_rule, find_missed_goal
from ..records.timely import TimelyStatus, TimelyVerdict
from ..records.verdict import GateVerdict, Mode, RuleVerdict, Status, Verdict, Witness
from ..worlds.learned import learned_world
from ..worlds.world import World, WorldKind, world_of
from .prepared_world import PreparedRule, PreparedWorld, Product, prepare_world
from .response import read_controller
from .timely_gate import TimelyGate
from .witness import shortened, tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What decides a verdict besides controller, task and rulebook.

    `time_limit` is in seconds for each formula, `deadline` for a whole verdict. `full_witnesses` leaves no instant out.
    `recordings` is the set of recorded waits that the timely gate replays.
    """

    world: WorldKind = WorldKind.SIMULATED
    mode: Mode = Mode.GATED
    runs: Runs = Runs.CHAIN
    reading: Reading = field(default_factory=Reading)
    max_steps: int = MAX_STEPS
    time_limit: float = 5.0
    deadline: float = 60.0
    witnesses: bool = True
    full_witnesses: bool = False
    recordings: RecordingSet = RecordingSet.REPORT

    def __post_init__(self) -> None:
        if self.mode is Mode.PAPER and (self.world is not WorldKind.UNIVERSAL or self.runs is not Runs.ALL):
            raise ValueError(
                f"paper mode judges all runs of the universal world, got {self.runs} runs of the {self.world} world"
            )
        check_time_limit(self.time_limit)
        check_time_limit(self.deadline, "deadline")

    @classmethod
    def of(cls, mode: Mode, *, world: WorldKind | None = None, runs: Runs | None = None, **others: Any) -> Self:
        """Return the settings of a mode, its own world and runs where none are asked for.

        Paper mode judges all runs of the universal world and ranks by raw counts (`Mode.quality`).
        """
        own = (WorldKind.UNIVERSAL, Runs.ALL) if mode is Mode.PAPER else (WorldKind.SIMULATED, Runs.CHAIN)
        return cls(mode=mode, world=world or own[0], runs=runs or own[1], **others)


Parsed = Controller | InvalidController
"""What a response holds: a controller, or why it is none."""


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
        self._timely_gate = TimelyGate(self.domain, self.settings.recordings)

    def prepare(self, tasks: Iterable[Task]) -> None:
        """Translate now what judging these tasks needs."""
        for task in tasks:
            prepared = self._prepare(task, Deadline())
            if self.is_timed:
                self._timely_gate.prepare(task, prepared)
            for _, gate in self._gates(task):
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
        if not self.is_timed or not any(recorded_waits_path(self.domain.folder, world).is_file() for world in worlds):
            return self
        other = copy(self)
        other.settings = replace(self.settings, recordings=recordings)
        other._timely_gate = TimelyGate(self.domain, recordings)
        return other

    def read(self, text: str) -> Controller:
        """Return the controller in a response, numbered steps or HOA; raises InvalidController."""
        return self._judged(read_controller(text, self.alignment, self.settings.reading, self.settings.max_steps))

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
        if isinstance(parsed, InvalidController):
            rules = tuple(_rule_verdict(rule, Status.INVALID) for rule in prepared.rules)
            gates = tuple(_gate_verdict(name, formula, Status.INVALID) for name, formula in self._gates(task))
            return self._verdict(task, prepared, 0, rules, gates, None, invalid=str(parsed))
        parsed = self._judged(parsed)
        timely = self._timely_gate.judge(parsed, task, prepared) if self.is_timed else None
        try:
            product = prepared.product(parsed, self.settings.runs, deadline)
        except Unanswered as error:
            rules = tuple(_rule_verdict(rule, Status.UNKNOWN, reason=str(error)) for rule in prepared.rules)
            gates = tuple(_gate_verdict(name, gate, Status.UNKNOWN, str(error)) for name, gate in self._gates(task))
            return self._verdict(task, prepared, parsed.num_steps, rules, gates, timely)
        rules = tuple(self._verify_rule(rule, product, parsed, deadline) for rule in prepared.rules)
        gates = tuple(self._verify_gate(name, gate, product, parsed, deadline) for name, gate in self._gates(task))
        verdict = self._verdict(task, prepared, parsed.num_steps, rules, gates, timely)
        is_as_told = self.settings.full_witnesses or not self.settings.witnesses
        return verdict if is_as_told else shortened(verdict)

    def _verify_rule(
        self, rule: PreparedRule, product: Product, controller: Controller, deadline: Deadline
    ) -> RuleVerdict:
        if rule.compiled is None:
            return _rule_verdict(rule, Status.UNKNOWN)
        if not rule.can_be_violated:
            return _rule_verdict(rule, Status.SATISFIED)
        try:
            status, violation = self._check(partial(self._broken, rule.compiled, product.ends, deadline), product)
        except Unanswered as error:
            return _rule_verdict(rule, Status.UNKNOWN, reason=str(error))
        if violation is not None:
            witness, reason = self._tell(violation, controller)
            return _rule_verdict(rule, status, witness=witness, reason=reason)
        try:
            vacuous = None if rule.untriggered is None else self._is_untriggered(rule.untriggered, product, deadline)
            unconditional = None
            if rule.demand is not None and not vacuous:
                unconditional = self._broken(rule.demand, product.ends, deadline, product.behaviour) is None
        except Unanswered as error:
            return _rule_verdict(rule, status, reason=f"whether its trigger matters was not found out: {error}")
        return _rule_verdict(rule, status, vacuous=vacuous, unconditional=unconditional)

    def _verify_gate(
        self, name: str, gate: Formula, product: Product, controller: Controller, deadline: Deadline
    ) -> GateVerdict:
        try:
            status, violation = self._check(self._missed(gate, product.ends, deadline), product)
        except Unanswered as error:
            return _gate_verdict(name, gate, Status.UNKNOWN, str(error))
        witness, reason = self._tell(violation, controller)
        return _gate_verdict(name, gate, status, reason, witness)

    def _judged(self, controller: Controller) -> Controller:
        """Return a controller as the mode has it: in paper mode it idles for ever after its last step, as published."""
        return replace(controller, end=None) if self.settings.mode is Mode.PAPER else controller

    def _broken(
        self, rule: CompiledFormula, ends: bool, deadline: Deadline, behaviour: Automaton
    ) -> FindCounterexample | None:
        find = find_broken_rule if ends else find_violation
        return find(behaviour, rule, self.settings.runs, deadline)

    def _missed(
        self, gate: Formula, ends: bool, deadline: Deadline
    ) -> Callable[[Automaton], FindCounterexample | None]:
        compiled = self.compiler.compile(gate, deadline)
        if not ends:
            return partial(self._broken, compiled, False, deadline)
        finite = self.compiler.compile_finite(gate, is_strong=True)
        return lambda behaviour: find_missed_goal(behaviour, compiled, finite, self.settings.runs, deadline)

    def _is_untriggered(self, untriggered: CompiledFormula, product: Product, deadline: Deadline) -> bool:
        runs = Runs.FAIR if self.settings.runs is Runs.FAIR else Runs.ALL
        find = find_broken_rule if product.ends else find_violation
        return find(product.behaviour, untriggered, runs, deadline) is None

    def _check(
        self, find: Callable[[Automaton], FindCounterexample | None], product: Product
    ) -> tuple[Status, FindCounterexample | None]:
        """Return the status of what is looked for, and how to find a run that violates it in what was seen."""
        violation = find(product.behaviour)
        if violation is not None:
            return Status.VIOLATED, violation
        if product.closure is not None and find(product.closure):
            return Status.OBSERVED, None
        return Status.SATISFIED, None

    def _tell(self, violation: FindCounterexample | None, controller: Controller) -> tuple[Witness | None, str]:
        """Return the witness of a violation if one is asked for, and why there is none if it took too long."""
        if violation is None or not self.settings.witnesses:
            return None, ""
        try:
            return tell(violation(), controller), ""
        except Unanswered as error:
            return None, f"no witness: {error}"

    def _gates(self, task: Task) -> Sequence[tuple[str, Formula]]:
        if self.settings.mode is Mode.PAPER:
            return ()
        if self.settings.reading.ending is Ending.ONE_SHOT:
            return (("goal", task.goal),)
        return (("goal", task.goal), ("progress", self.domain.vocabulary.progress))

    def _verdict(
        self,
        task: Task,
        prepared: PreparedWorld,
        num_steps: int,
        rules: tuple[RuleVerdict, ...],
        gates: tuple[GateVerdict, ...],
        timely: TimelyVerdict | None,
        invalid: str = "",
    ) -> Verdict:
        return Verdict(
            task_id=task.id,
            world=prepared.world.name,
            world_kind=prepared.world.kind,
            learned=prepared.world.learned,
            free=prepared.world.free,
            notes=(*self._notes(prepared), *self._timely_notes(task, timely)),
            rulebook=self.rulebook.name,
            rulebook_digest=self.rulebook.digest,
            mode=self.settings.mode,
            runs=self.settings.runs,
            ending=self.settings.reading.ending,
            otherwise=self.settings.reading.otherwise,
            num_steps=num_steps,
            invalid=invalid,
            rules=rules,
            gates=gates,
            timely=timely,
        )

    @property
    def is_timed(self) -> bool:
        """Whether recorded waits are replayed where they ship."""
        return self.settings.mode is Mode.GATED and self.settings.world is WorldKind.SIMULATED

    def _timely_notes(self, task: Task, timely: TimelyVerdict | None) -> tuple[str, ...]:
        if self.settings.mode is Mode.PAPER:
            return ("no timely gate: paper mode has no gates",)
        if not self.is_timed:
            return ("no timely gate: it is asked in simulated worlds only",)
        if timely is not None and timely.status is TimelyStatus.NO_RECORDINGS:
            return (f"no timely gate: {self._timely_gate.missing(task)}",)
        return ()

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


def _rule_verdict(
    prepared: PreparedRule,
    status: Status,
    *,
    vacuous: bool | None = None,
    unconditional: bool | None = None,
    witness: Witness | None = None,
    reason: str = "",
) -> RuleVerdict:
    return RuleVerdict(
        rule_id=prepared.rule.id,
        status=status,
        applicable=prepared.applicable,
        weight=prepared.weight,
        vacuous=vacuous,
        unconditional=unconditional,
        reason=reason or prepared.reason,
        witness=witness,
    )


def _gate_verdict(
    name: str, gate: Formula, status: Status, reason: str = "", witness: Witness | None = None
) -> GateVerdict:
    return GateVerdict(name=name, formula=gate.text, status=status, reason=reason, witness=witness)
