"""Deadlines: how long a piece of work may take as a whole, whatever it consists of."""

import math
import time

from .forked import Unanswered


class Deadline:
    """A moment after which work is left undone; one of infinitely many seconds never comes."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """How many seconds are left; negative once it has passed."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Do nothing while time is left; then raise Unanswered."""
        if self.left <= 0:
            raise Unanswered(f"left undone at the deadline of {self.seconds:g} s")
