"""Guards found by search: programs that wait for a condition and then act, the best of them for some tasks.

They read no text. They start from what the rules forbid (`verify/rulebooks/reference.py`) and look at what the tasks
turn on.
"""

from collections.abc import Iterator, Sequence
from math import fsum

from ...specs.logic import Bdd, buddy, variable
from ...specs.task import Task
from ...synth.controllers.condition import condition_of, diagram
from ...synth.controllers.steps import Act, Program, WaitUntil, print_steps
from ...verify.rulebooks.reference import candidates
from ...verify.verdicts.batch import verify_batch
from ...verify.verdicts.prepared_world import PreparedWorld, prepare_world
from ...verify.verdicts.verifier import Verifier
from ...verify.worlds.world import world_of

Guard = tuple[Bdd, str]
"""The letters that are waited for, and the action that is given then."""


class GuardSearch:
    """Finds programs that do best on tasks with one goal. Made once: it keeps verdicts and what the rules allow."""

    def __init__(self, verifier: Verifier, num_processes: int = 1) -> None:
        self.verifier = verifier
        self.domain = verifier.domain
        self.num_processes = num_processes
        self._qualities: dict[tuple[str, str], float] = {}
        self._prepared: dict[str, PreparedWorld] = {}

    def blind(self, tasks: Sequence[Task]) -> str:
        """Return the steps that give an action of the goal at once, the one that does best."""
        return self._best([self._text((buddy.bddtrue, action)) for action in self._actions(tasks[0])], tasks)

    def guarded(self, tasks: Sequence[Task]) -> str:
        """Return the steps of one guard and an action that do best on all of some tasks.

        The search starts from the best guard that the rules suggest in the worlds of the tasks, alone or all at once,
        and adds what the tasks turn on, one proposition after another, as long as that helps.
        """
        guards = list(self._suggested(tasks))
        best = self._best_guard(guards, tasks)
        while self._quality(self._text(best), tasks) < 1:
            better = self._best_guard([best, *self._narrower(best, tasks)], tasks)
            if better == best:
                break
            best = better
        return self._text(best)

    def reference(self, tasks: Sequence[Task]) -> str:
        """Return the short program that the rules themselves suggest and that does best, whatever its form."""
        programs = [print_steps(program, self.domain.vocabulary) for program in self._candidates(tasks)]
        return self._best(programs, tasks)

    def _suggested(self, tasks: Sequence[Task]) -> Iterator[Guard]:
        """Yield no guard at all, those of candidates that wait once and then act, and all of one action at once."""
        actions = self._actions(tasks[0])
        yield from ((buddy.bddtrue, action) for action in actions)
        found: dict[str, list[Bdd]] = {action: [] for action in actions}
        for program in self._candidates(tasks):
            first = program[0]
            if isinstance(first, WaitUntil) and len(program) == 2 and first.action in found:
                found[first.action].append(diagram(first.condition))
        for action, guards in found.items():
            yield from ((guard, action) for guard in guards)
            together = buddy.bddtrue
            for guard in guards:
                together = together & guard
            if together != buddy.bddfalse:
                yield together, action

    def _candidates(self, tasks: Sequence[Task]) -> Iterator[Program]:
        actions = self._actions(tasks[0])
        for name in dict.fromkeys(task.world for task in tasks):
            rules = [rule.compiled for rule in self._world(name).rules if rule.applicable and rule.compiled]
            yield from candidates(self.domain.world(name), rules, actions, self.domain.vocabulary)

    def _narrower(self, guard: Guard, tasks: Sequence[Task]) -> Iterator[Guard]:
        """Yield a guard with one proposition more, true or false, that one of the tasks turns on."""
        for name in dict.fromkeys(name for task in tasks for name in task.relevant):
            for literal in (-variable(name), variable(name)):
                narrower = guard[0] & literal
                if narrower not in (buddy.bddfalse, guard[0]):
                    yield narrower, guard[1]

    def _best_guard(self, guards: Sequence[Guard], tasks: Sequence[Task]) -> Guard:
        texts = [self._text(guard) for guard in guards]
        return guards[texts.index(self._best(texts, tasks))]

    def _best(self, texts: Sequence[str], tasks: Sequence[Task]) -> str:
        """Return the text that does best, the first of equals."""
        self._judge(texts, tasks)
        return max(texts, key=lambda text: self._quality(text, tasks))

    def _quality(self, text: str, tasks: Sequence[Task]) -> float:
        return fsum(self._qualities[text, task.id] for task in tasks) / len(tasks)

    def _judge(self, texts: Sequence[str], tasks: Sequence[Task]) -> None:
        """Judge what is not yet known; tasks that ask for the same in the same world share a verdict."""
        alike: dict[tuple[object, ...], list[Task]] = {}
        for task in tasks:
            waits = str(task.event), task.limit, str(task.premise)
            alike.setdefault((task.world, frozenset(task.relevant), task.goal.text, *waits), []).append(task)
        new = [
            (text, group)
            for text in dict.fromkeys(texts)
            for group in alike.values()
            if any((text, task.id) not in self._qualities for task in group)
        ]
        if not new:
            return
        questions = [(self.verifier.parse(text), group[0]) for text, group in new]
        verdicts = verify_batch(self.verifier, questions, min(self.num_processes, len(new)))
        for (text, group), verdict in zip(new, verdicts, strict=True):
            self._qualities |= {(text, task.id): verdict.quality or 0.0 for task in group}

    def _world(self, name: str) -> PreparedWorld:
        if name not in self._prepared:
            compiler = self.verifier.compiler
            world = world_of(self.domain, name, compiler)
            self._prepared[name] = prepare_world(world, self.verifier.rulebook, self.domain, compiler)
        return self._prepared[name]

    def _actions(self, task: Task) -> list[str]:
        """Return the actions that a goal asks for: those that it names but the idle one, or any."""
        vocabulary = self.domain.vocabulary
        moves = [action for action in vocabulary.action_ids if action != vocabulary.idle]
        return [action for action in moves if action in task.goal.propositions] or moves

    def _text(self, guard: Guard) -> str:
        condition, vocabulary = condition_of(guard[0]), self.domain.vocabulary
        first = Act(guard[1]) if condition is None else WaitUntil(condition, guard[1])
        return print_steps((first, Act(vocabulary.idle)), vocabulary)
