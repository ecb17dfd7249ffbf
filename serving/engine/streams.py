"""Streams of tokens from an engine, which steps in a thread of its own as long as someone listens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from threading import Event, Thread

from ..requests.request import Output, Request
from ..requests.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Delta:
    """A token of a candidate. The last has its output, and no token where it ended without a new one."""

    candidate: int
    token_id: int | None
    output: Output | None = None


class Stepper:
    """A thread that steps an engine while it has something to do."""

    def __init__(self, step: Callable[[], bool]) -> None:
        self._step = step
        self._is_wanted = Event()
        self._is_closed = False
        self._thread = Thread(target=self._run, name="engine", daemon=True)

    def wake(self) -> None:
        """Begin, or go on, to step."""
        self._is_wanted.set()
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Stop stepping, and wait until the thread has ended."""
        self._is_closed = True
        self._is_wanted.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closed:
            self._is_wanted.clear()
            if not self._step():
                self._is_wanted.wait()


async def stream(
    submit: Callable[[Request, Callable[[Sequence], None]], list[int]],
    cancel: Callable[[int], bool],
    wake: Callable[[], None],
    request: Request,
) -> AsyncIterator[Delta]:
    """Yield the tokens of all candidates of a request as they are drawn, and their outputs.

    Who leaves early cancels the rest.
    """
    loop = asyncio.get_running_loop()
    deltas: asyncio.Queue[Delta] = asyncio.Queue()
    num_heard: dict[int, int] = {}

    def hear(sequence: Sequence) -> None:
        is_new = sequence.num_produced > num_heard.get(sequence.id, 0)
        num_heard[sequence.id] = sequence.num_produced
        output = sequence.output() if sequence.finish is not None else None
        token_id = sequence.tokens[-1] if is_new else None
        loop.call_soon_threadsafe(deltas.put_nowait, Delta(sequence.candidate, token_id, output))

    # The engine may be in a step: the event loop does not wait for it.
    sequences = await asyncio.to_thread(submit, request, hear)
    wake()
    num_left = len(sequences)
    try:
        while num_left:
            delta = await deltas.get()
            num_left -= delta.output is not None
            yield delta
    finally:
        if num_left:
            for sequence in sequences:
                await asyncio.to_thread(cancel, sequence)
