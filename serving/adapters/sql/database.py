"""The server's database: opened, and brought to the tables that this version knows."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ....specs.files.errors import InputError
from .tables import metadata

MIGRATIONS = Path(__file__).parents[1] / "migrations"
FILE = "verilora.db"


def database_url(folder: Path) -> str:
    """Return the URL of the database in a folder."""
    return f"sqlite:///{folder / FILE}"


def open_database(url: str) -> Engine:
    """Return a database whose tables are those of this version; raises InputError."""
    try:
        engine = create_engine(make_url(url), pool_pre_ping=True)
    except (ArgumentError, ImportError) as error:
        raise InputError("database", f"cannot be used: {error}, expected the URL of a database") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            command.upgrade(migration_config(connection), "head")
    except SQLAlchemyError as error:
        engine.dispose()
        shown = make_url(url).render_as_string(hide_password=True)
        raise InputError(shown, f"cannot be used: {_first_line(error)}") from None
    return engine


def migration_config(connection: Connection) -> Config:
    """Return alembic's settings for changes on a connection."""
    config = Config()
    # A name with a percent sign is no placeholder.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=connection, metadata=metadata)
    return config


def _prepare(connection: Any, _record: Any) -> None:
    """Let SQLite survive a kill at any moment, and sqlite3 begin no transactions of its own."""
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # At once for writing: one that begins as a reader could not wait for another's end.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
