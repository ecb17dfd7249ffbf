"""A thousand clients leave at any moment of their requests: everything of theirs is free again."""

import asyncio
import json
import random
from collections.abc import Iterator

import pytest

from servers import Served, serving, until

OWNERS = ("free", "kv", "adapter", "prefix")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    # Few rows, so that most requests wait.
    with serving(tmp_path_factory.mktemp("server") / "log", "--max-num-seqs", "8") as served:
        yield served


def bodies(noise: random.Random) -> Iterator[dict[str, object]]:
    """Yield long answers and long prompts, streamed and not."""
    while True:
        prompt_len = noise.choice((3, 600))
        yield {
            "model": "base",
            "prompt": [noise.randrange(20, 900) for _ in range(prompt_len)],
            "max_tokens": 400,
            "ignore_eos": True,
            "n": noise.choice((1, 4)),
            "stream": noise.random() < 0.5,
        }


async def leave(server: Served, body: dict[str, object], seconds: float) -> None:
    """Ask, wait a while and close the connection, abruptly or not."""
    raw = json.dumps(body).encode()
    kind = "Content-Type: application/json"
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head + raw)
    await writer.drain()
    await asyncio.sleep(seconds)
    if len(raw) % 2:
        writer.transport.abort()
    writer.close()


async def leave_all(server: Served, num_clients: int, num_at_a_time: int) -> None:
    noise = random.Random(num_clients)
    places = asyncio.Semaphore(num_at_a_time)

    async def one(body: dict[str, object], seconds: float) -> None:
        async with places:
            await leave(server, body, seconds)

    asked = [(body, noise.random() ** 3 * 0.6) for body, _ in zip(bodies(noise), range(num_clients), strict=False)]
    await asyncio.gather(*(one(*each) for each in asked))


@pytest.mark.parametrize("num_clients", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_vllm_54947_ray_44644_who_leaves_leaves_nothing_behind(server: Served, num_clients: int) -> None:
    num_pages = sum(server.metric(f'verilora_pool_pages{{owner="{owner}"}}') for owner in OWNERS)
    asyncio.run(leave_all(server, num_clients, 60))
    until(server.is_idle)
    pages = {owner: server.metric(f'verilora_pool_pages{{owner="{owner}"}}') for owner in OWNERS}
    assert (pages["kv"], pages["adapter"], sum(pages.values())) == (0, 0, num_pages)
    # All places are free: as many as there are run side by side, to their end.
    asked = {"model": "base", "prompt": "turn", "n": 8, "max_tokens": 5, "ignore_eos": True}
    status, answer = server.ask("POST", "/v1/completions", asked)
    assert (status, answer["usage"]["completion_tokens"]) == (200, 40)
    assert server.metric("verilora_engine_restarts_total") == 0
    assert '"level": "error"' not in server.log.read_text()
