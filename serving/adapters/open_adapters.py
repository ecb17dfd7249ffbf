"""A server's adapters from its start to its end: the state folder locked, cleared and known."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from ...specs.files.errors import InputError
from ...specs.files.lock import held
from ..workers.host_client import JobHost
from .adapter_folders import prepare
from .adapter_manager import AdapterEngine, AdapterManager
from .adapter_settings import AdapterSettings
from .sql.database import database_url, open_database
from .sql.registry import AdapterRegistry


@asynccontextmanager
async def open_adapters(
    settings: AdapterSettings, host: JobHost, engine: AdapterEngine
) -> AsyncIterator[AdapterManager]:
    """Yield the adapters that a state folder holds; raises InputError if it cannot be used, or another server does."""
    with opened_registry(settings) as registry:
        manager = AdapterManager(settings, registry, host, engine)
        await manager.open()
        try:
            yield manager
        finally:
            await manager.close()


@contextmanager
def opened_registry(settings: AdapterSettings) -> Iterator[AdapterRegistry]:
    """Yield what is registered in a state folder, which is this process's alone, after what was left there is gone."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InputError(settings.state, f"cannot be written: {error.strerror}") from None
    with held(settings.state):
        database = open_database(settings.database or database_url(settings.state))
        try:
            registry = AdapterRegistry(database, settings.store, settings.base_digest)
            prepare(settings.store, registry.used_digests())
            yield registry
        finally:
            database.dispose()
