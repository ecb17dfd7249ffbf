"""Compiles grammars for requests: each once, in another process, within a deadline."""

import asyncio
from collections import OrderedDict
from functools import partial

from ..workers.host_client import JobHost
from ..workers.job import Failure, JobFailed
from .compile_job import COMPILE, COMPILING, ToCompile
from .grammar import Grammar

MOST_GRAMMARS, MOST_BYTES = 256, 2**26
"""How many compiled grammars are kept, and how large all of them may be."""


class GrammarRefused(ValueError):
    """A grammar that cannot be compiled; says why."""


class GrammarCompiler:
    """Compiled grammars, the last used of which are kept.

    tokens   the file of the model's tokens, which the engine writes
    seconds  how long one grammar may take
    """

    def __init__(self, tokens: str, seconds: float, *, memory_bytes: int = 2**30) -> None:
        self._tokens = tokens
        self._seconds = seconds
        self._host = JobHost([COMPILING], memory_bytes=memory_bytes)
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0
        self._running: dict[str, asyncio.Task[bytes]] = {}

    async def compile(self, grammar: Grammar) -> bytes:
        """Return a grammar as the engine takes it.

        Raises GrammarRefused for one that cannot be or takes too long, JobFailed where the other process has failed.
        """
        key = grammar.key
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._running:
            self._running[key] = task = asyncio.create_task(self._compile(grammar))
            task.add_done_callback(partial(self._ended, key))
        # Others may wait for it, too: it goes on when one of them leaves.
        return await asyncio.shield(self._running[key])

    async def close(self) -> None:
        """End the process that compiles."""
        await self._host.close()

    async def _compile(self, grammar: Grammar) -> bytes:
        try:
            compiled = await self._host.run(COMPILE, ToCompile(grammar, self._tokens), deadline=self._seconds)
        except JobFailed as failed:
            if failed.failure in (Failure.REFUSED, Failure.TIME, Failure.MEMORY, Failure.CRASHED):
                raise GrammarRefused(failed.reason) from None
            raise
        self._keep(grammar.key, compiled)
        return compiled

    def _ended(self, key: str, task: asyncio.Task[bytes]) -> None:
        del self._running[key]
        if not task.cancelled():
            # Nobody may be left who would hear of it.
            task.exception()

    def _keep(self, key: str, compiled: bytes) -> None:
        self._kept[key] = compiled
        self._num_bytes += len(compiled)
        while len(self._kept) > MOST_GRAMMARS or self._num_bytes > MOST_BYTES:
            self._num_bytes -= len(self._kept.popitem(last=False)[1])
