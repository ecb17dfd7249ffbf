"""The adapters of a running server: registered, updated, removed and found, from asyncio.

Finding one asks nobody. All else happens elsewhere: files in jobs, SQL in threads, weights in the engine's process.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy.exc import SQLAlchemyError

from ..workers.host_client import JobHost
from ..workers.job import Failure, JobFailed
from .adapter_error import AdapterError, Refusal
from .adapter_folders import forget_unfinished
from .adapter_names import check_name
from .adapter_record import AdapterRecord
from .adapter_settings import AdapterSettings
from .ingestion.ingest import INGEST, Ingested, Source
from .sql.registry import AdapterRegistry, Entry

T = TypeVar("T")
JOBS = "verilora.serving.adapters.ingestion.ingest"
"""The table of jobs that the host must have."""
_FAULTS = {Failure.MISSING: Refusal.ABSENT, Failure.REFUSED: Refusal.FILES}


Publish = Callable[[str, AdapterRecord | None], Awaitable[None]]


async def _to_nobody(_name: str, _record: AdapterRecord | None) -> None:
    pass


class AdapterEngine(Protocol):
    """The engine as far as adapters go."""

    def load(self, digest: str, folder: str) -> Awaitable[str]:
        """Register an adapter, and return "" or why it cannot be served; raises if there is no engine."""

    def unload(self, digest: str) -> None:
        """Let go of an adapter; requests that have begun end with it."""


class AdapterManager:
    """A catalogue whose adapters change while the server runs."""

    def __init__(
        self, settings: AdapterSettings, registry: AdapterRegistry, host: JobHost, engine: AdapterEngine
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._host = host
        self._engine = engine
        # Lets others know what a name stands for now; those that ask them then find it.
        self.publish: Publish = _to_nobody
        self._active: dict[str, AdapterRecord] = {}
        # How many names each content is being loaded for: what is on its way is not let go of.
        self._loading: Counter[str] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # What runs although nobody may wait for it any more; the event loop alone would forget it.
        self._running: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Learn what is registered; no adapter is read."""
        await self._sql(self._registry.recover)
        self._active = {record.name: record for record in await self._sql(self._registry.active)}

    async def close(self) -> None:
        """End what is being done; what is half done is given up at the next start."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def find(self, name: str) -> AdapterRecord | None:
        """Return the active version of an adapter, None if there is none."""
        return self._active.get(name)

    def all(self) -> list[AdapterRecord]:
        """Return the active version of each adapter, by name."""
        return [record for _, record in sorted(self._active.items())]

    async def add(
        self, name: str, path: str, *, replace: bool = False, roots: tuple[Path, ...] | None = None
    ) -> AdapterRecord:
        """Return the version that a name stands for now, made of what lies at a path under a root.

        The same content under the same name changes nothing. Raises AdapterError; then all is as it was before, and
        the reason stays known. Who asks may go away: it is done to its end.
        """
        try:
            check_name(name, self._settings.base_name)
        except ValueError as error:
            raise AdapterError(Refusal.NAME, f"lora_name: {error}") from None
        where = self._settings.roots if roots is None else roots
        return await self._alone(name, lambda: self._add(name, path, where, replace=replace))

    async def remove(self, name: str) -> None:
        """Let a name stand for nothing; requests that have begun end with their version. Raises AdapterError."""
        await self._alone(name, lambda: self._remove(name))

    async def entries(self, name: str | None = None) -> list[Entry]:
        """Return what is told of all names, or of one; none if it is unknown."""
        return await self._sql(self._registry.entries, name)

    async def _add(self, name: str, path: str, roots: tuple[Path, ...], *, replace: bool) -> AdapterRecord:
        old = self.find(name)
        if old is not None and not replace:
            raise AdapterError(Refusal.PRESENT, f"the adapter {name!r} has already been loaded")
        found = await self._ingest(name, path, roots)
        if old is not None and old.digest == found.digest:
            await self._sql(self._registry.certify, old, found.certificate)
            return old
        record = await self._activate(await self._sql(self._registry.begin, name, found))
        if old is not None:
            self._let_go(old.digest)
        return record

    async def _remove(self, name: str) -> None:
        old = self.find(name)
        if old is None:
            raise AdapterError(Refusal.ABSENT, "there is no adapter of this name")
        await self._sql(self._registry.retire, name)
        del self._active[name]
        await self.publish(name, None)
        self._let_go(old.digest)

    async def _ingest(self, name: str, path: str, roots: tuple[Path, ...]) -> Ingested:
        """Return what was taken into the store; raises AdapterError, and remembers why if files are at fault."""
        source = self._source(path, roots)
        try:
            return await self._host.run(INGEST, source, deadline=self._settings.seconds)
        except UnicodeEncodeError:
            raise AdapterError(Refusal.ABSENT, "lora_path: no adapter found") from None
        except JobFailed as error:
            await asyncio.to_thread(forget_unfinished, self._settings.store, source.token)
            if error.failure is not Failure.MISSING:
                await self._sql(self._registry.refuse, name, error.reason)
            raise AdapterError(_FAULTS.get(error.failure, Refusal.UNAVAILABLE), error.reason) from None

    def _source(self, path: str, roots: tuple[Path, ...]) -> Source:
        settings = self._settings
        return Source(
            path=path,
            roots=[str(root) for root in roots],
            store=str(settings.store),
            token=secrets.token_hex(16),
            num_layers=settings.projections.num_layers,
            widths=dict(settings.projections.widths),
            max_rank=settings.max_rank,
            max_bytes=settings.max_bytes,
        )

    async def _activate(self, record: AdapterRecord) -> AdapterRecord:
        """Return a version that its name stands for now; raises AdapterError, and the engine has nothing more of it."""
        self._loading[record.digest] += 1
        try:
            self._active[record.name] = active = await self._load(record)
            await self.publish(active.name, active)
            return active
        finally:
            self._loading -= Counter([record.digest])
            self._let_go(record.digest)

    async def _load(self, record: AdapterRecord) -> AdapterRecord:
        """Return a version that the engine has and its name stands for; raises AdapterError."""
        refusal = Refusal.FILES
        try:
            error = await self._engine.load(record.digest, str(record.folder))
        except Exception as gone:
            refusal, error = Refusal.UNAVAILABLE, f"the engine could not load it: {type(gone).__name__}"
        if not error:
            try:
                return await self._sql(self._registry.activate, record)
            except AdapterError as lost:
                refusal, error = lost.refusal, str(lost)
        # Whoever wrote it did not know for whom.
        error = error.replace(str(record.folder), "adapter")
        await self._sql(self._registry.fail, record, error)
        raise AdapterError(refusal, error)

    def _let_go(self, digest: str) -> None:
        """Let the engine forget a content that no name stands for any more, and none is about to."""
        if digest not in self._loading and all(record.digest != digest for record in self._active.values()):
            self._engine.unload(digest)

    async def _alone(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Return what comes of work on a name, of which there is one at a time, and which nobody cuts off."""
        lock = self._locks.setdefault(name, asyncio.Lock())

        async def locked() -> T:
            async with lock:
                return await work()

        task = asyncio.create_task(locked())
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Asked for, so that it is not complained about where nobody waits for it any more.
            task.exception()

    async def _sql(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what a call of the registry does, in a thread; raises AdapterError if the database cannot."""
        try:
            return await asyncio.to_thread(call, *arguments)
        except SQLAlchemyError as error:
            message = f"the database could not be used: {type(error).__name__}"
            raise AdapterError(Refusal.UNAVAILABLE, message) from error
