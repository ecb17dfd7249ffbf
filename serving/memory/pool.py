"""The memory pool: pages that KV blocks, adapters and prefixes take from the same bytes (S-LoRA, section 5.1).

This is its bookkeeping alone, which is the same on every device. A page that is freed may be handed out at once: what
it held was read by steps that were started before, and its new content is written by one that is started after, in the
order of one stream. Adapters come on another stream. So the pool counts steps, and knows of each page the last one that
may touch what it held before; adapters get the pages that were free for the longest time.

What nobody uses now but may be wanted again, adapters and prefixes, is *idle*. Idle memory is one list, the least
recently used first, and is taken back when pages are wanted. What a request needs that runs is never in it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from enum import StrEnum


class Owner(StrEnum):
    """What a page that is not free holds."""

    KV = "kv"
    ADAPTER = "adapter"
    PREFIX = "prefix"


class Pool:
    """Which pages are free, and whose the others are: free + KV + adapters + prefixes = total, always."""

    def __init__(self, num_pages: int) -> None:
        if num_pages < 1:
            raise ValueError(f"num_pages, got {num_pages}, expected at least 1")
        self.num_pages = num_pages
        # The number of the last step that was planned.
        self.clock = 0
        self._last_use = [0] * num_pages
        self.reset()

    def reset(self) -> None:
        """Make all pages free, whoever had them."""
        # The last comes first; so low numbers are handed out first, which keeps what is in use together.
        self._free = deque(range(self.num_pages - 1, -1, -1))
        self._owners: dict[int, Owner] = {}
        self._counts = dict.fromkeys(Owner, 0)
        self._idle: OrderedDict[Hashable, tuple[int, Callable[[int], None], int]] = OrderedDict()
        self._num_idle = 0

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_available(self) -> int:
        """Pages that are free, or would be if all that is idle were given up."""
        return len(self._free) + self._num_idle

    def count(self, owner: Owner) -> int:
        """Return how many pages an owner has."""
        return self._counts[owner]

    def allocate(self, num_pages: int, owner: Owner) -> list[int] | None:
        """Return so many pages, which may take back idle ones; None, and nothing is given up, if there are too few."""
        if num_pages > self.num_available:
            return None
        while num_pages > len(self._free):
            _, (count, give_up, last_use) = self._idle.popitem(last=False)
            self._num_idle -= count
            give_up(last_use)
        take = self._free.popleft if owner is Owner.ADAPTER else self._free.pop
        pages = [take() for _ in range(num_pages)]
        self._owners.update(dict.fromkeys(pages, owner))
        self._counts[owner] += num_pages
        return pages

    def free(self, pages: Iterable[int], last_use: int | None = None) -> None:
        """Take pages back, which no step after `last_use` touches; by default the last that was planned."""
        for page in pages:
            self._counts[self._owners.pop(page)] -= 1
            self._last_use[page] = self.clock if last_use is None else last_use
            self._free.append(page)

    def last_use(self, pages: Iterable[int]) -> int:
        """Return the number of the last step that may touch what pages held before they were allocated."""
        return max((self._last_use[page] for page in pages), default=0)

    def hand_over(self, pages: Iterable[int], owner: Owner) -> None:
        """Give pages to another owner."""
        for page in pages:
            self._counts[self._owners[page]] -= 1
            self._counts[owner] += 1
            self._owners[page] = owner

    def retire(self, key: Hashable, num_pages: int, give_up: Callable[[int], None]) -> None:
        """Make what a key names idle, the most recently used.

        If its pages are taken back, `give_up` is called with the number of the last step that may touch them.
        """
        if key in self._idle:
            raise ValueError(f"idle memory, got {key!r} twice, expected it to be in use")
        self._idle[key] = (num_pages, give_up, self.clock)
        self._num_idle += num_pages

    def revive(self, key: Hashable) -> bool:
        """Take what a key names out of idle memory, since it is in use again; False if it is not there."""
        found = self._idle.pop(key, None)
        if found is None:
            return False
        self._num_idle -= found[0]
        return True

    def check(self) -> None:
        """Raise AssertionError unless every page is free or has one owner, and the counts say so."""
        assert len(self._free) + len(self._owners) == self.num_pages, "pages were lost or made"
        assert not set(self._free) & self._owners.keys(), "a page is free and has an owner"
        counted = [sum(found is owner for found in self._owners.values()) for owner in Owner]
        assert counted == [*self._counts.values()], (counted, self._counts)
        assert self._num_idle == sum(count for count, _, _ in self._idle.values())
