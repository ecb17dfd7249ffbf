"""The engine as other fronts know it than the first, which keeps it running and says where it takes messages."""

import asyncio
import logging
from contextlib import suppress

import zmq.asyncio

from ...wire.engine_host import EngineState
from ...wire.engine_link import EngineLink
from ...wire.messages import ModelCard

GONE = "the engine has stopped; it is started again"
_LOG = logging.getLogger(__name__)
_PAUSE = 0.5


class FollowedEngine:
    """A link to the engine, which may be another one later."""

    def __init__(self) -> None:
        self.state = EngineState.STARTING
        self.link: EngineLink | None = None
        self.card: ModelCard | None = None
        self.first_ready = asyncio.Event()
        self._context = zmq.asyncio.Context()
        self._following: asyncio.Task[None] | None = None

    def follow(self, endpoint: str | None) -> None:
        """Speak to the engine that takes messages there from now on; None: there is none."""
        if self._following is not None:
            self._following.cancel()
        self._following = asyncio.create_task(self._speak(endpoint)) if endpoint else None

    async def close(self) -> None:
        """Say goodbye to the engine, which cancels what is left."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self.state = EngineState.CLOSED
        self._context.destroy(linger=0)

    async def _speak(self, endpoint: str) -> None:
        while True:
            try:
                await self._speak_once(endpoint)
            except ExceptionGroup as errors:
                _LOG.error("the engine's messages cannot be read: %s", errors.exceptions[0])
            await asyncio.sleep(_PAUSE)

    async def _speak_once(self, endpoint: str) -> None:
        link = EngineLink(self._context, endpoint)
        carrying = asyncio.create_task(link.run())
        greeting = asyncio.create_task(link.greet())
        try:
            await asyncio.wait((carrying, greeting), return_when=asyncio.FIRST_COMPLETED)
            if greeting.done():
                self.card, self.link, self.state = greeting.result(), link, EngineState.READY
                self.first_ready.set()
            await carrying
        finally:
            self.state, self.link = EngineState.STARTING, None
            link.fail(GONE)
            for task in (carrying, greeting):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(carrying, greeting, return_exceptions=True)
            await link.close()
