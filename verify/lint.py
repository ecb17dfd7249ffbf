"""Rulebook lint: what is wrong with the rules themselves, and what any controller could make of them.

For each rule its class, whether it can be kept or broken at all and what implies it; for each world whether all
applicable rules can be kept together, with and without the tasks' gates and the world's fairness, the best count of
rules that any controller can reach, and a controller that reaches it.
"""

from dataclasses import dataclass

from ..specs.domain import Domain
from ..specs.logic import Automaton, Formula, conjunction, spot
from ..specs.rulebook import Rule, Rulebook
from ..specs.world_description import UNIVERSAL
from ..synth.build import build_controller
from ..synth.controller import Controller
from ..synth.decompile import to_steps
from ..synth.steps import print_steps
from .bench import Bench, make_bench
from .check import Paths, find_violation
from .compiled import CompiledFormula, Compiler
from .forked import TimeLimitExceeded, within
from .implication import any_action, implications
from .reference import candidates
from .synthesis import Game, strategy_controller
from .world import world_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLint:
    """What a rule is by itself. `implied_by` are single rules, `implied_jointly_by` a smallest set of several."""

    rule_id: str
    formula: str
    english: str
    manna_pnueli_class: str
    weight: float
    presumes: tuple[str, ...]
    unsatisfiable: bool
    valid: bool
    implied_by: tuple[str, ...]
    implied_jointly_by: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What controllers can reach in a world under one assumption and with the gates of one goal (or none).

    `realizable`: all applicable rules and the gates at once. `best_count` of all rules of the book, those that cannot
    be broken here included, with `dropped` broken; None if the gates alone are out of reach. `steps` is a controller
    that reaches it, `num_states` its size. Everything is None when the time limit ran out (`problem`).
    """

    paths: Paths
    goal: str | None
    realizable: bool | None = None
    best_count: int | None = None
    dropped: tuple[str, ...] = ()
    steps: str | None = None
    num_states: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldLint:
    """What applies in a world and what controllers can reach there. `counted` are the rules that have weight."""

    world: str
    applicable: tuple[str, ...]
    counted: tuple[str, ...]
    reaches: tuple[Reach, ...]


class Linter:
    """Examines a rulebook in the worlds of a domain. `time_limit` is in seconds for each question."""

    def __init__(self, domain: Domain, rulebook: Rulebook, time_limit: float = 30.0) -> None:
        self.domain = domain
        self.rulebook = rulebook
        self.time_limit = time_limit
        self.compiler = Compiler(time_limit)

    def rules(self) -> list[RuleLint]:
        """Return what each rule is by itself and beside the others."""
        compiled = {rule.id: self._compile(rule) for rule in self.rulebook.rules}
        translated = {name: formula for name, formula in compiled.items() if formula}
        implied = implications(translated, self.domain.vocabulary.action_ids)
        return [self._lint_rule(rule, compiled[rule.id], implied.get(rule.id, ())) for rule in self.rulebook.rules]

    def world(self, name: str) -> WorldLint:
        """Return what controllers can reach in a world."""
        bench = self.bench(name)
        return WorldLint(
            world=name,
            applicable=tuple(rule.rule.id for rule in bench.rules if rule.applicable),
            counted=tuple(rule.rule.id for rule in bench.rules if rule.weight),
            reaches=tuple(
                self.reach(bench, paths, goal)
                for goal in (None, *self.goals(name))
                for paths in (Paths.FAIR, Paths.ALL)
            ),
        )

    def bench(self, name: str) -> Bench:
        """Return the bench of a world."""
        return make_bench(world_of(self.domain, name), self.rulebook, self.domain, self.compiler)

    def goals(self, world: str) -> list[Formula]:
        """Return the goals of the tasks in a world; in the universal one those of all tasks."""
        tasks = self.domain.tasks.values()
        return list(dict.fromkeys(task.goal for task in tasks if world in (task.world, UNIVERSAL)))

    def reach(self, bench: Bench, paths: Paths, goal: Formula | None) -> Reach:
        """Return what controllers can reach on a bench, with the gates of a goal or without."""
        description = self.domain.world(bench.world.name)
        game = Game(description, self.domain.vocabulary, _assumption(bench, paths))
        gates = [goal, self.domain.vocabulary.progress] if goal else []
        # What cannot be judged here is the first to be dropped.
        breakable = sorted((rule for rule in bench.rules if rule.can_be_violated), key=lambda rule: rule.applicable)
        rules = {rule.rule.id: rule.rule.formula for rule in breakable}
        applicable = [rule.rule.formula for rule in breakable if rule.applicable]
        name = goal.text if goal else None
        try:
            realizable, best = within(self.time_limit, _play, game, gates, applicable, rules)
            if best is None:
                return Reach(paths=paths, goal=name, realizable=False)
            dropped, strategy = best
            kept = [*gates, *(formula for rule_id, formula in rules.items() if rule_id not in dropped)]
            controller, steps = self._reference(bench, paths, goal, kept, strategy)
        except TimeLimitExceeded as error:
            return Reach(paths=paths, goal=name, problem=str(error))
        return Reach(
            paths=paths,
            goal=name,
            realizable=realizable,
            best_count=len(bench.rules) - len(dropped),
            dropped=tuple(dropped),
            steps=steps,
            num_states=len(controller.states),
        )

    def _reference(
        self, bench: Bench, paths: Paths, goal: Formula | None, kept: list[Formula], strategy: str
    ) -> tuple[Controller, str]:
        """Return a controller that keeps the formulas: a short one if there is one, else the synthesised one."""
        vocabulary = self.domain.vocabulary
        compiled = [self.compiler.compile(formula) for formula in kept]
        for program in candidates(self.domain.world(bench.world.name), compiled, goal, vocabulary):
            controller = build_controller(program, vocabulary)
            behaviour = bench.product(controller, paths).behaviour
            if not any(find_violation(behaviour, formula, paths) for formula in compiled):
                return controller, print_steps(program, vocabulary)
        controller = strategy_controller(strategy, vocabulary)
        return controller, print_steps(to_steps(controller), vocabulary)

    def _compile(self, rule: Rule) -> CompiledFormula | None:
        try:
            return self.compiler.compile(rule.formula)
        except TimeLimitExceeded:
            return None

    def _lint_rule(self, rule: Rule, compiled: CompiledFormula | None, implied_by: tuple[str, ...]) -> RuleLint:
        actions = any_action(self.domain.vocabulary.action_ids)
        problem = "" if compiled else f"not examined: translating it took more than {self.time_limit:g} s"
        valid = compiled is not None and not actions.intersects(compiled.complement)
        jointly: tuple[str, ...] = ()
        if compiled and not valid and not implied_by:
            try:
                jointly = within(self.time_limit, _joint_implication, rule, self.rulebook.rules, actions)
            except TimeLimitExceeded as error:
                problem = f"not examined whether the other rules together imply it: {error}"
        return RuleLint(
            rule_id=rule.id,
            formula=rule.formula.text,
            english=rule.english,
            manna_pnueli_class=rule.formula.manna_pnueli_class if compiled else "",
            weight=rule.weight,
            presumes=rule.presumes,
            unsatisfiable=compiled is not None and not actions.intersects(compiled.automaton),
            valid=valid,
            implied_by=() if valid else implied_by,
            implied_jointly_by=jointly,
            problem=problem,
        )


def problems(rules: list[RuleLint], worlds: list[WorldLint]) -> list[str]:
    """Return what makes a rulebook unfit for use, a sentence each; realizability is asked under fairness."""
    found = [
        f"{rule.rule_id} cannot be kept at all: {rule.formula} is unsatisfiable" for rule in rules if rule.unsatisfiable
    ]
    found += [f"{rule.rule_id}: {rule.problem}" for rule in rules if rule.problem]
    for world in worlds:
        for reach in world.reaches:
            gates = f"the gates of {reach.goal!r}" if reach.goal else "no gate"
            if reach.problem:
                found.append(f"{world.world}, {reach.paths} paths, {gates}: {reach.problem}")
            elif reach.paths is Paths.FAIR and reach.best_count is None:
                found.append(f"{world.world}: no controller can pass {gates}, whatever the rules")
            elif reach.paths is Paths.FAIR and not reach.realizable:
                dropped = ", ".join(reach.dropped)
                found.append(
                    f"{world.world}: no controller keeps all applicable rules with {gates}; without {dropped} one does"
                )
    return found


def _assumption(bench: Bench, paths: Paths) -> Formula:
    return bench.world.fairness if paths is Paths.FAIR else conjunction(())


def _play(
    game: Game, gates: list[Formula], applicable: list[Formula], rules: dict[str, Formula]
) -> tuple[bool, tuple[list[str], str] | None]:
    realizable = game.solve([*gates, *applicable]) is not None
    return realizable, game.best(gates, rules)


def _joint_implication(rule: Rule, rules: tuple[Rule, ...], actions: Automaton) -> tuple[str, ...]:
    """Return a smallest set of other rules (none can be spared) that together imply a rule; empty if none does."""

    def implies(others: list[Rule]) -> bool:
        formula = conjunction([*(other.formula for other in others), ~rule.formula])
        return not actions.intersects(spot.translate(formula.ltl))

    core = [other for other in rules if other.id != rule.id]
    if not implies(core):
        return ()
    for other in list(core):
        without = [left for left in core if left is not other]
        if implies(without):
            core = without
    return tuple(other.id for other in core)
