import asyncio
import os
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from verilora.serving.workers.host_client import JobHost
from verilora.serving.workers.job import Failure, Job, JobFailed

import some_jobs
from hosting import LONG, hosting, until, with_host
from some_jobs import Pair

TABLE = "some_jobs"


async def failure_of(answer: Awaitable[object]) -> tuple[Failure, str]:
    with pytest.raises(JobFailed) as failed:
        await answer
    return failed.value.failure, str(failed.value)


def test_a_job_gives_its_answer_and_what_it_prints_is_no_answer() -> None:
    async def body(host: JobHost) -> None:
        many = [host.run(some_jobs.DOUBLE, Pair(number, "ü"), deadline=LONG) for number in range(20)]
        assert await asyncio.gather(*many) == [Pair(2 * number, "üü") for number in range(20)]
        large = await host.run(some_jobs.TALK, 2_000_000, deadline=LONG)
        assert len(large.second) == 2_000_000

    with_host(body, TABLE)


def test_the_host_and_its_children_have_no_torch() -> None:
    async def body(host: JobHost) -> None:
        process = await host.run(some_jobs.PROCESS, 0, deadline=LONG)
        assert (process.first, process.second) == (host.process_id, "")
        assert len(os.listdir(f"/proc/{host.process_id}/task")) == 1, "threads make it unsafe to fork"

    with_host(body, TABLE)


@pytest.mark.parametrize(
    ("job", "argument", "failure", "message"),
    [
        (some_jobs.REFUSE, "/secret/place/it.json", Failure.REFUSED, "refuse: it.json: it: got this, expected that"),
        (some_jobs.FAIL, "/secret/place", Failure.CRASHED, "fail: it failed: RuntimeError"),
        (some_jobs.MISSING, "/secret/place", Failure.CRASHED, "missing: it failed: No such file or directory"),
        (some_jobs.ALLOCATE, 2**28, Failure.MEMORY, "allocate: it needs more memory than it may have"),
        (some_jobs.DIE, signal.SIGSEGV, Failure.CRASHED, "die: its process ended with SIGSEGV"),
        (some_jobs.DIE, signal.SIGKILL, Failure.CRASHED, "die: its process ended with SIGKILL"),
        (some_jobs.TALK, 2**25 + 1, Failure.CRASHED, "talk: its answer is too long"),
        (some_jobs.UNKNOWN, 1, Failure.CRASHED, "unknown: it failed: KeyError"),
        (some_jobs.SPIN, 1, Failure.TIME, "spin: it took longer than it may"),
    ],
    ids=[
        "refused",
        "an error",
        "of the system",
        "memory",
        "a fault",
        "killed",
        "talks too much",
        "no such",
        "too long",
    ],
)
def test_a_job_that_fails_says_so_and_the_next_is_answered(
    job: Job[Any, Any], argument: object, failure: Failure, message: str
) -> None:
    async def body(host: JobHost) -> None:
        deadline = 0.5 if failure is Failure.TIME else LONG
        assert await failure_of(host.run(job, argument, deadline=deadline)) == (failure, message)
        assert await host.run(some_jobs.DOUBLE, Pair(1), deadline=LONG) == Pair(2)

    with_host(body, TABLE, memory_bytes=2**27)


def test_as_much_memory_as_it_may_have() -> None:
    async def body(host: JobHost) -> None:
        assert (await host.run(some_jobs.ALLOCATE, 2**26, deadline=LONG)).first == 2**26

    with_host(body, TABLE, memory_bytes=2**27)


def test_no_more_run_side_by_side_than_may(tmp_path: Path) -> None:
    marks = [tmp_path / name for name in "abc"]

    async def body(host: JobHost) -> None:
        asked = [asyncio.create_task(host.run(some_jobs.SLEEP, str(mark), deadline=LONG)) for mark in marks]
        await until(lambda: marks[0].exists() and marks[1].exists())
        assert (await failure_of(host.run(some_jobs.DOUBLE, Pair(1), deadline=0.1)))[0] is Failure.TIME
        assert not marks[2].exists()
        asked[0].cancel()
        await until(marks[2].exists)
        for one in asked:
            one.cancel()
        assert await host.run(some_jobs.DOUBLE, Pair(1), deadline=LONG) == Pair(2)
        await until(lambda: not any(is_alive(int(mark.read_text())) for mark in marks))

    with_host(body, TABLE)


def is_alive(process: int) -> bool:
    try:
        # What has ended and is still listed is a zombie.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_host_that_dies_fails_its_jobs_and_is_started_again(tmp_path: Path) -> None:
    async def body(host: JobHost) -> None:
        asked = asyncio.create_task(host.run(some_jobs.SLEEP, str(tmp_path / "mark"), deadline=4))
        await until((tmp_path / "mark").exists)
        first = host.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await failure_of(asked) == (Failure.HOST, "sleep: the process that runs jobs has ended")
        await asyncio.sleep(0)
        assert await host.run(some_jobs.DOUBLE, Pair(1), deadline=LONG) == Pair(2)
        assert host.process_id != first
        # Nobody is left to kill the job: it ends by itself.
        await until(lambda: not is_alive(int((tmp_path / "mark").read_text())))

    with_host(body, TABLE)


def test_a_host_that_is_closed_takes_its_jobs_along(tmp_path: Path) -> None:
    async def run() -> None:
        async with hosting(TABLE) as host:
            asked = asyncio.create_task(host.run(some_jobs.SLEEP, str(tmp_path / "mark"), deadline=LONG))
            await until((tmp_path / "mark").exists)
        assert (await failure_of(asked))[0] is Failure.HOST
        process = int((tmp_path / "mark").read_text())
        await until(lambda: not is_alive(process))

    asyncio.run(run())
