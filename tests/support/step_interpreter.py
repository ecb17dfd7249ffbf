"""An interpreter of the kettle's steps, letter by letter, without states, guards or decision diagrams."""

from dataclasses import dataclass

from verilora.synth.controllers.condition import Atom, Condition
from verilora.synth.controllers.controller import Ending, Otherwise, Reading
from verilora.synth.controllers.steps import Act, GoTo, If, Observe, Program, Stay, WaitUntil

from oracle import Letter, all_letters
from strategies import KETTLE

LETTERS = all_letters(KETTLE.proposition_ids)


class TimelessError(Exception):
    """A position was reached twice in one instant."""


@dataclass(frozen=True)
class Instant:
    """What one instant did: the action, where the next one begins (None: parked), and the positions gone through."""

    action: str
    following: int | None
    path: tuple[int, ...]


def holds(condition: Condition, letter: Letter) -> bool:
    if isinstance(condition, Atom):
        value = condition.proposition in letter
    else:
        values = [holds(operand, letter) for operand in condition.operands]
        value = all(values) if condition.connective == "and" else any(values)
    return value is not condition.negated


def behave(program: Program, reading: Reading, position: int | None, letter: Letter) -> Instant:
    """Return what steps do in an instant that begins at a position, which may lie behind the last step."""
    if position == len(program) + 1:
        position = 1 if reading.ending == Ending.PATROL else None
    if position is None:
        return Instant("rest", None, ())
    path: list[int] = []
    while True:
        if position in path:
            raise TimelessError
        path.append(position)
        match program[position - 1]:
            case Observe():
                doing: Act | GoTo | Stay = Act("rest")
            case WaitUntil(condition, action):
                doing = Act(action or "rest") if holds(condition, letter) else Stay()
            case If(condition, then, otherwise):
                omitted = Stay() if reading.otherwise == Otherwise.STAY else Act("rest")
                doing = then if holds(condition, letter) else omitted if otherwise is None else otherwise
            case step:
                doing = step
        if isinstance(doing, Act):
            return Instant(doing.action, position + 1, tuple(path))
        if isinstance(doing, Stay):
            return Instant("rest", position, tuple(path))
        position = doing.step


def is_timeless(program: Program, reading: Reading) -> bool:
    for position in range(1, len(program) + 1):
        for letter in LETTERS:
            try:
                behave(program, reading, position, letter)
            except TimelessError:
                return True
    return False


def without_first_jumps(program: Program, path: tuple[int, ...]) -> tuple[int, ...]:
    """Return a path from where a controller's state is: it has followed plain jumps before the instant began."""
    while path and isinstance(program[path[0] - 1], GoTo):
        path = path[1:]
    return path
