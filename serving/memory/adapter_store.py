"""The adapters that are registered: their versions, where each lies, and who uses it.

A name stands for its newest version. An update makes another version: requests that have begun end on the old one,
which is let go when the last of them has. A version is known by its content, so the same adapter under two names is
one, and nothing that was cached for one version is found by another.

A version comes from disk into host memory once, in the form that its device takes, and from there into pages of the
pool when a request wants it. Pages of a version that no running request takes are idle memory. One that host memory let
go of is read again beside the steps, and requests that want it are passed over meanwhile.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...specs.files.errors import InputError
from .adapter_weights import AdapterWeights
from .pool import Owner, Pool

# So many are read again at a time.
MAX_READS = 4
Reads = Callable[[Path], AdapterWeights]
"""Reads an adapter's folder; raises InputError."""


class AdapterCopy(Protocol):
    """Room in host memory for an adapter, in the form that its device takes."""

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes."""

    def fill(self, weights: AdapterWeights) -> None:
        """Write an adapter into it. Others may use the engine meanwhile."""

    def free(self) -> None:
        """Let go of the memory, once nothing is read from it any more."""


class CopiesAdapters(Protocol):
    """What the store asks of a runner."""

    def room_for(self, weights: AdapterWeights) -> AdapterCopy:
        """Return room for an adapter, which is not filled yet."""

    def stage(self, digest: str, copy: AdapterCopy) -> None:
        """Take note of the copy of an adapter that the next plan loads."""


class UnknownAdapter(KeyError):
    """A name that no adapter is registered under."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"adapter, got {self.name!r}, expected one that is registered"


@dataclass(eq=False, slots=True)
class Version:
    """One content of an adapter. `folder` is where it can be read again, None for one that came from memory."""

    digest: str
    num_pages: int
    folder: Path | None
    copy: AdapterCopy | None = None
    # Why it could not be read again.
    error: InputError | None = None
    names: set[str] = field(default_factory=set)
    num_waiting: int = 0
    num_running: int = 0
    pages: tuple[int, ...] = ()
    # Its row in the device's table of adapters, while it has pages.
    slot: int = -1


def _named(version: Version, error: Exception) -> InputError:
    """Return what went wrong with a version as an InputError that names it."""
    if isinstance(error, InputError):
        return error
    where = version.folder or Path(min(version.names, default=version.digest))
    return InputError(where, f"could not be loaded: {type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class AdapterLoad:
    """An adapter that a step needs on the device: its content, the pages it gets, and its row in the table.

    No step after number `last_use` touches what the pages held before.
    """

    digest: str
    pages: tuple[int, ...]
    slot: int
    last_use: int


class AdapterStore:
    """The versions of all adapters.

    num_pages  how many pages a version takes; raises ValueError for one that is not served
    runner     has the copies in host memory, and is told of a version that gets pages; what it raises concerns those
               alone who want this version
    host_bytes  how much host memory versions may take; beyond it those from disk are let go and read again when wanted
    num_slots  how many versions may have pages at a time
    """

    def __init__(
        self,
        pool: Pool,
        read: Reads,
        num_pages: Callable[[AdapterWeights], int],
        runner: CopiesAdapters,
        *,
        num_slots: int,
        host_bytes: int,
    ) -> None:
        self._pool = pool
        self._read = read
        self._num_pages = num_pages
        self._runner = runner
        self._host_bytes = host_bytes
        self._versions: dict[str, Version] = {}
        self._newest: dict[str, Version] = {}
        # Versions in host memory that could be read again, the least recently used first.
        self._in_host: OrderedDict[str, int] = OrderedDict()
        # Versions that are read again, those of them that nobody has begun to read, and those that were read for
        # requests which have not begun yet.
        self._wanted: set[str] = set()
        self._unread: list[Version] = []
        self._fresh: set[str] = set()
        self._num_slots = num_slots
        self._free_slots = list(range(num_slots - 1, -1, -1))
        self._loaded: list[AdapterLoad] = []
        self._unloaded: list[str] = []
        self.num_disk_reads = 0
        self.num_loads = 0

    def names(self) -> dict[str, str]:
        """Return the digest of each registered adapter's newest version."""
        return {name: version.digest for name, version in sorted(self._newest.items())}

    def read(self, folder: Path) -> AdapterWeights:
        """Return what a folder holds; raises InputError."""
        self.num_disk_reads += 1
        return self._read(folder)

    def reserve(self, weights: AdapterWeights, where: Path) -> AdapterCopy | None:
        """Return room in host memory for an adapter that is to be added; None if it is there already.

        Raises InputError that names `where` for one that is not served, or that memory is too small for.
        """
        known = self._versions.get(weights.digest)
        if known is not None and known.copy is not None:
            return None
        try:
            num_pages = self._num_pages(weights)
            if num_pages > self._pool.num_pages:
                raise ValueError(
                    f"takes {num_pages} pages of memory, expected at most the pool's {self._pool.num_pages}"
                )
            return self._runner.room_for(weights)
        except ValueError as error:
            raise InputError(where, str(error)) from None

    def add(self, name: str, weights: AdapterWeights, folder: Path | None, copy: AdapterCopy | None) -> str:
        """Register an adapter whose copy was reserved and is filled, and return its digest.

        It can be read again from a folder if one is given. A name that is registered gets another version.
        """
        version = self._versions.get(weights.digest)
        if version is None:
            version = Version(weights.digest, self._num_pages(weights), folder)
            self._versions[version.digest] = version
        if folder is not None:
            # The same content may have moved.
            version.folder = folder
        old = self._newest.get(name)
        version.names.add(name)
        self._newest[name] = version
        if old is not None and old is not version:
            old.names.discard(name)
            self._forget_unused(old)
        if copy is not None:
            self._keep(version, copy)
        return version.digest

    def remove(self, name: str) -> None:
        """Let go of a name; requests that have begun end on their version. Raises UnknownAdapter."""
        version = self._newest.pop(self._known(name))
        version.names.discard(name)
        self._forget_unused(version)

    def newest(self, name: str) -> Version:
        """Return the version that a name stands for now; raises UnknownAdapter."""
        return self._newest[self._known(name)]

    def expect(self, version: Version) -> None:
        """Keep a version for a request that waits."""
        version.num_waiting += 1

    def dismiss(self, version: Version) -> None:
        """Take back what `expect` said."""
        version.num_waiting -= 1
        if not version.num_waiting:
            self._fresh.discard(version.digest)
        self._forget_unused(version)

    def is_at_hand(self, version: Version) -> bool:
        """Whether it is known whether a version can be acquired: it need not be read again first."""
        return bool(version.pages) or version.copy is not None or version.error is not None

    def is_awaited(self, version: Version) -> bool:
        """Whether a version must be read again, and is or cannot be now since so many others are."""
        is_read = version.digest in self._wanted or len(self._wanted) >= MAX_READS
        return is_read and not self.is_at_hand(version)

    def want(self, version: Version) -> None:
        """Let a version be read again."""
        self._wanted.add(version.digest)
        self._unread.append(version)

    def take_wanted(self) -> list[Version]:
        """Return what is to be read again: `read_again`, a copy that is filled, and `keep_read`, or `fail_read`."""
        unread, self._unread = self._unread, []
        return unread

    @property
    def is_reading(self) -> bool:
        """Whether something is being read again."""
        return bool(self._wanted)

    def read_again(self, version: Version) -> AdapterWeights:
        """Return a version's content; raises InputError if its files have changed. Any thread may do so."""
        assert version.folder is not None, "what came from memory stays there"
        weights = self.read(version.folder)
        if weights.digest != version.digest:
            message = "has changed since it was registered; update the adapter to serve what it holds now"
            raise InputError(version.folder, message)
        return weights

    def keep_read(self, version: Version, copy: AdapterCopy) -> None:
        """Take the copy of a version that was read again."""
        self._wanted.discard(version.digest)
        if self._versions.get(version.digest) is not version:
            # It was let go of meanwhile.
            copy.free()
            return
        if version.num_waiting:
            self._fresh.add(version.digest)
        self._keep(version, copy)

    def fail_read(self, version: Version, error: Exception) -> None:
        """Take note that a version could not be read again: those who wait for it now end with this error."""
        self._wanted.discard(version.digest)
        if self._versions.get(version.digest) is version:
            version.error = _named(version, error)

    def acquire(self, version: Version) -> bool:
        """Keep a version that is at hand on the device for a request that begins to run; False if there is no room now.

        Raises InputError if it could not be read again, or cannot be made ready.
        """
        if version.error is not None:
            error, version.error = version.error, None
            raise error
        if not version.pages:
            if not self._place(version):
                return False
        elif not version.num_running:
            self._pool.revive(version.digest)
        version.num_running += 1
        self._fresh.discard(version.digest)
        return True

    def release(self, version: Version) -> None:
        """Let go of a version that a request ran with."""
        version.num_running -= 1
        if not version.num_running:
            # The most recently used stands last: slots, too, are taken from the least recently used.
            self._versions[version.digest] = self._versions.pop(version.digest)
            self._pool.retire(version.digest, len(version.pages), lambda last_use: self._unload(version, last_use))
            self._forget_unused(version)

    def take_loaded(self) -> tuple[AdapterLoad, ...]:
        """Return what was placed since the last call."""
        loaded, self._loaded = tuple(self._loaded), []
        return loaded

    def take_unloaded(self) -> tuple[str, ...]:
        """Return the digests of what was taken from the device since the last call."""
        unloaded, self._unloaded = tuple(self._unloaded), []
        return unloaded

    def reset(self, expected: Iterable[Version]) -> None:
        """Take every version from the device, after the pool was reset; `expected` has one for each that waits."""
        self._free_slots = list(range(self._num_slots - 1, -1, -1))
        self._loaded.clear()
        self._unloaded.clear()
        for version in self._versions.values():
            version.pages, version.slot, version.num_running, version.num_waiting = (), -1, 0, 0
        for version in expected:
            version.num_waiting += 1
        for version in [*self._versions.values()]:
            self._forget_unused(version)

    def _known(self, name: str) -> str:
        if name not in self._newest:
            raise UnknownAdapter(name)
        return name

    def _place(self, version: Version) -> bool:
        if self._pool.num_available < version.num_pages:
            return False
        copy = version.copy
        assert copy is not None, "a version that is at hand"
        if version.digest in self._in_host:
            self._in_host.move_to_end(version.digest)
        pages = self._pool.allocate(version.num_pages, Owner.ADAPTER)
        if pages is None:
            return False
        while not self._free_slots:
            if not self._give_up_a_slot():
                self._pool.free(pages)
                return False
        try:
            self._runner.stage(version.digest, copy)
        except Exception as error:
            self._pool.free(pages)
            raise _named(version, error) from error
        version.pages, version.slot = tuple(pages), self._free_slots.pop()
        self._loaded.append(AdapterLoad(version.digest, version.pages, version.slot, self._pool.last_use(pages)))
        self.num_loads += 1
        return True

    def _give_up_a_slot(self) -> bool:
        """Unload the version that nobody runs with for the longest time, so that its slot is free."""
        idle = next((one for one in self._versions.values() if one.pages and not one.num_running), None)
        if idle is None:
            return False
        self._pool.revive(idle.digest)
        self._unload(idle)
        return True

    def _unload(self, version: Version, last_use: int | None = None) -> None:
        self._pool.free(version.pages, last_use)
        self._free_slots.append(version.slot)
        # What was placed and given up between two steps never reaches the device.
        self._loaded = [load for load in self._loaded if load.digest != version.digest]
        self._unloaded.append(version.digest)
        version.pages, version.slot = (), -1

    def _forget_unused(self, version: Version) -> None:
        """Let go of a version that has no name and no request."""
        if version.names or version.num_waiting or version.num_running:
            return
        if version.pages:
            self._pool.revive(version.digest)
            self._unload(version)
        self._let_go_of_copy(version)
        self._versions.pop(version.digest, None)

    def _keep(self, version: Version, copy: AdapterCopy) -> None:
        if version.copy is not None:
            # Another caller was faster.
            copy.free()
            return
        version.copy = copy
        if version.folder is not None:
            self._in_host[version.digest] = copy.num_bytes
        self._shrink(version.digest)

    def _shrink(self, kept: str) -> None:
        """Let go of copies that could be read again, the least recently used first, until they are within bounds."""
        needed = {kept, *self._fresh, *(load.digest for load in self._loaded)}
        for digest in [one for one in self._in_host if one not in needed]:
            if sum(self._in_host.values()) <= self._host_bytes:
                break
            self._let_go_of_copy(self._versions[digest])

    def _let_go_of_copy(self, version: Version) -> None:
        self._in_host.pop(version.digest, None)
        if version.copy is not None:
            version.copy.free()
            version.copy = None
