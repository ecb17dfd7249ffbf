"""The adapters of `verilora serve`: where they come from, where they are kept, and those named on the command line."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ...specs.files.errors import InputError
from ...synth.models.model_files import check_adapter, described, model_digest, model_folder
from ..adapters.adapter_error import AdapterError
from ..adapters.adapter_manager import JOBS, AdapterEngine, AdapterManager
from ..adapters.adapter_names import check_name
from ..adapters.adapter_settings import AdapterSettings
from ..adapters.open_adapters import open_adapters
from ..models.projections import projections_of
from ..workers.host_client import JobHost


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterOptions:
    """What `verilora serve` is asked for about adapters.

    named     NAME=DIR, those that are served from the start
    roots     folders that adapters may be registered from while the server runs
    resolver  a folder of adapters that are registered when they are first asked for
    state     where what is registered outlives the server; None if it does not
    database  the URL of a database other than the state's own
    max_rank  the highest that an adapter may have
    """

    named: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    resolver: Path | None = None
    state: Path | None = None
    database: str | None = None
    max_rank: int = 256

    def folders(self, base_name: str) -> dict[str, Path]:
        """Return the folders of named adapters, by name; raises InputError for options that cannot be used."""
        self._check_folders()
        if self.database is not None and self.state is None:
            raise InputError("--database", "is given, expected --state, too: the adapters' files have to stay as well")
        found: dict[str, Path] = {}
        for given in self.named:
            name, separator, folder = given.partition("=")
            if not separator or not folder:
                raise InputError("--adapter", f"got {given!r}, expected NAME=DIR")
            if name in found:
                raise InputError("--adapter", f"got {name!r} twice, expected each name once")
            try:
                check_name(name, base_name)
            except ValueError as error:
                raise InputError("--adapter", f"got {given!r}, expected NAME=DIR: as the name {error}") from None
            found[name] = _adapter_folder(Path(folder))
        return found

    def _check_folders(self) -> None:
        named = [("--adapter-root", root) for root in self.roots]
        if self.resolver is not None:
            named.append(("--adapter-resolver", self.resolver))
        for option, folder in named:
            if not folder.is_dir():
                raise InputError(option, f"got {str(folder)!r}, expected a folder")


@asynccontextmanager
async def adapters_of(
    options: AdapterOptions, *, model: str | None, base_name: str, state: Path, engine: AdapterEngine
) -> AsyncIterator[AdapterManager]:
    """Yield the adapters of a server, which keeps them in `state` unless the options name a folder."""
    folder = await asyncio.to_thread(model_folder, model)
    settings = AdapterSettings(
        base_name=base_name,
        base_digest=await asyncio.to_thread(model_digest, folder),
        projections=projections_of(described(folder)),
        state=options.state or state,
        database=options.database,
        roots=tuple(root.absolute() for root in options.roots),
        resolver=options.resolver,
        max_rank=options.max_rank,
    )
    host = JobHost([JOBS])
    await host.start()
    try:
        async with open_adapters(settings, host, engine) as manager:
            yield manager
    finally:
        await host.close()


async def register(manager: AdapterManager, folders: Iterable[tuple[str, Path]]) -> None:
    """Register named adapters; raises InputError that names the one that cannot be served."""
    for name, folder in folders:
        try:
            await manager.add(name, folder.name, replace=True, roots=(folder.parent,))
        except AdapterError as error:
            raise InputError(f"--adapter {name}", str(error)) from None


def _adapter_folder(folder: Path) -> Path:
    """Return the folder of an adapter, also of that in the directory of a run; raises InputError."""
    if not (folder / "adapter_config.json").is_file() and (folder / "adapter").is_dir():
        folder = folder / "adapter"
    check_adapter(folder)
    return folder.resolve()
