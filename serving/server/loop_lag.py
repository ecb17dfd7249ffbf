"""How late the event loop is: whatever holds it up holds up every stream."""

import asyncio
import time
from collections.abc import Callable

SECONDS = 0.05


class LoopLag:
    """The longest time that the event loop was late for a timer since it was last asked; `note` hears of each time."""

    def __init__(self, note: Callable[[float], None] = lambda _: None) -> None:
        self._worst = 0.0
        self._note = note

    def take(self) -> float:
        """Return the worst lag in seconds, and begin again."""
        worst, self._worst = self._worst, 0.0
        return worst

    async def watch(self) -> None:
        """Measure until this is cancelled."""
        while True:
            due = time.monotonic() + SECONDS
            await asyncio.sleep(SECONDS)
            lag = time.monotonic() - due
            self._worst = max(self._worst, lag)
            self._note(lag)
