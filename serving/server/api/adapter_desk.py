"""What clients may do with adapters, as the routes know it: in a front of its own, or in the first of several."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import msgspec

from ...adapters.adapter_error import AdapterError, Refusal
from ...adapters.adapter_manager import AdapterManager
from ...adapters.sql.registry import Entry
from .adapters import Adapters, adapter_of, detail_of


class AdapterDesk(Protocol):
    """Loads, unloads and tells of adapters; each raises AdapterError."""

    async def add(self, name: str, path: str, *, replace: bool = False) -> object:
        """Let a name stand for what lies at a path."""

    async def remove(self, name: str) -> None:
        """Let a name stand for nothing."""

    async def listed(self) -> bytes:
        """Return all that is known, as JSON."""

    async def told(self, name: str) -> bytes:
        """Return what is known of one adapter, as JSON."""


class ManagerDesk:
    """The desk of a front that has the adapters itself."""

    def __init__(self, manager: AdapterManager) -> None:
        self._manager = manager

    async def add(self, name: str, path: str, *, replace: bool = False) -> object:
        """Let a name stand for what lies at a path under a root."""
        return await self._manager.add(name, path, replace=replace)

    async def remove(self, name: str) -> None:
        """Let a name stand for nothing."""
        await self._manager.remove(name)

    async def listed(self) -> bytes:
        """Return all that is known, as JSON."""
        # Thousands take milliseconds.
        return await asyncio.to_thread(_listed, await self._manager.entries())

    async def told(self, name: str) -> bytes:
        """Return what is known of one adapter, with its certificate, as JSON."""
        for entry in await self._manager.entries(name):
            return msgspec.json.encode(detail_of(entry))
        raise AdapterError(Refusal.ABSENT, "there is no adapter of this name")


def _listed(entries: Iterable[Entry]) -> bytes:
    return msgspec.json.encode(Adapters(data=[adapter_of(entry) for entry in entries]))
