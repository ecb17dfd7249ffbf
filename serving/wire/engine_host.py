"""Keeps a process of the engine running: starts it, watches it, and starts it again when it dies or stops."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable
from enum import Enum

import msgspec
import zmq
import zmq.asyncio

from ...specs.files.errors import InputError
from .description import EngineDescription
from .engine_link import EngineLink
from .messages import ModelCard, Stats

MODULE = "verilora.serving.wire.engine_process"
SILENCE_SECONDS = 4.0
"""An engine that gives no sign of life for so long is taken for dead."""
LISTENING_MS = 200
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LONG_RUN = 60.0
"""After an engine that ran for so long the next one is started soon again."""
_LOG = logging.getLogger(__name__)


class EngineState(Enum):
    """Whether there is an engine to ask."""

    STARTING = "starting"
    READY = "ready"
    CLOSED = "closed"


class EngineHost:
    """The engine as a front knows it: a process that may be another one later."""

    def __init__(self, description: EngineDescription) -> None:
        self.state = EngineState.STARTING
        self.link: EngineLink | None = None
        self.card: ModelCard | None = None
        self.num_restarts = 0
        self.first_ready = asyncio.Event()
        # Hears where the engine takes messages, None when it is gone.
        self.on_change: Callable[[str | None], None] = lambda _: None
        self._description = self._running = description
        self._context = zmq.asyncio.Context()
        self._process: asyncio.subprocess.Process | None = None
        # Those that have been loaded, with their folders: another process gets them again.
        self._adapters: dict[str, str] = {}

    @property
    def endpoint(self) -> str | None:
        """Where the engine takes messages, None while it is not ready."""
        return self._running.endpoint if self.state is EngineState.READY else None

    @property
    def stats(self) -> Stats:
        """What the engine has now, as far as is known."""
        return self.link.stats if self.link else Stats()

    @property
    def process_id(self) -> int | None:
        """The number of the engine's process."""
        return self._process.pid if self._process else None

    async def load(self, digest: str, folder: str) -> str:
        """Let the engine register an adapter, and return "" or why it could not; raises EngineLost, ConnectionError."""
        if self.link is None:
            raise ConnectionError("the engine is not ready")
        error = await self.link.load(digest, folder)
        if not error:
            self._adapters[digest] = folder
        return error

    def unload(self, digest: str) -> None:
        """Let go of an adapter."""
        self._adapters.pop(digest, None)
        if self.link is not None:
            self.link.unload(digest)

    async def run(self) -> None:
        """Keep an engine running until this is cancelled. Raises InputError for a model that cannot be used."""
        pause = FIRST_PAUSE
        try:
            while True:
                started = time.monotonic()
                reason = await self._run_once()
                if time.monotonic() - started > LONG_RUN:
                    pause = FIRST_PAUSE
                if not self.first_ready.is_set():
                    raise RuntimeError(f"the engine could not be started: {reason}")
                self.num_restarts += 1
                _LOG.error("the engine is started again: %s", reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self.state = EngineState.CLOSED
            self._context.destroy(linger=0)

    async def _run_once(self) -> str:
        """Run one process, and return why it has ended."""
        description = self._running = msgspec.structs.replace(self._description, number=self.num_restarts)
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(description) + b"\n")
        link = EngineLink(self._context, description.endpoint)
        tasks = [
            asyncio.create_task(work)
            for work in (
                self._ended(process),
                self._silent(description.beat_endpoint, link),
                self._broken(link),
                self._serve(link),
            )
        ]
        try:
            # `_serve` goes on for ever, or fails.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            self.state, self.link = EngineState.STARTING, None
            self.on_change(None)
            link.fail("the engine has stopped; it is started again")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await link.close()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _serve(self, link: EngineLink) -> str:
        card = await link.greet()
        for digest, folder in [*self._adapters.items()]:
            await self._load_again(link, digest, folder)
        self.card, self.link, self.state = card, link, EngineState.READY
        self.on_change(self.endpoint)
        self.first_ready.set()
        forever: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await forever

    async def _load_again(self, link: EngineLink, digest: str, folder: str) -> None:
        if digest not in self._adapters:
            return
        if error := await link.load(digest, folder):
            _LOG.error("adapter %s is not there any more: %s", digest, error)
        if digest not in self._adapters:
            # It was unloaded meanwhile, when there was no link to say so on.
            link.unload(digest)

    async def _broken(self, link: EngineLink) -> str:
        try:
            await link.run()
        except ExceptionGroup as errors:
            return f"its messages cannot be read: {errors.exceptions[0]}"
        return "its messages have ended"

    async def _ended(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        said = (await process.stdout.read()).decode(errors="replace").strip()
        code = await process.wait()
        if code == 2 and not self.first_ready.is_set():
            place, _, message = said.partition(": ")
            raise InputError(place, message)
        return f"its process has ended with code {code}"

    async def _silent(self, endpoint: str, link: EngineLink) -> str:
        socket = self._context.socket(zmq.SUB)
        socket.subscribe(b"")
        socket.connect(endpoint)
        # It says nothing while it imports what it needs: it must have spoken, or be ready.
        last: float | None = None
        try:
            while True:
                if await socket.poll(LISTENING_MS):
                    await socket.recv()
                    last = time.monotonic()
                elif last is None:
                    last = time.monotonic() if self.link is link else None
                # Asked once more: this process itself may have been the one that stood still.
                elif time.monotonic() - last > SILENCE_SECONDS and not await socket.poll(LISTENING_MS):
                    return f"it gave no sign of life for {SILENCE_SECONDS} s"
        finally:
            socket.close()
