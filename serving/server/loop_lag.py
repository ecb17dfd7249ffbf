"""How late the event loop is: whatever holds it up holds up every stream."""

import asyncio
import time

SECONDS = 0.05


class LoopLag:
    """The longest time that the event loop was late for a timer since it was last asked."""

    def __init__(self) -> None:
        self._worst = 0.0

    def take(self) -> float:
        """Return the worst lag in seconds, and begin again."""
        worst, self._worst = self._worst, 0.0
        return worst

    async def watch(self) -> None:
        """Measure until this is cancelled."""
        while True:
            due = time.monotonic() + SECONDS
            await asyncio.sleep(SECONDS)
            self._worst = max(self._worst, time.monotonic() - due)
