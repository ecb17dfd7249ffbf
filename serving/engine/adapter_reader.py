"""Reads adapters again that host memory let go of, in threads beside the steps."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Event

from ..memory.adapter_store import MAX_READS, AdapterStore, CopiesAdapters, Version

# How long a step that has nothing to compute waits for a reader, in seconds: messages of others wait as long.
PATIENCE = 0.01


class AdapterReader:
    """Threads that read what the store wants. `lock` is that of the engine, whose books they write into."""

    def __init__(self, adapters: AdapterStore, runner: CopiesAdapters, lock: AbstractContextManager[None]) -> None:
        self._adapters = adapters
        self._runner = runner
        self._lock = lock
        self._has_read = Event()
        self._threads: ThreadPoolExecutor | None = None

    def begin(self) -> None:
        """Begin to read what is wanted."""
        for version in self._adapters.take_wanted():
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_READS, "adapter-reader")
            self._threads.submit(self._read, version)

    def wait(self) -> None:
        """Wait a moment for something to be read."""
        self._has_read.wait(PATIENCE)
        self._has_read.clear()

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _read(self, version: Version) -> None:
        try:
            weights = self._adapters.read_again(version)
            with self._lock:
                copy = self._runner.room_for(weights)
            copy.fill(weights)
            with self._lock:
                self._adapters.keep_read(version, copy)
        except Exception as error:
            with self._lock:
                self._adapters.fail_read(version, error)
        self._has_read.set()
