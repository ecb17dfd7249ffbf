"""A load as it runs: requests are sent when they are due, whether or not earlier ones have been answered."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from .attempt import Attempt
from .workload.plan import PlannedRequest

LAG_EVERY = 0.02
Send = Callable[[Attempt, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """What was sent, and what it took: seconds from the start to the last end, and of this process's CPU.

    `start` is on the clock of the attempts. `lags` are how late the event loop came, measured again and again: as late
    are tokens seen.
    """

    attempts: list[Attempt]
    lags: list[float]
    start: float
    seconds: float
    cpu_seconds: float
    num_planned: int
    was_stopped: bool


async def run_load(
    requests: Iterable[tuple[PlannedRequest, bytes]],
    send: Send,
    *,
    concurrency: int | None = None,
    stop: asyncio.Event | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> LoadRun:
    """Send requests with their bodies, each when it is due, and return what was measured once all have ended.

    With `concurrency`, at most so many are under way: one that finds no place is due when another ends. When `stop` is
    set nothing more is sent, and what is under way is left.
    """
    planned = list(requests)
    attempts: list[Attempt] = []
    lags: list[float] = []
    start, cpu_start = time.perf_counter(), time.process_time()
    sending = asyncio.create_task(_send_all(planned, send, attempts, start, concurrency, report))
    watching = asyncio.create_task(_watch(lags))
    try:
        was_stopped = await _ends_or_stops(sending, stop)
    finally:
        watching.cancel()
    return LoadRun(
        attempts=attempts,
        lags=lags,
        start=start,
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu_start,
        num_planned=len(planned),
        was_stopped=was_stopped,
    )


async def _ends_or_stops(sending: "asyncio.Task[None]", stop: asyncio.Event | None) -> bool:
    """Wait for the one or the other, and return whether it was stopped; raises what the task raised."""
    if stop is None:
        await sending
        return False
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((sending, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    was_stopped = not sending.done()
    if was_stopped:
        sending.cancel()
        await asyncio.wait((sending,))
    if not sending.cancelled():
        sending.result()
    return was_stopped


async def _watch(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        lags.append(time.perf_counter() - due)


async def _send_all(
    planned: list[tuple[PlannedRequest, bytes]],
    send: Send,
    attempts: list[Attempt],
    start: float,
    concurrency: int | None,
    report: Callable[[int], None],
) -> None:
    # Since when each place is free.
    places: asyncio.Queue[float] = asyncio.Queue()
    for _ in range(concurrency or len(planned)):
        places.put_nowait(start)
    num_ended = 0

    async def send_one(attempt: Attempt, body: bytes) -> None:
        nonlocal num_ended
        try:
            await send(attempt, body)
        finally:
            places.put_nowait(time.perf_counter())
        num_ended += 1
        report(num_ended)

    async with asyncio.TaskGroup() as group:
        for request, body in planned:
            due = start + request.at
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            attempt = Attempt(planned=request, due=max(due, await places.get()))
            attempts.append(attempt)
            group.create_task(send_one(attempt, body))
