"""The front's life: from a bound port to the last stream."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import uvicorn
from fastapi import FastAPI

from ...specs.files.errors import InputError
from ..wire.engine_host import EngineHost
from .connections.timed_protocol import TimedProtocol
from .front import Front

_LOG = logging.getLogger(__name__)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
BACKLOG = 2048
"""Connections that may wait to be accepted."""
LAST_SECONDS = 2
"""For connections to be closed, once nothing runs."""


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket; raises InputError for a host that is not this machine's own, and for a port in use."""
    if host not in _LOOPBACK:
        message = f"got {host!r}, expected one of {', '.join(_LOOPBACK)}: a server without keys answers everybody"
        raise InputError("--host", message)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: asyncio lets small writes of no other socket go at once, and a first token would wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Bound twice is found out only here.
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("--port", f"got {port}, which cannot be used: {reason}: expected a free port") from None
    return listener


class Others(Protocol):
    """What ends with a server: other processes that answer as well."""

    @property
    def is_empty(self) -> bool:
        """Whether all have ended."""

    def drain(self) -> None:
        """Let all end once nothing runs."""

    def end(self) -> None:
        """End all now."""


class DrainingServer(uvicorn.Server):
    """Ends when it is asked to, once nothing runs or the time for that is over, and the process with code 0."""

    def __init__(self, app: FastAPI, front: Front, others: Others | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=TimedProtocol,
                log_config=None,
                access_log=False,
                log_level="warning",
                lifespan="off",
                server_header=False,
                h11_max_incomplete_event_size=front.settings.max_header_bytes,
                timeout_graceful_shutdown=LAST_SECONDS,
                # One that takes all that wait for a shared socket leaves none for others.
                backlog=BACKLOG if front.settings.num_fronts == 1 else 1,
            )
        )
        self.front = front
        self.others = others
        self.when_accepting: Callable[[], None] = lambda: None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)
        self.when_accepting()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let the signals that ask for the end begin it; a second one does not wait."""
        loop = asyncio.get_running_loop()
        asked = (signal.SIGTERM, signal.SIGINT)
        for number in asked:
            loop.add_signal_handler(number, self.drain)
        try:
            yield
        finally:
            for number in asked:
                loop.remove_signal_handler(number)

    def drain(self) -> None:
        """Take nothing more, and end once nothing runs."""
        if self.front.is_draining:
            if self.others is not None:
                self.others.end()
            self.force_exit = self.should_exit = True
            return
        _LOG.info("the server is about to end")
        self.front.is_draining = True
        if self.others is not None:
            self.others.drain()
        self._draining = asyncio.ensure_future(self._drained())

    async def _drained(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.front.settings.drain_seconds):
                while self.front.num_running or not self._is_alone():
                    await asyncio.sleep(0.05)
        if self.front.num_running:
            _LOG.warning("%d requests are given up", self.front.num_running)
            self.front.give_up()
        # Others have had as long, and then close their connections.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * LAST_SECONDS):
                while not self._is_alone():
                    await asyncio.sleep(0.05)
        self.should_exit = True

    def _is_alone(self) -> bool:
        return self.others is None or self.others.is_empty


async def serve(
    server: DrainingServer, engine: EngineHost, listener: socket.socket, when_ready: Callable[[], Awaitable[None]]
) -> None:
    """Serve until the end is asked for.

    `when_ready` is called once, when the engine is. Raises InputError for what it or the engine cannot use.
    """
    http = asyncio.create_task(server.serve([listener]))
    running = asyncio.create_task(engine.run())
    first = asyncio.create_task(_begin(engine, when_ready))
    watching = asyncio.create_task(server.front.metrics.lag.watch())
    try:
        waiting = {http, running, first}
        while http in waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        server.should_exit = True
        for task in (running, first, watching):
            task.cancel()
        await asyncio.gather(http, running, first, watching, return_exceptions=True)


async def _begin(engine: EngineHost, when_ready: Callable[[], Awaitable[None]]) -> None:
    await engine.first_ready.wait()
    await when_ready()
