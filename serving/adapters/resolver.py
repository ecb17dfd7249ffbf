"""Adapters that are found when they are first asked for: the sub-folders of one folder, by their names."""

import asyncio
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .adapter_error import AdapterError
from .adapter_manager import AdapterManager
from .adapter_names import check_name
from .adapter_record import AdapterRecord

NEGATIVE_SECONDS = 5.0
# Of names that stand for nothing, which anybody can make up.
MAX_NEGATIVE = 1_024


class Resolver:
    """Registers the adapter of an unknown name, once however many ask for it at a time."""

    def __init__(
        self, manager: AdapterManager, folder: Path, base_name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._manager = manager
        self._folder = folder
        self._base_name = base_name
        self._clock = clock
        self._running: dict[str, asyncio.Task[AdapterRecord | None]] = {}
        self._negative: OrderedDict[str, float] = OrderedDict()

    async def resolve(self, name: str) -> AdapterRecord | None:
        """Return the adapter of a name, registered now if its folder is there, or None.

        What was not there or was refused is not looked for again for some seconds.
        """
        if (found := self._manager.find(name)) is not None:
            return found
        if not self._may_be(name) or self._negative.get(name, 0) > self._clock():
            return None
        if name not in self._running:
            self._running[name] = asyncio.create_task(self._register(name))
        return await asyncio.shield(self._running[name])

    def _may_be(self, name: str) -> bool:
        with suppress(ValueError):
            check_name(name, self._base_name)
            return "/" not in name
        return False

    async def _register(self, name: str) -> AdapterRecord | None:
        try:
            if await asyncio.to_thread(self._is_folder, name):
                return await self._manager.add(name, name, replace=True, roots=(self._folder,))
        except AdapterError:
            # Why is told where adapters are listed.
            pass
        finally:
            del self._running[name]
        self._negative[name] = self._clock() + NEGATIVE_SECONDS
        self._negative.move_to_end(name)
        while len(self._negative) > MAX_NEGATIVE:
            self._negative.popitem(last=False)
        return None

    def _is_folder(self, name: str) -> bool:
        with suppress(OSError):
            return stat.S_ISDIR(os.stat(self._folder / name, follow_symlinks=False).st_mode)
        return False
