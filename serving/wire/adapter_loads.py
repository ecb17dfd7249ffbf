"""Adapters that the engine's process reads in a thread of its own, so that running requests do not wait for a disk."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from ...specs.files.errors import InputError
from ..engine.engine import Engine

Then = Callable[[str], None]
"""Hears that an adapter is there, with "", or why it is not."""
_LOG = logging.getLogger(__name__)


class AdapterLoads:
    """Registers adapters in an engine, each under its digest and once however many wait for it.

    Those that are kept stay registered until they are forgotten; others only until those who wait have heard of them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = ThreadPoolExecutor(1, "adapter-reader")
        self._loaded: set[str] = set()
        self._kept: set[str] = set()
        self._waiting: dict[str, list[Then]] = {}
        self._read: SimpleQueue[tuple[str, str]] = SimpleQueue()

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for an adapter."""
        return bool(self._waiting)

    def want(self, digest: str, folder: str, then: Then, *, is_kept: bool = True) -> None:
        """Let an adapter be registered, and `then` hear of it: at once, or in `collect`."""
        if is_kept:
            self._kept.add(digest)
        if digest in self._loaded:
            then("")
        elif digest in self._waiting:
            self._waiting[digest].append(then)
        else:
            self._waiting[digest] = [then]
            self._reader.submit(self._load, digest, Path(folder))

    def forget(self, digest: str) -> None:
        """Let go of an adapter; requests that have come before end with it, also those that wait until it is read."""
        self._kept.discard(digest)
        if digest in self._loaded:
            self._remove(digest)

    def collect(self) -> None:
        """Tell those who wait of the adapters that were read meanwhile."""
        while True:
            try:
                digest, error = self._read.get_nowait()
            except Empty:
                return
            if not error:
                self._loaded.add(digest)
            for then in self._waiting.pop(digest):
                then(error)
            if error:
                self._kept.discard(digest)
            elif digest not in self._kept:
                self._remove(digest)

    def close(self) -> None:
        """Begin nothing more."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _remove(self, digest: str) -> None:
        self._loaded.remove(digest)
        self._engine.remove_adapter(digest)

    def _load(self, digest: str, folder: Path) -> None:
        error = ""
        try:
            self._engine.add_adapter(digest, folder)
        except InputError as refusal:
            error = refusal.reason
        except Exception as failure:
            # The libraries that read files fail in many ways; their words may name a path.
            _LOG.exception("an adapter could not be read")
            error = f"it could not be read: {type(failure).__name__}"
        self._read.put((digest, error))
