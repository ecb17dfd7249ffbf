"""What comes of one HTTP request in the engine, for those who wait for it in the front."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from ..requests.request import Finish
from .messages import Out

MAX_UNREAD_TOKENS = 2**14
SLOW = "what was generated was read too slowly"


class EngineLost(Exception):
    """The engine is gone, and with it what ran there; it is started again."""


class GenerationError(Exception):
    """A request has failed in the engine. `is_refused`: the request is at fault; `finish` says how else it ended."""

    def __init__(self, message: str, finish: Finish, *, is_refused: bool = False) -> None:
        super().__init__(message)
        self.finish = finish
        self.is_refused = is_refused


class Generation:
    """Yields what is new of a request's candidates. Whoever leaves it cancels what has not ended.

    num_prompts, n  there are so many prompts, numbered from `first_id` on, and n candidates of each
    abort           cancels a prompt in the engine
    forget          ends that this hears of a prompt
    """

    def __init__(
        self, first_id: int, num_prompts: int, n: int, abort: Callable[[int], None], forget: Callable[[int], None]
    ) -> None:
        self.ids = range(first_id, first_id + num_prompts)
        self._num_left = dict.fromkeys(self.ids, n)
        self._abort = abort
        self._forget = forget
        self._news: asyncio.Queue[Out | Exception] = asyncio.Queue()
        self._num_unread = 0

    def hear(self, out: Out) -> None:
        """Take note of what is new."""
        self._num_unread += len(out.tokens)
        self._news.put_nowait(out)
        if self._num_unread > MAX_UNREAD_TOKENS:
            self.fail(GenerationError(SLOW, Finish.ERROR))
            self._cancel()

    def fail(self, error: Exception) -> None:
        """Let those who wait have an error."""
        self._news.put_nowait(error)

    async def outs(self) -> AsyncIterator[tuple[int, Out]]:
        """Yield what is new with the number of its prompt, until all has ended.

        Raises GenerationError for what failed, EngineLost if the engine is gone.
        """
        while self._num_left:
            news = await self._news.get()
            if isinstance(news, Exception):
                raise news
            self._num_unread -= len(news.tokens)
            if news.finish in (Finish.ERROR, Finish.DEADLINE, Finish.CANCELLED):
                raise GenerationError(news.error, news.finish, is_refused=news.refused)
            if news.finish is not None:
                self._end(news.id)
            yield news.id - self.ids.start, news

    def close(self) -> None:
        """Cancel what has not ended."""
        self._cancel()
        self._num_left.clear()

    def _cancel(self) -> None:
        for request in self._num_left:
            self._abort(request)
            self._forget(request)

    def _end(self, request: int) -> None:
        self._num_left[request] -= 1
        if not self._num_left[request]:
            del self._num_left[request]
            self._forget(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
