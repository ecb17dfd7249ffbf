"""Steps → controller: which instant executes which step (GLM2FSA's construction, with time made explicit).

Observing, acting and waiting take one time unit each; `go to step` takes none, so a machine reacts at once with
whatever step it lands on. A state is a step at which an instant can begin.
"""

from collections.abc import Iterator, Sequence

from ...specs.logic import Bdd, buddy
from ...specs.vocabulary import Vocabulary
from .alignment import Alignment
from .condition import diagram
from .controller import Controller, Edge, Ending, Otherwise, Reading
from .steps import MAX_STEPS, Act, GoTo, If, InvalidController, Observe, Program, Stay, WaitUntil, parse_steps

_READ_AS_WRITTEN = Reading()


def parse_controller(
    text: str, alignment: Alignment, reading: Reading = _READ_AS_WRITTEN, max_steps: int = MAX_STEPS
) -> Controller:
    """Return the controller of a response; raises InvalidController."""
    return build_controller(parse_steps(text, alignment, max_steps), alignment.vocabulary, reading)


def build_controller(program: Program, vocabulary: Vocabulary, reading: Reading = _READ_AS_WRITTEN) -> Controller:
    """Return the controller of parsed steps; raises InvalidController for a cycle that takes no time."""
    flow = _Flow(program, vocabulary.idle, reading)
    edges = {step: tuple(flow.instant(step)) for step in range(1, len(program) + 1)}
    edges[flow.done] = (Edge(buddy.bddtrue, vocabulary.idle, flow.done),)
    order = [flow.first_timed(1)]
    for step in order:
        order.extend(dict.fromkeys(edge.target for edge in edges[step] if edge.target not in order))
    state_of = {step: state for state, step in enumerate(order)}
    states = tuple(
        tuple(Edge(edge.guard, edge.action, state_of[edge.target], edge.steps) for edge in edges[step])
        for step in order
    )
    names = tuple("the end" if step == flow.done else f"step {step}" for step in order)
    return Controller(vocabulary, states, names, len(program), end=state_of.get(flow.done))


class _Flow:
    """Follows steps through one instant. Positions are step numbers; `done` lies behind the last one."""

    def __init__(self, program: Program, idle: str, reading: Reading) -> None:
        self.program = program
        self.idle = idle
        self.reading = reading
        self.done = len(program) + 1

    def first_timed(self, position: int) -> int:
        """Return where an instant that begins here really begins: jumps and the way back to step 1 are skipped."""
        path: list[int] = []
        while True:
            if position == self.done:
                if self.reading.ending == Ending.ONE_SHOT:
                    return self.done
                position = 1
            step = self.program[position - 1]
            if not isinstance(step, GoTo):
                return position
            if position in path:
                raise _timeless(path, position)
            path.append(position)
            position = step.step

    def instant(self, position: int, guard: Bdd = buddy.bddtrue, path: tuple[int, ...] = ()) -> Iterator[Edge]:
        """Yield what can happen in an instant that reaches a position under a guard; targets are positions."""
        if guard == buddy.bddfalse:
            return
        if position in path:
            raise _timeless(path, position)
        path = (*path, position)
        match self.program[position - 1]:
            case Observe():
                yield self._timed(guard, self.idle, position + 1, path)
            case WaitUntil(condition, action):
                holds = diagram(condition)
                yield from self._kept(guard & -holds, position, path)
                yield from self._branch(guard & holds, Act(action or self.idle), position, path)
            case If(condition, then, otherwise):
                holds = diagram(condition)
                yield from self._branch(guard & holds, then, position, path)
                yield from self._branch(guard & -holds, otherwise or self._omitted(), position, path)
            case (Act() | GoTo()) as step:
                yield from self._branch(guard, step, position, path)

    def _omitted(self) -> Act | Stay:
        return Stay() if self.reading.otherwise == Otherwise.STAY else Act(self.idle)

    def _branch(self, guard: Bdd, branch: Act | GoTo | Stay, position: int, path: tuple[int, ...]) -> Iterator[Edge]:
        match branch:
            case Act(action) if guard != buddy.bddfalse:
                yield self._timed(guard, action, position + 1, path)
            case GoTo(target):
                yield from self.instant(target, guard, path)
            case Stay():
                yield from self._kept(guard, position, path)

    def _kept(self, guard: Bdd, position: int, path: tuple[int, ...]) -> Iterator[Edge]:
        if guard != buddy.bddfalse:
            yield Edge(guard, self.idle, position, path)

    def _timed(self, guard: Bdd, action: str, next_position: int, path: tuple[int, ...]) -> Edge:
        return Edge(guard, action, self.first_timed(next_position), path)


def _timeless(path: Sequence[int], position: int) -> InvalidController:
    cycle = " → ".join(map(str, (*path[path.index(position) :], position)))
    return InvalidController(f"step {position}: a cycle takes no time: steps {cycle}")
