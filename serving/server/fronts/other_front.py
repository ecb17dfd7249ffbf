"""Another front as the first one knows it: a process, and what is said to it."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

import msgspec

from ...adapters.adapter_record import AdapterRecord
from ...workers.frames import FrameError
from ...workers.host_client import ONE_THREAD
from .figures import Family
from .messages import (
    Answer,
    Ask,
    Awake,
    Changed,
    Drain,
    Figures,
    FromFirst,
    FromOther,
    Noted,
    Serving,
    Start,
    TellFigures,
    decode_from_other,
)
from .pipe import Pipe

MODULE = "verilora.serving.server.fronts.front_process"
_LOG = logging.getLogger(__name__)


class OtherFront:
    """A front in a process of its own, from its start to its end."""

    def __init__(
        self, process: Process, start: Callable[[], Start], answer: Callable[[Ask], Awaitable[Answer]]
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.has_begun = self.is_serving = False
        self._process = process
        self._start = start
        self._answer = answer
        self._pipe: Pipe[FromOther] = Pipe(process.stdout, process.stdin, decode_from_other)
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Noted | Figures | None]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    async def launched(
        cls, listener: int, start: Callable[[], Start], answer: Callable[[Ask], Awaitable[Answer]]
    ) -> "OtherFront":
        """Return a front whose process is there, and will accept on a socket.

        `start` makes what it is told first, `answer` what it is answered.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", MODULE),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=[listener],
            env={**os.environ, **ONE_THREAD},
        )
        return cls(process, start, answer)

    async def run(self) -> int:
        """Hear it until its process ends, and return the exit code."""
        try:
            while (message := await self._pipe.receive()) is not None:
                self._take(message)
        except (msgspec.DecodeError, FrameError):
            _LOG.exception("what another front says cannot be read")
        finally:
            self.has_begun = self.is_serving = False
            self.kill()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_result(None)
        return await self._process.wait()

    def send(self, message: FromFirst) -> None:
        """Say something to it, if it has been told how to start; else it is told of what is so then."""
        if self.has_begun:
            self._pipe.send(message)

    def drain(self) -> None:
        """Let it end once nothing runs; at once if it has not begun."""
        if self.has_begun:
            self._pipe.send(Drain())
        else:
            self.kill()

    def kill(self) -> None:
        """End its process."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def change(self, name: str, record: AdapterRecord | None, seconds: float) -> None:
        """Let a name stand for something else in it, and return once it does.

        A front that takes longer than some seconds would go on with what was: it is ended.
        """
        message = Changed(next(self._numbers), name, record)
        if self.has_begun and await self._heard(message, seconds) is None:
            _LOG.error("a front that takes no note of a change is ended")
            self.kill()

    async def figures(self, seconds: float) -> list[Family]:
        """Return its figures; none if it does not tell them within some seconds."""
        message = TellFigures(next(self._numbers))
        told = await self._heard(message, seconds) if self.is_serving else None
        return told.families if isinstance(told, Figures) else []

    async def _heard(self, message: Changed | TellFigures, seconds: float) -> Noted | Figures | None:
        """Return what it says to a message, None if it does not in time, or its process ends before."""
        self._waiting[message.number] = asyncio.get_running_loop().create_future()
        try:
            self.send(message)
            async with asyncio.timeout(seconds):
                return await self._waiting[message.number]
        except TimeoutError:
            return None
        finally:
            del self._waiting[message.number]

    def _take(self, message: FromOther) -> None:
        match message:
            case Awake():
                # What changes from now on it hears as well.
                self._pipe.send(self._start())
                self.has_begun = True
            case Serving():
                self.is_serving = True
            case Noted(number) | Figures(number):
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            case Ask():
                task = asyncio.create_task(self._reply(message))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def _reply(self, asked: Ask) -> None:
        self._pipe.send(await self._answer(asked))
