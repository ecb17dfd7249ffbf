"""Acceptance of a product: every automaton in it must accept. Marks of all of them are the bits of one number.

Spot's own products end at 32 marks; here each automaton keeps its condition, and its marks are shifted.
"""

from dataclasses import dataclass
from typing import Any

from ...specs.logic import spot
from ..checking.reason import least_reason


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A conjunction of conditions in Spot's form (Emerson and Lei), each with the number of its first mark."""

    parts: tuple[tuple[int, Any], ...]

    def accepts(self, marks: int) -> bool:
        """Return whether runs that bear exactly these marks again and again are accepted."""
        return all(code.accepting(_sets(code, first, marks)) for first, code in self.parts)

    def narrowed(self, marks: int) -> "Acceptance | None":
        """Return what is left to be met where no other marks exist; None if that cannot be met."""
        left = []
        for first, code in self.parts:
            missing = [mark for mark in code.used_sets().sets() if not marks >> (first + mark) & 1]
            code = code.remove(spot.mark_t(missing), True)
            if code.is_f():
                return None
            if not code.is_t():
                left.append((first, code))
        return Acceptance(tuple(left))

    def hindering(self, marks: int) -> int | None:
        """Return a mark that must perhaps not recur, of a condition which these marks do not meet; None if none is."""
        for first, code in self.parts:
            if not code.accepting(_sets(code, first, marks)) and code.fin_one() >= 0:
                return first + int(code.fin_one())
        return None

    def where_recurring(self, mark: int) -> "Acceptance":
        """Return what is left to be met where a mark recurs. That it does so is still asked for, where it was."""
        parts = []
        for first, code in self.parts:
            is_own = mark - first in code.used_sets().sets()
            parts.append((first, code.force_inf(spot.mark_t([mark - first])) if is_own else code))
        return Acceptance(tuple(parts))

    def reason(self, marks: int) -> tuple[int, ...]:
        """Return a least set of marks whose recurrence is enough where no others exist; all together must be."""
        found = []
        for first, code in self.parts:
            own = _sets(code, first, marks).sets()
            found += [first + mark for mark in least_reason(code, list(own), accepts=True)]
        return tuple(found)


def _sets(code: Any, first: int, marks: int) -> Any:
    return spot.mark_t([mark for mark in code.used_sets().sets() if marks >> (first + mark) & 1])
