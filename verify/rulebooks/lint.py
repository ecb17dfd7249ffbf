"""Rulebook lint: what is wrong with the rules themselves, and what any controller could make of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...specs.domain import DEFAULT_RULEBOOK, Domain
from ...specs.files.errors import InputError, expected_one_of
from ...specs.logic import Formula
from ...specs.processes.deadline import Deadline
from ...specs.rulebook import Rulebook
from ...specs.task import Task
from ...specs.waiver import Waiver
from ...specs.world_description import UNIVERSAL
from ..checking.check import Runs
from ..checking.compiled import Compiler
from ..records.verdict import Status
from ..verdicts.prepared_world import PreparedWorld, prepare_world
from ..verdicts.settings import Settings
from ..verdicts.verifier import Verifier
from ..worlds.world import WorldKind, world_of
from .reach import Reach, find_reach
from .rule_lint import RuleLint, lint_rules

# Of each question, in seconds; what else may be asked beside whether rules can be kept gets a share of it.
TIME_LIMIT = 5.0
_SHARE_BESIDE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldLint:
    """What applies in a world and what controllers can reach there. `implied` rules apply, but have no weight."""

    world: str
    applicable: tuple[str, ...]
    implied: tuple[str, ...]
    reaches: tuple[Reach, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RulebookLint:
    """What was found about a rulebook: about each rule, and about each world that was examined.

    Unless it is `complete`, rules, worlds and what can be reached in the last of them may be missing.
    """

    rulebook: str
    digest: str
    domain: str
    rules: tuple[RuleLint, ...]
    waivers: tuple[Waiver, ...] = ()
    worlds: tuple[WorldLint, ...] = ()
    complete: bool = True

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes the book unfit for use, a sentence each."""
        return tuple(problems(self.rules, self.worlds))

    def to_json(self) -> dict[str, Any]:
        waivers = [waiver.model_dump(mode="json") for waiver in self.waivers]
        return {**asdict(self), "waivers": waivers, "problems": list(self.problems)}


class Linter:
    """Examines a rulebook in the worlds of a domain, by default also in learned ones.

    `time_limit` is in seconds for each question.
    """

    def __init__(
        self, domain: Domain, rulebook: Rulebook, time_limit: float = TIME_LIMIT, kind: WorldKind = WorldKind.SIMULATED
    ) -> None:
        self.domain = domain
        self.rulebook = rulebook
        self.kind = kind
        self.compiler = Compiler(time_limit)
        self._verifiers: dict[WorldKind, Verifier] = {}

    def rules(self) -> list[RuleLint]:
        """Return what each rule is by itself and beside the others."""
        found = [*self.rules_so_far()]
        return [*found[-1]] if found else []

    def rules_so_far(self) -> Iterator[tuple[RuleLint, ...]]:
        """Yield what is known of the rules, after each of the questions."""
        return lint_rules(self.rulebook, self.domain.vocabulary, self.compiler)

    def world(self, name: str) -> WorldLint:
        """Return what controllers can reach in a world; raises InputError."""
        *_, found = self.world_so_far(name)
        return found

    def world_so_far(self, name: str) -> Iterator[WorldLint]:
        """Yield what controllers can reach in a world as far as it is known, after each of the questions."""
        prepared = self.prepare(name)
        applicable = [rule for rule in prepared.rules if rule.applicable]
        found = WorldLint(
            world=name,
            applicable=tuple(rule.rule.id for rule in applicable),
            implied=tuple(rule.rule.id for rule in applicable if rule.rule.weight and not rule.weight),
            reaches=(),
        )
        for goal in (None, *self.goals(name)):
            for runs in (Runs.CHAIN, Runs.FAIR, Runs.ALL):
                seconds = self.compiler.time_limit * (1 if runs is Runs.CHAIN else _SHARE_BESIDE)
                found = replace(found, reaches=(*found.reaches, self.reach(prepared, runs, goal, seconds)))
                yield found

    def prepare(self, name: str) -> PreparedWorld:
        """Return a world with the rules as they stand in it; raises InputError."""
        return prepare_world(world_of(self.domain, name, self.compiler), self.rulebook, self.domain, self.compiler)

    def goals(self, world: str) -> list[Formula]:
        """Return the goals of the tasks in a world; in the universal one those of all tasks."""
        return list(dict.fromkeys(task.goal for task in self._tasks(world)))

    def reach(self, prepared: PreparedWorld, runs: Runs, goal: Formula | None, seconds: float | None = None) -> Reach:
        """Return what controllers can reach in a prepared world, with the gates of a goal or without.

        `seconds` is the time limit if it is another than the linter's.
        """
        deadline = Deadline(seconds or self.compiler.time_limit)
        reach = find_reach(prepared, runs, goal, self.domain, self.compiler, deadline)
        if runs is not Runs.CHAIN or goal is None or not reach.realizable or reach.controller is None:
            return reach
        tasks = [task for task in self._tasks(prepared.world.name) if task.goal == goal]
        is_universal = prepared.world.name == UNIVERSAL
        is_learned = self.kind is WorldKind.SIMULATED and not is_universal
        learned = [task for task in tasks if is_learned and self.domain.learned_world(task)]
        kind = WorldKind.UNIVERSAL if is_universal else WorldKind.ABSTRACT
        return replace(
            reach,
            abstract=self._worst(reach.controller, tasks[:1], kind),
            simulated=self._worst(reach.controller, learned, WorldKind.SIMULATED),
        )

    def _worst(self, controller: str, tasks: Sequence[Task], kind: WorldKind) -> str | None:
        """Return the worst status of gates and applicable rules in worlds of a kind; None if there is no task."""
        verdicts = [self._verifier(kind).verify_text(controller, task) for task in tasks]
        statuses = [rule.status for verdict in verdicts for rule in verdict.deciding]
        statuses += [gate.status for verdict in verdicts for gate in verdict.gates]
        return min(statuses).word if statuses else None

    def _verifier(self, kind: WorldKind) -> Verifier:
        if kind not in self._verifiers:
            settings = Settings(world=kind, time_limit=self.compiler.time_limit, witnesses=False)
            self._verifiers[kind] = Verifier(self.domain, self.rulebook, settings)
        return self._verifiers[kind]

    def _tasks(self, world: str) -> list[Task]:
        """Return the tasks in a world; in the universal one all of them."""
        return [task for task in self.domain.tasks.values() if world in (task.world, UNIVERSAL)]


class Examination:
    """A rulebook, named or given, examined in one world or in all, question by question; raises InputError.

    `world` is the name of one, or a kind: `abstract` leaves out what was learned. `time_limit` is in seconds for each
    question.
    """

    def __init__(
        self,
        domain: Domain,
        rulebook: str | Rulebook = DEFAULT_RULEBOOK,
        *,
        world: str | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._book = domain.rulebook(rulebook)
        self._domain = domain
        self._names = _worlds(domain, world)
        kind = WorldKind.ABSTRACT if world == WorldKind.ABSTRACT else WorldKind.SIMULATED
        self._linter = Linter(domain, self._book, time_limit, kind)

    @property
    def num_questions(self) -> int:
        """How many there are: two of each rule, and of each world three without a goal and three for each."""
        return 2 * len(self._book.rules) + sum(3 + 3 * len(self._linter.goals(name)) for name in self._names)

    def run(self) -> Iterator[RulebookLint]:
        """Yield what is found so far, after each question; the last is complete."""
        book = self._book
        found = RulebookLint(
            rulebook=book.name,
            digest=book.digest,
            domain=self._domain.name,
            rules=(),
            waivers=book.waivers,
            complete=False,
        )
        left = self.num_questions
        for rules in self._linter.rules_so_far():
            left -= 1
            found = replace(found, rules=rules, complete=not left)
            yield found
        for name in self._names:
            done = found.worlds
            for world in self._linter.world_so_far(name):
                left -= 1
                found = replace(found, worlds=(*done, world), complete=not left)
                yield found


def lint(
    domain: Domain,
    rulebook: str | Rulebook = DEFAULT_RULEBOOK,
    *,
    world: str | None = None,
    time_limit: float = TIME_LIMIT,
    report: Callable[[RulebookLint], None] = lambda found: None,
) -> RulebookLint:
    """Return what is to be said of a rulebook as an `Examination` finds it; raises InputError.

    `report` is told what is found so far: after the rules, and after each world.
    """
    before: RulebookLint | None = None
    for found in Examination(domain, rulebook, world=world, time_limit=time_limit).run():
        if before and len(found.worlds) > len(before.worlds):
            report(before)
        before = found
    assert before is not None, "a domain has worlds, and each is asked about"
    report(before)
    return before


def _worlds(domain: Domain, name_or_kind: str | None) -> list[str]:
    """Return the worlds to examine: one by its name, or all of them."""
    if name_or_kind in (None, WorldKind.ABSTRACT, WorldKind.SIMULATED):
        return list(domain.worlds)
    assert name_or_kind is not None
    if name_or_kind not in domain.worlds:
        expected = expected_one_of(name_or_kind, (*domain.worlds, WorldKind.ABSTRACT, WorldKind.SIMULATED))
        raise InputError(domain.folder / "worlds.yaml", f"no such world or kind: {expected}")
    return [name_or_kind]


def problems(rules: Sequence[RuleLint], worlds: Sequence[WorldLint]) -> list[str]:
    """Return what makes a rulebook unfit for use, a sentence each.

    What controllers can reach counts as judged almost surely on the chain; what was not found out is no problem.
    """
    found = [
        f"{rule.rule_id} cannot be kept at all: {rule.formula} is unsatisfiable" for rule in rules if rule.unsatisfiable
    ]
    found += [f"{rule.rule_id}: {rule.problem}" for rule in rules if rule.problem]
    reaches = [(world, reach) for world in worlds for reach in world.reaches if reach.runs is Runs.CHAIN]
    return [
        *found,
        *(f"{world.world}: {problem}" for world, reach in reaches if (problem := _reach_problem(world, reach))),
    ]


def _reach_problem(world: WorldLint, reach: Reach) -> str:
    """Return what is wrong with rules that cannot be kept, or only by a controller that fails elsewhere, else ""."""
    gates = f"the gates of {reach.goal!r}" if reach.goal else "no gate"
    if reach.realizable is False:
        if reach.problem:
            return f"no controller keeps all applicable rules with {gates}"
        if reach.best_count is None:
            return f"no controller can pass {gates}, whatever the rules"
        clash = ", ".join(reach.clash)
        dropped = ", ".join(rule_id for rule_id in reach.dropped if rule_id in world.applicable)
        return f"no controller keeps {clash} with {gates}; without {dropped} one keeps all that is left"
    for status, where in ((reach.abstract, "the abstract world"), (reach.simulated, "a learned world")):
        if status == Status.VIOLATED.word:
            return f"the reference controller for {gates} fails in {where}"
    return ""
