"""Windows: the stretches of recorded waits, each as long as a task's limit, in which its event has to begin."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...specs.recorded_waits import Wait

Letters = tuple[int, ...]
"""What is the case, second by second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """So many seconds of a wait, from `second` on. `roll` are the seconds of the way there behind the line before.

    `counts` is False where the premise never holds.
    """

    seed: int
    line: int
    after: str | None
    second: int
    roll: Letters
    letters: Letters
    counts: bool


def windows_of(wait: Wait, limit: int, presumed: set[int]) -> Iterator[Window]:
    """Return the windows of a wait, one behind the other; those without a letter of the premise do not count."""
    letters = wait.letters
    roll, letters = letters[: wait.roll], letters[wait.roll :]
    for second in range(0, len(letters) - limit + 1, limit):
        part = letters[second : second + limit]
        yield Window(
            seed=wait.seed,
            line=wait.line,
            after=wait.after,
            second=second,
            roll=roll,
            letters=part,
            counts=not presumed.isdisjoint(part),
        )
