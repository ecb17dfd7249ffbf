"""An HTTP server that streams answers as OpenAI's do, in ways that its models' names choose, and notes what it did."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Answered:
    """One request: what was asked, and when each token was written, on the clock of `time.perf_counter`."""

    path: str
    headers: dict[str, str]
    body: Body
    written: list[float] = field(default_factory=list)


@dataclass(slots=True)
class StreamServer:
    """A server that runs; `pause` is what it waits before each token."""

    models: tuple[str, ...]
    pause: float = 0.0
    port: int = 0
    answered: list[Answered] = field(default_factory=list)
    num_open: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                sent = await reader.readexactly(int(headers.get("content-length", 0)))
                await self.answer(writer, head[0].split()[1], headers, json.loads(sent) if sent else {})
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The client has gone, or the server is to end: `StreamReaderProtocol` would print a cancelled task.
            pass
        finally:
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter, path: str, headers: dict[str, str], body: Body) -> None:
        if path == "/v1/models":
            writer.write(_json({"data": [{"id": name} for name in self.models]}))
            return
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        answered = Answered(path, headers, body)
        self.answered.append(answered)
        try:
            await WAYS.get(body["model"], streams)(self, writer, answered)
        finally:
            self.num_open -= 1


Way = Callable[[StreamServer, asyncio.StreamWriter, Answered], Awaitable[None]]


def event(content: Body) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def token(answered: Answered, text: str, finish: str | None = None) -> bytes:
    is_chat = "chat" in answered.path
    said: Body = {"delta": {"content": text}} if is_chat else {"text": text}
    return event({"choices": [{"index": 0, "finish_reason": finish, **said}]})


def usage(answered: Answered, completion_tokens: int) -> bytes:
    return event({"choices": [], "usage": {"prompt_tokens": 77, "completion_tokens": completion_tokens}})


async def write_tokens(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered, num: int) -> None:
    writer.write(SSE)
    if "chat" in answered.path:
        writer.write(chunk(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})))
    for _ in range(num):
        await asyncio.sleep(server.pause)
        answered.written.append(time.perf_counter())
        writer.write(chunk(token(answered, "word ")))
        await writer.drain()


async def streams(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    """As many tokens as are asked for, then the end, the usage and [DONE]."""
    num = answered.body["max_tokens"]
    await write_tokens(server, writer, answered, num)
    writer.write(chunk(token(answered, "", "length")) + chunk(usage(answered, num)) + chunk(DONE) + END)


async def tells_no_usage(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    await write_tokens(server, writer, answered, answered.body["max_tokens"])
    writer.write(chunk(token(answered, "", "length")) + chunk(DONE) + END)


async def splits_events(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    """The same bytes as of `streams`, one at a time, with other line breaks."""
    writer.write(SSE)
    events = token(answered, "ein Wört") + token(answered, " mehr", "stop") + usage(answered, 2) + DONE
    for byte in events.replace(b"\n", b"\r\n"):
        writer.write(chunk(bytes([byte])))
        await writer.drain()
    writer.write(END)


async def has_no_text(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    end = token(answered, "", "stop")
    writer.write(SSE + chunk(end) + chunk(usage(answered, 1)) + chunk(DONE) + END)


async def is_empty(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(SSE + chunk(DONE) + END)


async def cuts_off(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    await write_tokens(server, writer, answered, 2)
    writer.close()


async def ends_early(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    """A stream that is whole to HTTP, but whose answer is not."""
    await write_tokens(server, writer, answered, 2)
    writer.write(END)


async def fails_midway(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    await write_tokens(server, writer, answered, 2)
    writer.write(chunk(event({"error": {"message": "the engine has gone", "code": 500}})) + chunk(DONE) + END)


async def hangs(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    await write_tokens(server, writer, answered, 2)
    await asyncio.sleep(3600)


async def says_garbage(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(SSE + chunk(b'data: {"choices": [\x00\xff\n\n') + END)


async def says_other_json(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(SSE + chunk(b'data: {"choices": 7}\n\n') + END)


async def nests_deeply(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(SSE + chunk(b'data: {"error": ' + b"[" * 100_000 + b"\n\n") + END)


async def never_ends_an_event(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(SSE)
    while True:
        writer.write(chunk(b"x" * 65536))
        await writer.drain()


async def speaks_no_http(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(b"\x16\x03\x01 no HTTP at all\r\n\r\n")


async def answers_whole(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(_json({"choices": [{"text": "all at once", "finish_reason": "stop"}]}))


async def redirects(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
    writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v1/elsewhere\r\nContent-Length: 0\r\n\r\n")


def _refuses(status: int) -> Way:
    async def refuses(server: StreamServer, writer: asyncio.StreamWriter, answered: Answered) -> None:
        writer.write(_json({"error": {"message": "\x1b[2Jnot now"}}, status))

    return refuses


WAYS: dict[str, Way] = {
    "answers-whole": answers_whole,
    "cuts-off": cuts_off,
    "ends-early": ends_early,
    "fails-midway": fails_midway,
    "garbage": says_garbage,
    "hangs": hangs,
    "has-no-text": has_no_text,
    "is-empty": is_empty,
    "nests-deeply": nests_deeply,
    "never-ends-an-event": never_ends_an_event,
    "no-http": speaks_no_http,
    "other-json": says_other_json,
    "redirects": redirects,
    "splits-events": splits_events,
    "status-429": _refuses(429),
    "status-500": _refuses(500),
    "tells-no-usage": tells_no_usage,
}


def _json(content: Body, status: int = 200) -> bytes:
    raw = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


@contextmanager
def stream_server(*models: str, pause: float = 0.0) -> Iterator[StreamServer]:
    """Yield a server that runs in a thread of its own until the end of the block."""
    server, loop, is_ready = StreamServer(models, pause), asyncio.new_event_loop(), threading.Event()

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", backlog=1024)
        server.port = listening.sockets[0].getsockname()[1]
        is_ready.set()
        await stop.wait()
        listening.close()

    async def cancel_all() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def work() -> None:
        loop.run_until_complete(run())
        loop.run_until_complete(cancel_all())
        loop.close()

    stop = asyncio.Event()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert is_ready.wait(30)
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
