"""A host of jobs as asyncio sees it: jobs are asked for and answered over pipes, and a host that dies is replaced."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import TypeVar

import msgspec

from .frames import HEAD, framed, length_of
from .job import Answer, Call, Cancel, Failure, Job, JobFailed, Outcome

A = TypeVar("A")
R = TypeVar("R")
# A library that starts threads would make it unsafe to fork.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_Answer = msgspec.msgpack.Decoder(Answer)


class JobHost:
    """Runs jobs in forked processes, a number of them side by side.

    tables  modules, each with the `JOBS` that may be asked for
    memory_bytes  how much memory a job may take, beyond what its host has
    """

    def __init__(self, tables: Sequence[str], *, num_side_by_side: int = 2, memory_bytes: int = 2**30) -> None:
        self._tables = tables
        self._num_side_by_side = num_side_by_side
        self._memory_bytes = memory_bytes
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the process unless it runs; `run` does so too, but the first job then waits for it."""
        async with self._starting:
            if self._process is not None and self._reader is not None and not self._reader.done():
                return
            command = [sys.executable, "-P", "-m", "verilora.serving.workers.job_host", str(self._num_side_by_side)]
            self._process = await asyncio.create_subprocess_exec(
                *command, *self._tables, stdin=PIPE, stdout=PIPE, env={**os.environ, **ONE_THREAD}
            )
            self._reader = asyncio.create_task(self._read(self._process))

    async def run(self, job: Job[A, R], argument: A, *, deadline: float) -> R:
        """Return the result of a job; raises JobFailed, also when it takes more than `deadline` seconds.

        Who is cancelled here has no job running any more.
        """
        await self.start()
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        content = msgspec.msgpack.encode(argument)
        try:
            self._send(Call(number, job.name, content, deadline, self._memory_bytes))
            outcome = await self._waiting[number]
        except asyncio.CancelledError:
            self._send(Cancel(number))
            raise
        finally:
            del self._waiting[number]
        if outcome.failure:
            raise JobFailed(job.name, Failure(outcome.failure), outcome.message)
        return msgspec.msgpack.decode(outcome.result, type=job.result)

    async def close(self) -> None:
        """End the process and all of its jobs."""
        if self._process is not None and self._process.stdin is not None and self._reader is not None:
            self._process.stdin.close()
            await self._reader

    @property
    def process_id(self) -> int | None:
        """The id of the process, None before it is started."""
        return None if self._process is None else self._process.pid

    def _send(self, message: Call | Cancel) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # What cannot be sent is answered when the reader finds that the process has ended.
        with suppress(ConnectionError):
            self._process.stdin.write(framed(msgspec.msgpack.encode(message)))

    async def _read(self, process: Process) -> None:
        """Hand out answers until the process ends, and fail then who still waits."""
        assert process.stdout is not None
        try:
            while True:
                length = length_of(await process.stdout.readexactly(HEAD.size))
                answer = _Answer.decode(await process.stdout.readexactly(length))
                if (waiting := self._waiting.get(answer.number)) and not waiting.done():
                    waiting.set_result(answer.outcome)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await process.wait()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result(Outcome(failure=Failure.HOST, message="the process that runs jobs has ended"))
