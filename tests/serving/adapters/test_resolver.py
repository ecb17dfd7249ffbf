import asyncio
from pathlib import Path

import pytest

from verilora.serving.adapters import resolver as resolver_file
from verilora.serving.adapters.adapter_settings import AdapterSettings
from verilora.serving.adapters.resolver import NEGATIVE_SECONDS, Resolver
from verilora.serving.models.projections import projections_of
from verilora.synth.models.model_files import described

from damaged_adapters import CONFIG, WEIGHTS
from served_adapters import ListeningEngine, managing, settings_of, variant
from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer

NOTHING = ("missing", "deep/c", "deep", "link", ".hidden", "..", "", "base", "/etc", "broken", "a/", "\0", "\ud800")


@pytest.fixture
def settings(tmp_path: Path, texts: list[str]) -> AdapterSettings:
    model = save_tiny_model(tmp_path / "model", tiny_tokenizer(texts))
    original = save_tiny_adapter(tmp_path / "original", base_model(model))
    for byte, name in enumerate("ab"):
        variant(original, tmp_path / "found" / name, byte)
    variant(original, tmp_path / "found" / "deep" / "c", 3)
    (tmp_path / "found" / "link").symlink_to(original)
    (tmp_path / "found" / ".hidden").symlink_to(original)
    (tmp_path / "found" / "broken").mkdir()
    for name in (CONFIG, WEIGHTS):
        (tmp_path / "found" / "broken" / name).touch()
    return settings_of(tmp_path, projections_of(described(model)), resolver=tmp_path / "found", roots=())


class Clock:
    """A time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_adapter_is_registered_when_it_is_first_asked_for(settings: AdapterSettings, tmp_path: Path) -> None:
    async def run() -> None:
        engine, clock = ListeningEngine(), Clock()
        async with managing(settings, engine) as manager:
            assert settings.resolver is not None
            resolver = Resolver(manager, settings.resolver, "base", clock)
            found = await asyncio.gather(*(resolver.resolve(name) for name in "aabaab"))
            assert {record.digest for record in found if record} == {digest for digest, _ in engine.loads}
            assert len(engine.loads) == 2, "once, however many ask"
            assert [record.name for record in manager.all()] == ["a", "b"]
            for name in NOTHING:
                assert await resolver.resolve(name) is None
            assert [entry.record.name for entry in await manager.entries()] == ["a", "b", "broken"]
            await resolver_forgets(resolver, clock, tmp_path)

    asyncio.run(run())


async def resolver_forgets(resolver: Resolver, clock: Clock, folder: Path) -> None:
    """What was not there is not looked for again, for a while."""
    (folder / "found" / "a").rename(folder / "found" / "missing")
    assert await resolver.resolve("missing") is None
    clock.now = NEGATIVE_SECONDS - 0.1
    assert await resolver.resolve("missing") is None
    clock.now = NEGATIVE_SECONDS + 0.1
    assert await resolver.resolve("missing") is not None


def test_names_that_anybody_makes_up_take_no_memory(settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_file, "MAX_NEGATIVE", 10)

    async def run() -> None:
        async with managing(settings, ListeningEngine()) as manager:
            assert settings.resolver is not None
            resolver = Resolver(manager, settings.resolver, "base")
            await asyncio.gather(*(resolver.resolve(f"made-up-{number}") for number in range(50)))
            assert len(resolver._negative) == 10
            assert not resolver._running
            assert await manager.entries() == [], "and no rows"

    asyncio.run(run())
