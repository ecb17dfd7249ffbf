"""Connections that never finish the head of a request are closed; those whose answer takes long are not."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from verilora.serving.server.connections.timed_protocol import TimedProtocol
from verilora.serving.server.server_process import DrainingServer, bind
from verilora.serving.server.settings import ServerSettings

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HEAD + b"\r\n"


class Quick(TimedProtocol):
    head_seconds = 0.2


async def slow_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer after thrice the time that a head may take."""
    await asyncio.sleep(3 * Quick.head_seconds)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def said_until_closed(*pieces: bytes) -> bytes:
    """Return what a server says to a client that sends some pieces, one every tenth of a second, and then waits."""
    config = uvicorn.Config(slow_app, http=Quick, lifespan="off", log_config=None, timeout_keep_alive=60)
    server, listener = uvicorn.Server(config), bind("127.0.0.1", 0)
    with listener:
        serving = asyncio.create_task(server._serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.1)
            async with asyncio.timeout(30):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            server.should_exit = True
            await serving


@pytest.mark.parametrize(
    ("pieces", "num_answers"),
    [
        ((), 0),
        ((HEAD,), 0),
        (tuple(HEAD[at : at + 1] for at in range(8)), 0),
        ((WHOLE,), 1),
        ((WHOLE, HEAD), 1),
        ((WHOLE + WHOLE + HEAD,), 2),
    ],
    ids=["nothing", "no end", "slowly", "one request", "half a second one", "side by side"],
)
def test_only_whole_heads_are_waited_for(pieces: tuple[bytes, ...], num_answers: int) -> None:
    said = asyncio.run(said_until_closed(*pieces))
    assert said.count(b"HTTP/1.1 200 OK") == num_answers


def test_the_server_closes_them() -> None:
    front: Any = SimpleNamespace(settings=ServerSettings(served_name="base"))
    config = DrainingServer(FastAPI(), front).config
    config.load()
    assert config.http_protocol_class is TimedProtocol
