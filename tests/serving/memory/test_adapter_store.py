from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from verilora.serving.memory.adapter_store import AdapterCopy, AdapterLoad, AdapterStore, UnknownAdapter, Version
from verilora.serving.memory.adapter_weights import AdapterWeights, LowRank
from verilora.serving.memory.pool import Owner, Pool
from verilora.specs.files.errors import InputError

NUM_PAGES, NUM_BYTES = 2, 32


def weights_of(value: float) -> AdapterWeights:
    """Return an adapter of 32 bytes."""
    return AdapterWeights({(0, "q"): LowRank(torch.full((1, 4), float(value)), torch.ones(4, 1), 1.0)})


class Disk:
    """Folders, by name, and what stands in them."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def __call__(self, folder: Path) -> AdapterWeights:
        return weights_of(self.values[folder.name])


class Copy:
    """A copy in host memory."""

    num_bytes = NUM_BYTES

    def __init__(self) -> None:
        self.content = ""

    def fill(self, weights: AdapterWeights) -> None:
        self.content = weights.digest

    def free(self) -> None:
        self.content = ""


class Shop:
    """A store with its pool, its disk and its runner."""

    def __init__(self, num_pages: int = 6, num_slots: int = 8, host_bytes: int = 1000) -> None:
        self.pool, self.disk = Pool(num_pages), Disk()
        self.prepared: list[str] = []
        self.staged: dict[str, Copy] = {}
        self.failing = ""
        self.store = AdapterStore(
            self.pool,
            self.disk,
            lambda weights: NUM_PAGES,
            self,
            num_slots=num_slots,
            host_bytes=host_bytes,
        )

    def room_for(self, weights: AdapterWeights) -> Copy:
        return Copy()

    def stage(self, digest: str, copy: AdapterCopy) -> None:
        if digest == self.failing:
            raise MemoryError("no more")
        assert isinstance(copy, Copy)
        assert copy.content == digest, "it is not there"
        self.staged[digest] = copy
        self.prepared.append(digest)

    def has(self, digest: str) -> bool:
        """Whether the store remembers a version, named or not."""
        return digest in self.store._versions

    def add(self, name: str, value: float, *, from_disk: bool = True) -> str:
        self.disk.values[name] = value
        weights = weights_of(value)
        copy = self.store.reserve(weights, Path(name))
        if copy is not None:
            copy.fill(weights)
        return self.store.add(name, weights, Path(name) if from_disk else None, copy)

    def acquire(self, version: Version) -> bool:
        """Acquire a version, which is read again if it must be, as the engine does for one that waits for it."""
        self.store.expect(version)
        if not self.store.is_at_hand(version):
            self.store.want(version)
            for wanted in self.store.take_wanted():
                self.read(wanted)
        try:
            return self.store.acquire(version)
        finally:
            self.store.dismiss(version)

    def read(self, version: Version) -> None:
        try:
            weights = self.store.read_again(version)
            copy = Copy()
            copy.fill(weights)
            self.store.keep_read(version, copy)
        except Exception as error:
            self.store.fail_read(version, error)

    def run(self, name: str) -> None:
        """Load an adapter and let go of it, so that it is idle memory."""
        version = self.store.newest(name)
        assert self.acquire(version)
        self.store.release(version)


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.pool.check()


def test_a_name_stands_for_its_newest_version(shop: Shop) -> None:
    first = shop.add("a", 1)
    assert shop.store.names() == {"a": first}
    second = shop.add("a", 2)
    assert shop.store.names() == {"a": second} != {"a": first}


def test_an_old_version_that_nobody_wants_is_let_go_at_once(shop: Shop) -> None:
    old = shop.add("a", 1)
    shop.run("a")
    assert shop.pool.num_free == 4
    shop.add("a", 2)
    assert shop.pool.num_free == 6
    assert shop.store.take_unloaded() == (old,)
    assert not shop.has(old)


def test_requests_that_have_begun_end_on_their_version(shop: Shop) -> None:
    shop.add("a", 1)
    old = shop.store.newest("a")
    shop.store.expect(old)
    assert shop.acquire(old)
    shop.add("a", 2)
    assert shop.store.newest("a") is not old
    assert shop.has(old.digest)
    assert old.pages
    shop.store.release(old)
    assert old.pages, "its request still counts as one that waits"
    shop.store.dismiss(old)
    assert not old.pages
    assert shop.pool.num_free == 6
    assert not shop.has(old.digest)


def test_one_content_under_two_names_is_one_version(shop: Shop) -> None:
    assert shop.add("a", 1) == shop.add("b", 1)
    assert shop.store.newest("a") is shop.store.newest("b")
    shop.store.remove("a")
    assert shop.store.names().keys() == {"b"}
    shop.run("b")
    assert shop.store.num_loads == 1
    shop.store.remove("b")
    assert shop.pool.num_free == 6


def test_unknown_names(shop: Shop) -> None:
    for ask in (shop.store.newest, shop.store.remove):
        with pytest.raises(UnknownAdapter, match="adapter, got 'a', expected one that is registered"):
            ask("a")


def test_an_adapter_that_the_pool_is_too_small_for() -> None:
    shop = Shop(num_pages=1)
    with pytest.raises(InputError, match=r"^a: takes 2 pages of memory, expected at most the pool's 1"):
        shop.add("a", 1)
    assert shop.store.names() == {}


def test_loads_are_told_once(shop: Shop) -> None:
    digest = shop.add("a", 1)
    version = shop.store.newest("a")
    assert shop.acquire(version)
    assert shop.acquire(version)
    assert shop.store.take_loaded() == (AdapterLoad(digest, (5, 4), 0, 0),)
    assert shop.store.take_loaded() == ()
    assert (version.num_running, shop.pool.count(Owner.ADAPTER)) == (2, 2)


def test_the_least_recently_used_gives_way_and_what_runs_stays(shop: Shop) -> None:
    for value, name in enumerate("abcd"):
        shop.add(name, value)
    for name in "abc":
        shop.run(name)
    shop.run("a")
    shop.store.take_loaded()
    digests = shop.store.names()
    assert shop.acquire(shop.store.newest("d"))
    assert shop.store.take_unloaded() == (digests["b"],)
    assert [load.digest for load in shop.store.take_loaded()] == [digests["d"]]
    assert all(shop.acquire(shop.store.newest(name)) for name in "ac")
    assert not shop.acquire(shop.store.newest("b")), "no room while all others run"
    assert shop.store.take_unloaded() == ()


def test_slots_are_as_scarce_as_pages() -> None:
    shop = Shop(num_slots=1)
    for value, name in enumerate("ab"):
        shop.add(name, value)
    one, other = map(shop.store.newest, "ab")
    assert shop.acquire(one)
    assert not shop.acquire(other)
    assert shop.pool.num_free == 4, "the pages it could not use are free again"
    shop.store.release(one)
    assert shop.acquire(other)
    assert (one.slot, other.slot) == (-1, 0)
    shop.pool.check()


def test_of_the_idle_the_least_recently_used_gives_its_slot() -> None:
    shop = Shop(num_pages=20, num_slots=3)
    for value, name in enumerate("abcd"):
        shop.add(name, value)
    for name in "abca":
        shop.run(name)
    shop.run("d")
    assert shop.store.take_unloaded() == (shop.store.names()["b"],)


def test_what_was_placed_and_given_up_between_two_steps_is_not_loaded(shop: Shop) -> None:
    digest = shop.add("a", 1)
    shop.run("a")
    shop.store.remove("a")
    assert shop.store.take_loaded() == ()
    assert shop.store.take_unloaded() == (digest,)


def test_host_memory_is_bounded_and_what_is_let_go_is_read_again() -> None:
    shop = Shop(host_bytes=2 * NUM_BYTES)
    for value, name in enumerate("abc"):
        shop.add(name, value)
    versions = {name: shop.store.newest(name) for name in "abc"}
    assert [name for name, version in versions.items() if version.copy is None] == ["a"]
    shop.run("a")
    assert shop.store.num_disk_reads == 1
    assert [name for name, version in versions.items() if version.copy is None] == ["b"]
    assert shop.prepared == [versions["a"].digest]


def test_what_came_from_memory_stays_there() -> None:
    shop = Shop(host_bytes=NUM_BYTES)
    shop.add("a", 0, from_disk=False)
    for value, name in enumerate("bc"):
        shop.add(name, value + 1)
    shop.run("a")
    assert shop.store.num_disk_reads == 0


def test_what_will_be_loaded_is_ready_however_little_host_memory_there_is() -> None:
    """A step loads what was acquired before it: no later adapter pushes it out of host memory in between."""
    shop = Shop(host_bytes=NUM_BYTES)
    for value, name in enumerate("ab"):
        shop.add(name, value)
    for name in "ab":
        assert shop.acquire(shop.store.newest(name))
    shop.add("c", 2)
    loads = shop.store.take_loaded()
    assert [load.digest for load in loads] == shop.prepared
    assert [shop.staged[load.digest].content for load in loads] == shop.prepared
    # Then it may.
    shop.add("d", 3)
    assert [shop.store.newest(name).copy is None for name in "abcd"] == [True, True, True, False]


def test_another_caller_may_add_the_same_meanwhile(shop: Shop) -> None:
    weights = weights_of(1)
    copies = [shop.store.reserve(weights, Path("a")) for _ in range(2)]
    for copy in copies:
        assert isinstance(copy, Copy)
        copy.fill(weights)
    for copy in copies:
        shop.store.add("a", weights, Path("a"), copy)
    assert [copy.content for copy in copies if isinstance(copy, Copy)] == [weights.digest, ""]
    assert shop.store.reserve(weights, Path("a")) is None
    assert shop.acquire(shop.store.newest("a"))


def test_a_load_knows_the_last_step_that_may_touch_its_pages(shop: Shop) -> None:
    for value, name in enumerate("abc"):
        shop.add(name, value)
    for step, name in enumerate("abc", start=1):
        shop.run(name)
        shop.pool.clock = step
    # All have two of the six pages, unused since the steps 0 to 2; the first takes those of the one idle the longest.
    shop.store.take_loaded()
    shop.add("d", 4)
    shop.run("d")
    (load,) = shop.store.take_loaded()
    assert load.last_use == 0
    shop.add("e", 5)
    shop.run("e")
    (load,) = shop.store.take_loaded()
    assert load.last_use == 1


def test_one_that_cannot_be_read_again_is_named() -> None:
    shop = Shop(host_bytes=1)
    shop.add("a", 1)
    shop.add("b", 2)
    del shop.disk.values["a"]
    with pytest.raises(InputError, match=r"^a: could not be loaded: KeyError: 'a'"):
        shop.acquire(shop.store.newest("a"))
    assert shop.pool.num_free == 6
    shop.run("b")


def test_one_that_waits_for_a_slot_is_not_made_ready_each_time() -> None:
    shop = Shop(num_slots=1)
    first, second = (shop.add(name, value) for value, name in enumerate("ab"))
    assert shop.acquire(shop.store.newest("a"))
    for _ in range(3):
        assert not shop.acquire(shop.store.newest("b"))
    assert shop.prepared == [first]
    shop.store.release(shop.store.newest("a"))
    shop.run("b")
    shop.run("b")
    assert shop.prepared == [first, second]


@pytest.mark.parametrize("from_disk", [True, False])
def test_one_that_cannot_be_made_ready_takes_nothing(shop: Shop, from_disk: bool) -> None:
    shop.failing = shop.add("a", 1, from_disk=from_disk)
    shop.add("b", 2)
    version = shop.store.newest("a")
    for _ in range(10):
        with pytest.raises(InputError, match=r"^a: could not be loaded: MemoryError: no more"):
            shop.acquire(version)
    assert (shop.pool.num_free, version.pages, version.slot, version.num_running) == (6, (), -1, 0)
    assert shop.store.take_loaded() == ()
    shop.run("b")
    shop.failing = ""
    shop.run("a")


def test_a_folder_that_has_changed(shop: Shop) -> None:
    shop = Shop(host_bytes=1)
    shop.add("a", 1)
    shop.add("b", 2)
    shop.disk.values["a"] = 3
    with pytest.raises(InputError, match=r"^a: has changed since it was registered; update the adapter"):
        shop.acquire(shop.store.newest("a"))
    assert shop.pool.num_free == 6
    shop.add("a", 3)
    shop.run("a")


def test_all_is_unloaded_after_a_step_that_failed(shop: Shop) -> None:
    digests = {name: shop.add(name, value) for value, name in enumerate("abc")}
    running, idle, waiting = map(shop.store.newest, "abc")
    shop.store.expect(running)
    assert shop.acquire(running)
    shop.run("b")
    shop.store.expect(waiting)
    shop.store.remove("a")
    shop.pool.reset()
    shop.store.reset([waiting])
    assert shop.pool.num_free == 6
    assert shop.store.take_loaded() == shop.store.take_unloaded() == (), "the runner, too, has let go of all"
    assert {version.slot for version in (running, idle, waiting)} == {-1}
    assert not shop.has(digests["a"])
    for name in "bc":
        shop.run(name)
    assert [load.digest for load in shop.store.take_loaded()] == [digests["b"], digests["c"]]
    shop.store.remove("c")
    assert shop.has(digests["c"]), "a request waits for it"
    shop.store.dismiss(waiting)
    assert not shop.has(digests["c"])


def test_every_slot_is_free_after_a_step_that_failed() -> None:
    shop = Shop(num_slots=2)
    for value, name in enumerate("abc"):
        shop.add(name, value)
    for first, second in ("ab", "bc", "ca"):
        for name in (first, second):
            assert shop.acquire(shop.store.newest(name))
        assert sorted(shop.store.newest(name).slot for name in (first, second)) == [0, 1]
        shop.pool.reset()
        shop.store.reset([])
