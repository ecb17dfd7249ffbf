"""The fronts of a server beside its first: started, started again, told of what changes, and ended with it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ...adapters.adapter_record import AdapterRecord
from .figures import Family
from .messages import Answer, Ask, EngineAt, Start
from .other_front import OtherFront

CHANGE_SECONDS = 4.0
"""A front that takes longer to note that an adapter has changed is taken for dead."""
FIGURES_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LONG_RUN = 60.0
"""After a front that ran for so long the next one is started soon again."""
_LOG = logging.getLogger(__name__)


class FrontGroup:
    """So many other fronts, which accept on the socket of the first.

    start   makes what one of a number is told first: how things are at that moment
    answer  does for one what it cannot do itself
    """

    def __init__(
        self,
        num_others: int,
        listener: int,
        start: Callable[[int], Start],
        answer: Callable[[Ask], Awaitable[Answer]],
    ) -> None:
        self.num_restarts = 0
        self._numbers = range(1, num_others + 1)
        self._listener = listener
        self._start = start
        self._answer = answer
        self._fronts: dict[int, OtherFront] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()

    @property
    def num_serving(self) -> int:
        """How many of them accept connections."""
        return sum(front.is_serving for front in self._fronts.values())

    @property
    def is_empty(self) -> bool:
        """Whether no process of one is left."""
        return not self._fronts

    def start(self) -> None:
        """Keep them running from now on."""
        self._keeping = [asyncio.create_task(self._keep(number)) for number in self._numbers]

    async def close(self) -> None:
        """End all of them, and wait until they have."""
        self.end()
        await asyncio.gather(*self._keeping)

    def engine_at(self, endpoint: str | None) -> None:
        """Let all of them speak to the engine where it takes messages now, or to none."""
        for front in self._fronts.values():
            front.send(EngineAt(endpoint))

    async def publish(self, name: str, record: AdapterRecord | None) -> None:
        """Let a name stand for a version, or for nothing, in all of them; returns once it does."""
        await asyncio.gather(*(front.change(name, record, CHANGE_SECONDS) for front in self._fronts.values()))

    async def figures(self) -> list[list[Family]]:
        """Return the figures of each that tells them."""
        return await asyncio.gather(*(front.figures(FIGURES_SECONDS) for front in self._fronts.values()))

    def drain(self) -> None:
        """Let all of them end once nothing runs, and start none again."""
        self._ending.set()
        for front in self._fronts.values():
            front.drain()

    def end(self) -> None:
        """End all of them now."""
        self._ending.set()
        for front in self._fronts.values():
            front.kill()

    async def _keep(self, number: int) -> None:
        pause = FIRST_PAUSE
        while not self._ending.is_set():
            started = time.monotonic()
            code = await self._run_once(number)
            if self._ending.is_set():
                return
            self.num_restarts += 1
            _LOG.error("front %d is started again: its process has ended with code %d", number, code)
            if time.monotonic() - started > LONG_RUN:
                pause = FIRST_PAUSE
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run_once(self, number: int) -> int:
        try:
            front = await OtherFront.launched(self._listener, lambda: self._start(number), self._answer)
        except OSError:
            _LOG.exception("a process cannot be started")
            return 1
        if self._ending.is_set():
            front.kill()
        self._fronts[number] = front
        try:
            return await front.run()
        finally:
            del self._fronts[number]
