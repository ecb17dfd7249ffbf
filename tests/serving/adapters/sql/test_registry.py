from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from verilora.serving.adapters.adapter_record import AdapterState
from verilora.serving.adapters.ingestion.ingest import Ingested
from verilora.serving.adapters.sql import registry as registry_module
from verilora.serving.adapters.sql.database import database_url, open_database
from verilora.serving.adapters.sql.registry import AdapterRegistry


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    for content in "abc":
        (store / (content * 64)).mkdir()
    return store


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    database = open_database(database_url(tmp_path))
    yield database
    database.dispose()


@pytest.fixture
def registry(database: Engine, store: Path) -> AdapterRegistry:
    return AdapterRegistry(database, store, "base")


def found(content: str, certificate: str = "") -> Ingested:
    return Ingested(digest=content * 64, rank=8, num_bytes=2**40, certificate=certificate)


def test_a_version_is_checked_and_then_active(registry: AdapterRegistry, store: Path) -> None:
    record = registry.begin("fleet", found("a", "{}"))
    assert (record.name, record.version, record.digest, record.rank) == ("fleet", 1, "a" * 64, 8)
    assert (record.num_bytes, record.state, record.folder) == (2**40, AdapterState.CHECKING, store / ("a" * 64))
    assert registry.active() == []
    active = registry.activate(record)
    assert active.state is AdapterState.ACTIVE
    assert (active.created_at, active.version) == (record.created_at, 1)
    assert registry.active() == [active]
    (entry,) = registry.entries("fleet")
    assert (entry.record, entry.certificate, entry.last_error) == (active, "{}", "")


def test_an_update_retires_what_was_there(registry: AdapterRegistry) -> None:
    registry.activate(registry.begin("fleet", found("a")))
    second = registry.activate(registry.begin("fleet", found("b")))
    assert registry.active() == [second]
    assert second.version == 2
    assert registry.used_digests() == {"b" * 64}


def test_what_fails_is_listed_with_its_reason_beside_what_is_served(registry: AdapterRegistry) -> None:
    first = registry.activate(registry.begin("fleet", found("a")))
    failed = registry.fail(registry.begin("fleet", found("b")), "some weights are not finite")
    assert (failed.state, failed.folder, failed.error) == (AdapterState.FAILED, None, "some weights are not finite")
    (entry,) = registry.entries()
    assert (entry.record, entry.last_error) == (first, "some weights are not finite")
    registry.activate(registry.begin("fleet", found("c")))
    assert registry.entries()[0].last_error == ""
    alone = registry.refuse("other", "no adapter")
    assert [entry.record for entry in registry.entries("other")] == [alone]
    assert (alone.digest, alone.folder) == ("", None)


def test_who_asks_again_and_again_fills_no_table(registry: AdapterRegistry, database: Engine) -> None:
    for number in range(5):
        registry.refuse("fleet", f"reason {number}")
    registry.activate(registry.begin("fleet", found("a")))
    for number in range(5):
        registry.refuse("fleet", f"reason {number}")
    with database.connect() as connection:
        assert connection.execute(text("SELECT version, state, error FROM adapter ORDER BY id")).all() == [
            (1, "failed", "reason 4"),
            (2, "active", ""),
            (3, "failed", "reason 4"),
        ]


def test_a_removed_name_keeps_its_history(registry: AdapterRegistry, database: Engine) -> None:
    registry.activate(registry.begin("fleet", found("a")))
    assert registry.retire("fleet")
    assert not registry.retire("fleet")
    assert registry.entries() == registry.active() == []
    with database.connect() as connection:
        rows = connection.execute(text("SELECT name, state, retired_at >= created_at FROM adapter")).all()
    assert rows == [("fleet", "retired", 1)]
    assert registry.activate(registry.begin("fleet", found("a"))).version == 2


def test_a_certificate_takes_the_place_of_another(registry: AdapterRegistry, database: Engine) -> None:
    record = registry.activate(registry.begin("fleet", found("a")))
    registry.certify(record, '{"format": 2}')
    assert registry.entries()[0].certificate == '{"format": 2}'
    registry.certify(record, "")
    assert registry.entries()[0].certificate == ""


def test_each_base_model_has_its_own(registry: AdapterRegistry, database: Engine, store: Path) -> None:
    other = AdapterRegistry(database, store, "other base")
    mine = registry.activate(registry.begin("fleet", found("a")))
    theirs = other.activate(other.begin("fleet", found("b")))
    assert (registry.active(), other.active()) == ([mine], [theirs])
    assert mine.version == theirs.version == 1
    assert registry.used_digests() == {"a" * 64, "b" * 64}
    assert registry.retire("fleet")
    assert other.active() == [theirs]


def test_what_a_kill_cuts_off_has_failed(registry: AdapterRegistry) -> None:
    first = registry.activate(registry.begin("fleet", found("a")))
    registry.begin("fleet", found("b"))
    registry.recover()
    (entry,) = registry.entries()
    assert (entry.record, entry.last_error) == (first, "the server ended before it was loaded")


def test_what_has_lost_its_files_has_failed(registry: AdapterRegistry) -> None:
    first = registry.activate(registry.begin("fleet", found("a")))
    registry.activate(registry.begin("lost", found("e")))
    registry.recover()
    assert registry.active() == [first]
    assert registry.entries("lost")[0].record.error == "its files are gone from the server's folder"


def test_two_active_versions_are_impossible(registry: AdapterRegistry, database: Engine) -> None:
    registry.activate(registry.begin("fleet", found("a")))
    registry.begin("fleet", found("b"))
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(text("UPDATE adapter SET state = 'active'"))


@given(st.lists(st.tuples(st.sampled_from(["add", "fail", "refuse", "retire"]), st.sampled_from("ab")), max_size=12))
def test_whatever_happens_names_stand_for_what_was_last_activated(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str]]
) -> None:
    database = open_database(database_url(tmp_path_factory.mktemp("events")))
    registry, expected = AdapterRegistry(database, Path("store"), "base"), {}
    for number, (event, name) in enumerate(events):
        if event == "add":
            expected[name] = registry.activate(registry.begin(name, found(f"{number % 10}")))
        elif event == "fail":
            registry.fail(registry.begin(name, found("f")), "failed")
        elif event == "refuse":
            registry.refuse(name, "refused")
        else:
            assert registry.retire(name) == (expected.pop(name, None) is not None)
    assert registry.active() == [record for _, record in sorted(expected.items())]
    database.dispose()


def test_a_clock_that_is_set_back_by_an_hour_changes_no_order(
    registry: AdapterRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = registry.activate(registry.begin("fleet", found("a")))
    hour = 3_600_000_000
    now = registry_module._now
    monkeypatch.setattr(registry_module, "_now", lambda: now() - hour)
    second = registry.activate(registry.begin("fleet", found("b")))
    registry.refuse("fleet", "no adapter")
    registry.recover()
    assert second.created_at < first.created_at
    assert registry.active() == [second]
    (entry,) = registry.entries("fleet")
    assert (entry.record, entry.last_error) == (second, "no adapter")
