"""Clients that leave: what was computed for them ends, whether they streamed or not."""

import asyncio
import json
import random
import socket
import time

import pytest

from verilora.serving.server.departure import ClientGone, while_there

from servers import Served, until

ASKED = {"model": "base", "prompt": "turn right", "max_tokens": 900, "ignore_eos": True, "n": 4}


def leave(served: Served, body: dict[str, object], seconds: float) -> None:
    """Ask, wait a while and close the connection."""
    raw = json.dumps(body).encode()
    kind = "Content-Type: application/json"
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head + raw)
        time.sleep(seconds)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_who_leaves_frees_everything(served: Served, stream: bool) -> None:
    before = served.metric("verilora_output_tokens_total")
    leave(served, {**ASKED, "stream": stream}, 0.3)
    until(served.is_idle)
    produced = served.metric("verilora_output_tokens_total") - before
    assert 0 < produced < 4 * 900


def test_many_leave_at_any_moment(served: Served) -> None:
    noise = random.Random(0)
    for _ in range(60):
        leave(served, {**ASKED, "stream": noise.random() < 0.5}, noise.random() * 0.05)
    until(served.is_idle)
    status, answer = served.ask("POST", "/v1/completions", {**ASKED, "max_tokens": 3, "n": 1})
    assert (status, answer["usage"]["completion_tokens"]) == (200, 3)


def test_work_is_cancelled_when_the_client_goes_and_returned_otherwise() -> None:
    ended = []

    async def work(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
            return "done"
        finally:
            ended.append(seconds)

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def stays() -> dict[str, str]:
        await asyncio.sleep(60)
        raise AssertionError("it is cancelled before")

    async def both() -> None:
        assert await while_there(stays, work(0)) == "done"
        with pytest.raises(ClientGone):
            await while_there(gone, work(60))

    asyncio.run(both())
    assert ended == [0, 60]
