"""What a server's adapters need in a test: a model, adapters under a root, and an engine that hears of them."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from verilora.serving.adapters.adapter_manager import JOBS, AdapterManager
from verilora.serving.adapters.adapter_settings import AdapterSettings
from verilora.serving.adapters.open_adapters import open_adapters
from verilora.serving.models.projections import Projections

from hosting import hosting

BASE = "0" * 64


class ListeningEngine:
    """An engine that remembers what it is told, and refuses what it is told to."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, str]] = []
        self.unloads: list[str] = []
        self.error: str | Exception = ""
        self.is_slow = False
        # While it is not set, what is loaded is not there yet.
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, digest: str, folder: str) -> str:
        """Return the error that is set, with a word of where the adapter lies."""
        self.loads.append((digest, folder))
        if self.is_slow:
            await asyncio.Event().wait()
        await self.gate.wait()
        if isinstance(self.error, Exception):
            raise self.error
        return self.error and f"{folder}: {self.error}"

    def unload(self, digest: str) -> None:
        """Remember it."""
        self.unloads.append(digest)


def settings_of(folder: Path, projections: Projections, **changes: Any) -> AdapterSettings:
    """Return settings for a state and a root in a folder."""
    (folder / "root").mkdir(exist_ok=True)
    known = {
        "base_name": "base",
        "base_digest": BASE,
        "projections": projections,
        "state": folder / "state",
        "roots": (folder / "root",),
    }
    return AdapterSettings(**{**known, **changes})


def variant(adapter: Path, folder: Path, byte: int) -> Path:
    """Copy an adapter into a folder with another last number, and so another content."""
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    weights = folder / "adapter_model.safetensors"
    content = weights.read_bytes()
    # The last two bytes of an fp32 number are its sign, its exponent and the first bits behind them.
    weights.write_bytes(content[:-3] + bytes([byte]) + content[-2:])
    return folder


@asynccontextmanager
async def managing(settings: AdapterSettings, engine: ListeningEngine) -> AsyncIterator[AdapterManager]:
    """Yield the adapters of a server."""
    async with hosting(JOBS) as host, open_adapters(settings, host, engine) as manager:
        yield manager
