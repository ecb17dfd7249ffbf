from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from verilora.serving.adapters.sql.database import MIGRATIONS, database_url, migration_config, open_database
from verilora.serving.adapters.sql.tables import metadata
from verilora.specs.files.errors import InputError

CHANGES = ("verilora.serving.adapters.migrations.env", "verilora.serving.adapters.migrations.versions.create_adapter")


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_modules_of_the_package(change: str) -> None:
    found = find_spec(change)
    assert found is not None
    assert found.origin is not None
    assert Path(found.origin).resolve().is_relative_to(MIGRATIONS.resolve())


def test_all_changes_together_make_the_tables(tmp_path: Path) -> None:
    database = open_database(database_url(tmp_path))
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "adapter_schema"})
        assert compare_metadata(context, metadata) == []
        indices = inspect(connection).get_indexes("adapter")
        assert [(one["name"], one["unique"]) for one in indices] == [("adapter_active", 1)]
    database.dispose()


def test_a_database_is_opened_again_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "100% sure"
    folder.mkdir()
    for _ in range(2):
        database = open_database(database_url(folder))
        with database.begin() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        database.dispose()


def test_other_tables_are_left_alone(tmp_path: Path) -> None:
    other = create_engine(database_url(tmp_path))
    with other.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of others')"))
    open_database(database_url(tmp_path)).dispose()
    with other.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["of others"]


def test_a_change_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    open_database(database_url(tmp_path)).dispose()
    database = open_database(database_url(tmp_path))

    def cut_off() -> None:
        with database.begin() as connection:
            command.downgrade(migration_config(connection), "base")
            assert not inspect(connection).has_table("adapter")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    with database.connect() as connection:
        assert inspect(connection).has_table("adapter")
    database.dispose()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url", "database: cannot be used: .*expected the URL of a database"),
        ("nosuch://host/name", "database: cannot be used: .*nosuch"),
        ("sqlite:////nowhere/at/all.db", "sqlite:////nowhere/at/all.db: cannot be used: .*unable to open"),
    ],
    ids=["no URL", "no such kind", "no such folder"],
)
def test_a_database_that_cannot_be_used(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_database(url)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "verilora.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(InputError, match=r"verilora.db: cannot be used: .*not a database"):
        open_database(database_url(tmp_path))
