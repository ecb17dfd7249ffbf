import asyncio
import json
import resource
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from verilora.serving.adapters.adapter_error import AdapterError, Refusal
from verilora.serving.adapters.adapter_manager import AdapterManager
from verilora.serving.adapters.adapter_record import AdapterRecord, AdapterState
from verilora.serving.adapters.adapter_settings import AdapterSettings
from verilora.serving.adapters.catalogue import Catalogue
from verilora.serving.adapters.sql.registry import AdapterRegistry
from verilora.serving.models.projections import projections_of
from verilora.synth.models.model_files import described

from damaged_adapters import CONFIG, WEIGHTS, with_config
from served_adapters import ListeningEngine, managing, settings_of, variant
from tiny_models import base_model, save_tiny_adapter, save_tiny_model, tiny_tokenizer

Body = Callable[[AdapterManager, ListeningEngine], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), tiny_tokenizer(texts))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return save_tiny_adapter(tmp_path_factory.mktemp("adapter"), base_model(model))


@pytest.fixture
def settings(tmp_path: Path, model: Path, original: Path) -> AdapterSettings:
    """Return settings for a root with two adapters, `a` and `b`."""
    found = settings_of(tmp_path, projections_of(described(model)))
    for byte, name in enumerate("ab"):
        variant(original, tmp_path / "root" / name, byte)
    return found


def with_manager(settings: AdapterSettings, body: Body) -> None:
    async def run() -> None:
        engine = ListeningEngine()
        async with managing(settings, engine) as manager:
            await body(manager, engine)

    asyncio.run(run())


async def refusal_of(work: Coroutine[Any, Any, object]) -> tuple[Refusal, str]:
    with pytest.raises(AdapterError) as refused:
        await work
    return refused.value.refusal, str(refused.value)


def test_an_adapter_is_served_from_the_store_once_the_engine_has_it(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        record = await manager.add("fleet", str(settings.roots[0] / "a"))
        catalogue: Catalogue = manager
        assert (catalogue.find("fleet"), catalogue.all()) == (record, [record])
        assert (record.state, record.version, record.rank) == (AdapterState.ACTIVE, 1, 4)
        assert record.folder == settings.store / record.digest
        assert engine.loads == [(record.digest, str(record.folder))]
        shutil.rmtree(settings.roots[0] / "a")
        assert {path.name for path in record.folder.iterdir()} == {CONFIG, WEIGHTS}

    with_manager(settings, body)


def test_the_same_content_under_the_same_name_changes_nothing(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        record = await manager.add("fleet", "a")
        assert await manager.add("fleet", "a", replace=True) == record
        refusal = await refusal_of(manager.add("fleet", "b"))
        assert refusal == (Refusal.PRESENT, "the adapter 'fleet' has already been loaded")
        assert (len(engine.loads), engine.unloads) == (1, [])
        (settings.roots[0] / "a" / "certificate.json").write_text('{"format": 2}')
        assert await manager.add("fleet", "a", replace=True) == record
        assert (await manager.entries("fleet"))[0].certificate == '{"format": 2}', "but its certificate may"

    with_manager(settings, body)


def test_an_update_and_what_was_there_before(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        first = await manager.add("fleet", "a")
        second = await manager.add("fleet", "b", replace=True)
        assert second.version == 2
        assert second.digest != first.digest
        assert (manager.find("fleet"), engine.unloads) == (second, [first.digest])
        # Requests that have begun may read it again.
        assert first.folder is not None
        assert first.folder.is_dir()

    with_manager(settings, body)
    assert {path.name for path in settings.store.iterdir()} > {"unfinished"}
    with_manager(settings, lambda manager, _: asyncio.sleep(0))
    assert len([*settings.store.iterdir()]) == 1, "what is retired goes with the next start"


def test_others_know_of_a_change_before_it_is_said_to_be_done(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        heard: list[tuple[str, str | None, int]] = []

        async def publish(name: str, record: AdapterRecord | None) -> None:
            await asyncio.sleep(0)
            assert manager.find(name) == record
            # Nothing old is let go of while they may still ask for it.
            heard.append((name, record and record.digest, len(engine.unloads)))

        manager.publish = publish
        first = await manager.add("fleet", "a")
        assert heard == [("fleet", first.digest, 0)]
        second = await manager.add("fleet", "b", replace=True)
        await manager.remove("fleet")
        assert heard[1:] == [("fleet", second.digest, 0), ("fleet", None, 1)]
        assert engine.unloads == [first.digest, second.digest]

    with_manager(settings, body)


def test_sglang_13771_two_names_of_one_content_share_it(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        one, two = await manager.add("one", "a"), await manager.add("team/two", "a")
        assert one.folder == two.folder
        await manager.remove("one")
        assert engine.unloads == []
        await manager.remove("team/two")
        assert engine.unloads == [one.digest]
        assert await refusal_of(manager.remove("one")) == (Refusal.ABSENT, "there is no adapter of this name")
        assert await manager.entries() == manager.all() == []

    with_manager(settings, body)


def test_aibrix_236_what_the_engine_cannot_load_is_not_served_and_says_why(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        engine.error = "takes 9 pages of memory, expected at most the pool's 4"
        assert await refusal_of(manager.add("fleet", "a")) == (Refusal.FILES, f"adapter: {engine.error}")
        (entry,) = await manager.entries()
        assert (entry.record.state, entry.record.error) == (AdapterState.FAILED, f"adapter: {engine.error}")
        assert manager.find("fleet") is None
        engine.error = ConnectionError("the engine at /secret/place is gone")
        refused = await refusal_of(manager.add("fleet", "a"))
        assert refused == (Refusal.UNAVAILABLE, "the engine could not load it: ConnectionError")
        engine.error = ""
        first = await manager.add("fleet", "a")
        engine.error = "no"
        await refusal_of(manager.add("fleet", "b", replace=True))
        assert manager.find("fleet") == first
        assert [(entry.record, entry.last_error) for entry in await manager.entries()] == [(first, "adapter: no")]

    with_manager(settings, body)


def test_what_is_refused_is_told_without_a_path(settings: AdapterSettings, tmp_path: Path) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        with_config(modules_to_save=["lm_head"])(settings.roots[0] / "a")
        refusal, message = await refusal_of(manager.add("fleet", str(settings.roots[0] / "a")))
        assert refusal is Refusal.FILES
        assert message.startswith(f"{CONFIG}: modules_to_save: got ['lm_head']")
        for path in ("missing", str(settings.roots[0] / "missing"), "\ud800", "x" * 9_000):
            refusal, message = await refusal_of(manager.add("fleet", path))
            assert refusal is Refusal.ABSENT
            assert "no adapter found" in message or "cannot be read" in message
        for path in ("/etc", "../state", str(tmp_path / "state"), ""):
            assert (await refusal_of(manager.add("fleet", path)))[0] is Refusal.FILES
        for name in ("../fleet", "base", "", "\ud800"):
            assert (await refusal_of(manager.add(name, "b")))[0] is Refusal.NAME
        told = json.dumps([str(entry) for entry in await manager.entries()])
        assert str(tmp_path) not in told
        assert engine.loads == []

    with_manager(settings, body)


def test_aibrix_860_what_is_registered_outlives_a_restart(settings: AdapterSettings) -> None:
    before: list[Any] = []

    async def first(manager: AdapterManager, engine: ListeningEngine) -> None:
        for name in ("one", "two", "three"):
            before.append(await manager.add(name, "a"))
        await manager.add("one", "b", replace=True)
        await manager.remove("three")
        before[:] = manager.all()

    async def second(manager: AdapterManager, engine: ListeningEngine) -> None:
        assert manager.all() == before
        assert [record.name for record in before] == ["one", "two"]
        assert engine.loads == [], "read when they are asked for"
        assert all(record.folder is not None and record.folder.is_dir() for record in before)

    with_manager(settings, first)
    with_manager(settings, second)


def test_a_content_that_another_name_is_getting_is_not_let_go_of(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        await manager.add("one", "a")
        engine.gate.clear()
        coming = asyncio.create_task(manager.add("two", "a"))
        while len(engine.loads) < 2:
            await asyncio.sleep(0.01)
        await manager.remove("one")
        assert engine.unloads == []
        engine.gate.set()
        record = await coming
        assert engine.unloads == []
        await manager.remove("two")
        assert engine.unloads == [record.digest]

    with_manager(settings, body)


def test_what_could_not_be_activated_does_not_stay_in_the_engine(
    settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(registry: AdapterRegistry, record: AdapterRecord) -> AdapterRecord:
        raise OperationalError("", {}, OSError("database or disk is full"))

    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        monkeypatch.setattr(AdapterRegistry, "activate", cannot)
        assert (await refusal_of(manager.add("fleet", "a")))[0] is Refusal.UNAVAILABLE
        assert engine.unloads == [digest for digest, _ in engine.loads] != []
        (entry,) = await manager.entries("fleet")
        assert entry.record.state is AdapterState.FAILED
        assert entry.last_error == "the database could not be used: OperationalError"

    with_manager(settings, body)


def test_one_thing_at_a_time_happens_to_a_name(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        adds = [manager.add("fleet", "ab"[number % 2], replace=True) for number in range(6)]
        others = [manager.add(f"other-{number}", "a") for number in range(3)]
        records = await asyncio.gather(*adds, *others)
        assert len({(record.name, record.version) for record in records}) == 9
        assert manager.find("fleet") == records[5]
        assert len(await manager.entries()) == 4

    with_manager(settings, body)


def test_who_leaves_early_cuts_nothing_off(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        asked = asyncio.create_task(manager.add("fleet", "a"))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert asked.cancelled()
        assert (await refusal_of(manager.add("fleet", "b")))[0] is Refusal.PRESENT, "it was registered all the same"

    with_manager(settings, body)


def test_a_server_that_ends_ends_what_is_being_done(settings: AdapterSettings) -> None:
    asked: list[asyncio.Task[Any]] = []

    async def first(manager: AdapterManager, engine: ListeningEngine) -> None:
        engine.is_slow = True
        asked.append(asyncio.create_task(manager.add("fleet", "a")))
        while not engine.loads:
            await asyncio.sleep(0.01)
        asked.append(asyncio.create_task(manager.add("fleet", "b")))
        await asyncio.sleep(0)

    async def second(manager: AdapterManager, engine: ListeningEngine) -> None:
        assert manager.all() == []
        (entry,) = await manager.entries()
        assert (entry.record.state, entry.last_error) == (
            AdapterState.FAILED,
            "the server ended before it was loaded",
        )
        assert [*settings.store.iterdir()] == []

    with_manager(settings, first)
    assert all(one.cancelled() for one in asked)
    with_manager(settings, second)


def test_a_job_that_takes_too_long_leaves_nothing(settings: AdapterSettings, tmp_path: Path, model: Path) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        refused = await refusal_of(manager.add("fleet", "a"))
        assert refused == (Refusal.UNAVAILABLE, "it took longer than it may")
        assert [*settings.store.rglob("*.safetensors")] == []
        assert (await manager.entries())[0].record.error == "it took longer than it may"

    with (settings.roots[0] / "a" / WEIGHTS).open("r+b") as file:
        # Sparse: it takes no room, and a while to read.
        file.truncate(2**36)
    settings = settings_of(tmp_path, settings.projections, max_bytes=2**40, seconds=0.3)
    with_manager(settings, body)


def test_a_database_that_cannot_write_changes_nothing(settings: AdapterSettings) -> None:
    async def body(manager: AdapterManager, engine: ListeningEngine) -> None:
        first = await manager.add("fleet", "a")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # The host of jobs is another process, and writes as before.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
        try:
            refusal, message = await refusal_of(manager.add("fleet", "b", replace=True))
            assert (await refusal_of(manager.remove("fleet")))[0] is Refusal.UNAVAILABLE
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert refusal is Refusal.UNAVAILABLE
        assert message.startswith("the database could not be used: ")
        assert manager.all() == [first]
        assert engine.unloads == []
        second = await manager.add("fleet", "b", replace=True)
        assert (second.version, [entry.record for entry in await manager.entries()]) == (2, [second])

    with_manager(settings, body)
