"""The process of another front than the first: `python -m verilora.serving.server.fronts.front_process`.

It is told what to do on standard input, by the first front, and ends with it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import BinaryIO

from ....specs.processes.json_log import log_in_json
from ...grammars.grammar import Grammar, GrammarKind
from ...grammars.grammar_compiler import GrammarCompiler
from ..app import create_app
from ..front import Front, Grammars
from ..routes.adapters import adapter_routes
from ..server_process import DrainingServer
from .figures import families_of
from .followed_adapters import FollowedAdapters
from .followed_engine import FollowedEngine
from .messages import (
    Answer,
    Awake,
    Changed,
    Drain,
    EngineAt,
    Figures,
    FromFirst,
    Noted,
    Serving,
    Start,
    TellFigures,
    decode_from_first,
)
from .pipe import Pipe, opened_pipe

_LOG = logging.getLogger(__name__)


class FollowingServer(DrainingServer):
    """Ends when the first front says so: signals that reach all processes at once are for that one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals as they are."""
        yield


class FollowingFront:
    """A front that follows the first."""

    def __init__(self, start: Start, pipe: Pipe[FromFirst]) -> None:
        self._start = start
        self._pipe = pipe
        self._engine = FollowedEngine()
        self._engine.follow(start.endpoint)
        self._adapters = adapters = FollowedAdapters(start.records, pipe.send, self._unload)
        self._compiler = GrammarCompiler(start.tokens, start.settings.grammar_seconds)
        named = {name: Grammar(GrammarKind.EBNF, content) for name, content in start.named.items()}
        resolve = adapters.resolve if start.resolves else None
        self._front = Front(start.settings, self._engine, adapters, resolve, Grammars(self._compiler, named))
        self._front.started_at = start.started_at
        self._front.figures = adapters.figures
        self._server = FollowingServer(create_app(self._front, [adapter_routes(adapters)]), self._front)

    async def serve(self) -> None:
        """Accept connections until the first front lets this end, or is gone."""
        hearing = asyncio.create_task(self._hear())
        watching = asyncio.create_task(self._front.metrics.lag.watch())
        await self._engine.first_ready.wait()
        await self._front.begin()
        listener = socket.socket(fileno=self._start.listener)
        listener.set_inheritable(False)
        self._server.when_accepting = lambda: self._pipe.send(Serving())
        await self._server.serve([listener])
        for task in (hearing, watching):
            task.cancel()
        await self._engine.close()
        await self._compiler.close()

    async def _hear(self) -> None:
        try:
            while (message := await self._pipe.receive()) is not None:
                await self._take(message)
            _LOG.error("the first front is gone")
        except Exception:
            _LOG.exception("what the first front says cannot be done")
        # Without it there is no engine either, and the socket has to be free for those that come.
        os._exit(1)

    async def _take(self, message: FromFirst) -> None:
        match message:
            case EngineAt(endpoint):
                self._engine.follow(endpoint)
            case Changed(number):
                self._adapters.change(message)
                self._pipe.send(Noted(number))
            case TellFigures(number):
                figures = await asyncio.to_thread(families_of, self._front.metrics.registry, self._start.number)
                self._pipe.send(Figures(number, figures))
            case Drain():
                self._server.drain()
            case Answer():
                self._adapters.hear(message)

    def _unload(self, digest: str) -> None:
        if self._engine.link is not None:
            self._engine.link.unload(digest)


async def follow(asked: BinaryIO, answers: BinaryIO) -> None:
    """Be a front until the first one lets this end."""
    pipe = await opened_pipe(asked, answers, decode_from_first)
    pipe.send(Awake())
    start = await pipe.receive()
    if isinstance(start, Start):
        await FollowingFront(start, pipe).serve()


def main() -> int:
    """Return the exit code of the process."""
    log_in_json()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with open(os.dup(0), "rb", buffering=0) as asked, open(os.dup(1), "wb", buffering=0) as answers:
        # Whatever is printed is no message.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        asyncio.run(follow(asked, answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
