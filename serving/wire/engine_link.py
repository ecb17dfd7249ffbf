"""A front's connection to one process of the engine, in asyncio."""

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from contextlib import suppress

import zmq
import zmq.asyncio

from ..grammars.grammar_shelf import SentGrammars
from ..requests.sampling_params import SamplingParams
from .generation import EngineLost, Generation
from .messages import (
    VERSION,
    Abort,
    Add,
    FromEngine,
    FromFront,
    Hello,
    Leave,
    Load,
    Loaded,
    ModelCard,
    Ready,
    SendGrammar,
    Stats,
    Step,
    Unload,
    decode_from_engine,
    encode,
)


class EngineLink:
    """Sends requests to an engine and brings what is new to those who wait for it."""

    def __init__(self, context: zmq.asyncio.Context, endpoint: str) -> None:
        self.stats = Stats()
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IDENTITY, secrets.token_bytes(16))
        self._socket.connect(endpoint)
        self._outgoing: asyncio.Queue[FromFront] = asyncio.Queue()
        self._ids = itertools.count()
        self._generations: dict[int, Generation] = {}
        self._grammars = SentGrammars()
        self._loads: dict[str, list[asyncio.Future[str]]] = {}
        self._card: asyncio.Future[ModelCard] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Carry messages both ways until it is cancelled; raises RuntimeError for an engine of another version."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_all())
            group.create_task(self._receive_all())

    async def greet(self) -> ModelCard:
        """Say that a front is there, and return the card of the engine's model once it is loaded."""
        self._send(Hello(VERSION))
        return await self._card

    def generate(
        self,
        prompts: Sequence[tuple[int, ...]],
        params: Sequence[SamplingParams],
        *,
        digest: str | None = None,
        folder: str | None = None,
        is_retired: bool = False,
        tenant: str = "",
        deadline: float | None = None,
        grammar: tuple[str, bytes] | None = None,
    ) -> Generation:
        """Return what comes of some prompts, each with its parameters, all with as many candidates.

        `grammar` is one that all answers follow: its key, and what was compiled of it. `is_retired` says of an adapter
        that the engine was told to let go of it: then it is there for these prompts alone.
        """
        numbers = [next(self._ids) for _ in prompts]
        generation = Generation(
            numbers[0], len(prompts), params[0].n, lambda number: self._send(Abort(number)), self._forget
        )
        for number, prompt, one in zip(numbers, prompts, params, strict=True):
            self._generations[number] = generation
            key = self._sent(*grammar) if grammar else None
            self._send(Add(number, prompt, one, digest, folder, tenant, deadline, key, is_retired))
        return generation

    async def load(self, digest: str, folder: str) -> str:
        """Let the engine register an adapter, and return "" or why it could not."""
        loaded: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loads.setdefault(digest, []).append(loaded)
        self._send(Load(digest, folder))
        return await loaded

    def unload(self, digest: str) -> None:
        """Let the engine let go of an adapter."""
        self._send(Unload(digest))

    def fail(self, reason: str) -> None:
        """End all that waits: the engine is gone."""
        for generation in {*self._generations.values()}:
            generation.fail(EngineLost(reason))
        self._generations.clear()
        for loaded in [future for waiting in self._loads.values() for future in waiting]:
            if not loaded.done():
                loaded.set_exception(EngineLost(reason))
        self._loads.clear()

    async def close(self) -> None:
        """Say goodbye, so that the engine cancels what is left, and disconnect."""
        with suppress(TimeoutError, zmq.ZMQError):
            await asyncio.wait_for(self._socket.send(encode(Leave())), 1)
        self._socket.close()

    def _send(self, message: FromFront) -> None:
        self._outgoing.put_nowait(message)

    def _sent(self, key: str, compiled: bytes) -> str:
        """Return the key of a grammar, which is sent unless the engine has it."""
        if not self._grammars.use(key):
            self._grammars.put(key)
            self._send(SendGrammar(key, compiled))
            # The engine takes it for used by the request, too.
            self._grammars.use(key)
        return key

    def _forget(self, number: int) -> None:
        self._generations.pop(number, None)

    async def _send_all(self) -> None:
        while True:
            await self._socket.send(encode(await self._outgoing.get()))

    async def _receive_all(self) -> None:
        while True:
            self._take(decode_from_engine(await self._socket.recv()))

    def _take(self, message: FromEngine) -> None:
        match message:
            case Step(outs, stats):
                self.stats = stats
                for out in outs:
                    if generation := self._generations.get(out.id):
                        generation.hear(out)
            case Loaded(digest, error):
                for loaded in self._loads.pop(digest, []):
                    if not loaded.done():
                        loaded.set_result(error)
            case Ready(version, card):
                if version != VERSION:
                    raise RuntimeError(f"the engine speaks version {version} of the messages, expected {VERSION}")
                if not self._card.done():
                    self._card.set_result(card)
