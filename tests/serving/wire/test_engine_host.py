"""The engine's process is watched: killed or stopped, it is started again with its adapters."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.wire.description import EngineDescription
from verilora.serving.wire.engine_host import EngineHost, EngineState
from verilora.serving.wire.generation import EngineLost, GenerationError
from verilora.serving.wire.messages import ModelCard

from tiny_models import base_model, save_tiny_adapter

PROMPT = (20, 17, 323)
LONG = SamplingParams(temperature=0, max_tokens=900, ignore_eos=True)
SHORT = SamplingParams(temperature=0, max_tokens=8)


def hosted(folder: Path, work: Callable[[EngineHost], Awaitable[None]], model: str | None = None) -> None:
    """Do some work with an engine that is ready."""

    async def both() -> None:
        host = EngineHost(EngineDescription(folder=str(folder), model=model))
        running = asyncio.create_task(host.run())
        first = asyncio.create_task(host.first_ready.wait())
        try:
            async with asyncio.timeout(90):
                await asyncio.wait((running, first), return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
                await work(host)
        finally:
            running.cancel()
            first.cancel()
            await asyncio.gather(running, first, return_exceptions=True)
        assert host.state is EngineState.CLOSED

    asyncio.run(both())


async def tokens(host: EngineHost, digest: str | None = None, folder: str | None = None) -> tuple[int, ...]:
    assert host.link is not None
    found: list[int] = []
    with host.link.generate([PROMPT], [SHORT], digest=digest, folder=folder) as generation:
        async for _, out in generation.outs():
            found += out.tokens
    return tuple(found)


async def to_the_end(outs: AsyncIterator[object]) -> None:
    async for _ in outs:
        pass


async def again_ready(host: EngineHost, num_restarts: int) -> None:
    while host.num_restarts < num_restarts or host.state is not EngineState.READY:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "signal_number",
    [pytest.param(signal.SIGKILL, id="killed"), pytest.param(signal.SIGSTOP, id="stopped", marks=pytest.mark.slow)],
)
def test_an_engine_that_is_gone_ends_its_streams_and_comes_back_with_its_adapters(
    tmp_path: Path, signal_number: int
) -> None:
    adapter = str(save_tiny_adapter(tmp_path / "adapter", base_model(), scale=0.5))
    folder = tmp_path / "sockets"
    folder.mkdir(0o700)

    async def work(host: EngineHost) -> None:
        assert host.link is not None
        assert host.process_id is not None
        assert await host.load("d1", adapter) == ""
        before = [await tokens(host), await tokens(host, "d1", adapter)]
        assert before[0] != before[1]
        with host.link.generate([PROMPT] * 2, [LONG] * 2) as generation:
            outs = generation.outs()
            await anext(outs)
            os.kill(host.process_id, signal_number)
            with pytest.raises(EngineLost):
                await to_the_end(outs)
        assert host.state is EngineState.STARTING
        assert host.link is None
        with pytest.raises(ConnectionError):
            await host.load("d1", adapter)
        await again_ready(host, 1)
        assert host.stats.adapter_reads == 1
        assert [await tokens(host), await tokens(host, "d1", adapter)] == before

    hosted(folder, work)


def test_whoever_leaves_a_generation_cancels_it(tmp_path: Path) -> None:
    async def work(host: EngineHost) -> None:
        assert host.link is not None
        for _ in range(3):
            with host.link.generate([PROMPT], [LONG]) as generation:
                await anext(generation.outs())
        while host.stats.num_running or host.stats.num_waiting or host.stats.pages_kv:
            await asyncio.sleep(0.01)
        assert 0 < host.stats.output_tokens < 3 * 900
        with host.link.generate([(-1,)], [SHORT]) as generation:
            with pytest.raises(GenerationError, match="prompt, got token -1") as refused:
                await anext(generation.outs())
            assert refused.value.is_refused

    hosted(tmp_path, work)


class UnloadingLink:
    """A link to an engine, behind whose back adapters are unloaded while the first one is loaded again."""

    def __init__(self, host: EngineHost) -> None:
        self._host = host
        self.loads: list[str] = []
        self.unloads: list[str] = []

    async def greet(self) -> ModelCard:
        return ModelCard("{}", "", {}, (), 160, 256, 1)

    async def load(self, digest: str, folder: str) -> str:
        self.loads.append(digest)
        self._host.unload("d1")
        self._host.unload("d2")
        return ""

    def unload(self, digest: str) -> None:
        self.unloads.append(digest)


@pytest.mark.slow
def test_what_is_unloaded_while_another_engine_starts_does_not_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        host = EngineHost(EngineDescription(folder=str(tmp_path)))
        host._adapters = {"d1": "1", "d2": "2"}
        link = UnloadingLink(host)
        serving = asyncio.create_task(host._serve(link))  # type: ignore[arg-type]
        await host.first_ready.wait()
        serving.cancel()
        assert (link.loads, link.unloads) == (["d1"], ["d1"])

    asyncio.run(run())
