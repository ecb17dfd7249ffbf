"""An adapter that is updated while requests run with it, from its files to the tokens of a real engine."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from verilora.serving.adapters.adapter_manager import JOBS
from verilora.serving.adapters.adapter_record import AdapterRecord
from verilora.serving.adapters.open_adapters import open_adapters
from verilora.serving.engine.engine import Engine
from verilora.serving.requests.request import Request
from verilora.serving.requests.sampling_params import SamplingParams
from verilora.serving.requests.sequence import Sequence

from engines import Reference, engine_of, random_model, random_prompts, save_adapter
from hosting import hosting
from served_adapters import settings_of

NUM_TOKENS = 24


class EngineAdapters:
    """What a process of the engine does with adapters: each is registered under its digest."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def load(self, digest: str, folder: str) -> str:
        """Register an adapter, and return why not, or nothing."""
        self._engine.add_adapter(digest, Path(folder))
        return ""

    def unload(self, digest: str) -> None:
        """Let go of it."""
        self._engine.remove_adapter(digest)


class Running:
    """A request that runs, and the tokens that it has so far."""

    def __init__(self, engine: Engine, prompt: tuple[int, ...], record: AdapterRecord) -> None:
        self.tokens: list[int] = []
        self.has_ended = False
        self._num_prompt = len(prompt)
        params = SamplingParams(temperature=0, max_tokens=NUM_TOKENS, ignore_eos=True)
        engine.submit(Request(prompt=prompt, params=params, adapter=record.digest), self._hear)

    def _hear(self, sequence: Sequence) -> None:
        self.tokens = sequence.tokens[self._num_prompt :]
        self.has_ended = sequence.finish is not None


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = engine_of(random_model())
    yield engine
    engine.close()


def test_vllm_47724_requests_end_with_the_version_that_they_began_with(tmp_path: Path, engine: Engine) -> None:
    """Old requests have the old tokens, new ones the new, for the same prompts: no cache takes one for the other."""
    model = random_model()
    folders = [save_adapter(tmp_path / "root" / name, model, seed) for seed, name in enumerate(("old", "new"))]
    prompts = random_prompts(6, longest=40)

    async def run() -> tuple[list[Running], list[Running]]:
        settings = settings_of(tmp_path, engine.architecture.projections)
        async with hosting(JOBS) as host, open_adapters(settings, host, EngineAdapters(engine)) as manager:
            first = await manager.add("fleet", "old")
            old = [Running(engine, prompt, first) for prompt in prompts]
            while not all(len(one.tokens) > 3 for one in old):
                engine.step()
            assert not any(one.has_ended for one in old)
            second = await manager.add("fleet", "new", replace=True)
            assert [*engine.list_adapters()] == [second.digest], "the old one has no name any more"
            new = [Running(engine, prompt, second) for prompt in prompts]
            while engine.step():
                pass
            return old, new

    old, new = asyncio.run(run())
    reference = Reference(model, folders)
    for prompt, one, other in zip(prompts, old, new, strict=True):
        assert len(one.tokens) == len(other.tokens) == NUM_TOKENS
        assert reference.follows(prompt, one.tokens, "old")
        assert reference.follows(prompt, other.tokens, "new")
    assert any(one.tokens != other.tokens for one, other in zip(old, new, strict=True))
    assert engine.counters().pages_kv == 0
