import asyncio
import time

import pytest

from verilora.serving.load.attempt import Attempt
from verilora.serving.load.load_run import LoadRun, run_load
from verilora.serving.load.workload.plan import PlannedRequest


def requests(*times: float) -> list[tuple[PlannedRequest, bytes]]:
    return [
        (PlannedRequest(number=number, at=at, model="a", prompt="x", input_len=1, output_len=1), b"%d" % number)
        for number, at in enumerate(times)
    ]


class Server:
    """Answers once it is let, and knows how many it had at a time."""

    def __init__(self) -> None:
        self.is_let = asyncio.Event()
        self.bodies: list[bytes] = []
        self.num_open = self.most_open = 0

    async def send(self, attempt: Attempt, body: bytes) -> None:
        attempt.sent = time.perf_counter()
        self.bodies.append(body)
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        await self.is_let.wait()
        await asyncio.sleep(0)
        self.num_open -= 1
        attempt.has_succeeded = True


async def until(is_so: object) -> None:
    while not is_so():  # type: ignore[operator]
        await asyncio.sleep(0.001)


def test_nobody_waits_for_earlier_answers() -> None:
    async def run() -> tuple[LoadRun, Server]:
        server = Server()
        running = asyncio.create_task(run_load(requests(0, 0.01, 0.02, 0.02, 0.03), server.send))
        await until(lambda: server.num_open == 5)
        server.is_let.set()
        return await running, server

    found, server = asyncio.run(run())
    assert server.bodies == [b"0", b"1", b"2", b"3", b"4"]
    assert (found.num_planned, len(found.attempts), found.was_stopped) == (5, 5, False)
    assert all(attempt.has_succeeded for attempt in found.attempts)


def test_nothing_is_sent_before_it_is_due() -> None:
    async def run() -> LoadRun:
        server = Server()
        server.is_let.set()
        return await run_load(requests(0, 0.02, 0.05), server.send)

    found = asyncio.run(run())
    assert all(attempt.late is not None and attempt.late >= 0 for attempt in found.attempts)
    start = found.attempts[0].due
    assert [attempt.due - start for attempt in found.attempts] == pytest.approx([0, 0.02, 0.05])
    assert found.seconds >= 0.05
    assert found.cpu_seconds > 0


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_than_so_many_at_a_time(concurrency: int) -> None:
    async def run() -> tuple[LoadRun, Server]:
        server = Server()
        running = asyncio.create_task(run_load(requests(*[0.0] * 20), server.send, concurrency=concurrency))
        await until(lambda: server.num_open == concurrency)
        assert len(server.bodies) == concurrency
        server.is_let.set()
        return await running, server

    found, server = asyncio.run(run())
    assert server.most_open == concurrency
    assert len(server.bodies) == 20
    dues = [attempt.due for attempt in found.attempts]
    # Those that found no place are due when another has ended.
    assert dues == sorted(dues)
    assert len({*dues[:concurrency]}) == 1
    assert dues[concurrency] > dues[0]


def test_a_stop_leaves_what_is_under_way_and_what_was_not_sent() -> None:
    async def run() -> tuple[LoadRun, int]:
        server, stop, told = Server(), asyncio.Event(), list[int]()
        planned = requests(0, 0, 0, 0, 3600)
        running = asyncio.create_task(run_load(planned, server.send, concurrency=2, stop=stop, report=told.append))
        await until(lambda: server.num_open == 2)
        stop.set()
        return await running, len(told)

    found, num_told = asyncio.run(run())
    assert found.was_stopped
    assert (found.num_planned, len(found.attempts), num_told) == (5, 2, 0)
    assert not any(attempt.has_ended for attempt in found.attempts)


def test_a_loop_that_is_kept_busy_is_seen() -> None:
    async def keep_busy(attempt: Attempt, body: bytes) -> None:
        await asyncio.sleep(0.03)
        time.sleep(0.1)

    found = asyncio.run(run_load(requests(0), keep_busy))
    assert max(found.lags) > 0.05


def test_progress_is_told_of_each_that_ends() -> None:
    async def run() -> list[int]:
        server, told = Server(), list[int]()
        server.is_let.set()
        await run_load(requests(0, 0, 0), server.send, stop=asyncio.Event(), report=told.append)
        return told

    assert asyncio.run(run()) == [1, 2, 3]


def test_a_fault_of_our_own_is_raised() -> None:
    async def fail(attempt: Attempt, body: bytes) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        await run_load(requests(0, 0), fail, stop=asyncio.Event())

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(run())
    assert raised.group_contains(ZeroDivisionError)
