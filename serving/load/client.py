"""The HTTP client: it sends requests, reads their streams and notes when what came."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

import aiohttp
import msgspec

from .answer_chunk import AnswerChunk, read_chunk
from .attempt import Attempt, Failed, FailureKind
from .event_reader import EventReader
from .target import Target

# Servers close idle connections after some seconds; a request on one that is just being closed would fail.
KEEP_ALIVE = 1.0
CONNECT_SECONDS = 30.0
MAX_MESSAGE = 300
_DONE = b"[DONE]"


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class LoadClient:
    """Sends requests to a target, any number at a time."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self._target = target
        self._session = session

    @classmethod
    @asynccontextmanager
    async def of(cls, target: Target) -> AsyncIterator[Self]:
        """Yield a client, and close its connections at the end."""
        timeout = aiohttp.ClientTimeout(total=target.timeout, sock_connect=min(CONNECT_SECONDS, target.timeout))
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=target.headers) as session:
            yield cls(target, session)

    async def model_names(self) -> list[str]:
        """Return the names of the models that the server offers; raises Failed."""
        with _failures():
            async with self._session.get(f"{self._target.base}/models", allow_redirects=False) as response:
                await _check_status(response)
                return [model.id for model in msgspec.json.decode(await response.read(), type=_Models).data]

    async def send(self, attempt: Attempt, body: bytes) -> None:
        """Send a request and note what is measured of it; what goes wrong is noted, too."""
        attempt.sent = time.perf_counter()
        try:
            with _failures():
                await self._stream(attempt, body)
            attempt.has_succeeded = True
        except Failed as failure:
            attempt.failure = failure

    async def _stream(self, attempt: Attempt, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        async with self._session.post(
            self._target.endpoint, data=body, headers=headers, allow_redirects=False
        ) as response:
            await _check_status(response)
            if response.content_type != "text/event-stream":
                got = f"got {response.content_type[:MAX_MESSAGE]}, expected text/event-stream"
                raise Failed(FailureKind.NOT_UNDERSTOOD, got)
            await _read(attempt, response.content)


async def _read(attempt: Attempt, content: aiohttp.StreamReader) -> None:
    """Read a stream to its end; raises Failed unless it says itself that it has ended."""
    reader, finish_time, is_done = EventReader(), None, False
    async for received in content.iter_any():
        now = time.perf_counter()
        for data in reader.feed(received):
            if data == _DONE:
                is_done = True
            elif _note(attempt, read_chunk(data), now):
                finish_time = now
    if finish_time is None and not is_done:
        raise Failed(FailureKind.CUT_OFF, "the stream ended before the answer did")
    if not attempt.token_times:
        if not attempt.completion_tokens:
            raise Failed(FailureKind.EMPTY, "no token came")
        # All its tokens are without text, as an end alone.
        attempt.token_times.append(finish_time or time.perf_counter())


def _note(attempt: Attempt, chunk: AnswerChunk, now: float) -> bool:
    """Note an event, and return whether it ends the answer; raises Failed for an error."""
    if chunk.error is not None:
        raise Failed(FailureKind.ERROR_EVENT, str(chunk.error)[:MAX_MESSAGE])
    if chunk.usage is not None:
        attempt.prompt_tokens = chunk.usage.prompt_tokens
        attempt.completion_tokens = chunk.usage.completion_tokens
    if any(choice.says_something for choice in chunk.choices):
        attempt.token_times.append(now)
    return any(choice.finish_reason for choice in chunk.choices)


async def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        said = await response.content.read(MAX_MESSAGE)
        raise Failed(f"status {response.status}", said.decode(errors="replace"))


def _reason(error: OSError) -> str:
    """Return why no connection was made; numbers below 0 are of the lookup of names, which has words of its own."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


@contextmanager
def _failures() -> Iterator[None]:
    """Let what goes wrong on the way to a server, or is not understood, be Failed."""
    try:
        yield
    except TimeoutError:
        raise Failed(FailureKind.TIMEOUT, "no answer in time") from None
    except aiohttp.ClientConnectorError as error:
        raise Failed(FailureKind.CONNECTION, _reason(error.os_error)) from None
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, OSError) as error:
        raise Failed(FailureKind.CUT_OFF, f"the connection was lost: {error}"[:MAX_MESSAGE]) from None
    except (aiohttp.ClientError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Failed(FailureKind.NOT_UNDERSTOOD, str(error)[:MAX_MESSAGE]) from None
