from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from verilora.serving.memory.pool import Owner, Pool

NUM_PAGES = 12
SIZES, OWNERS = st.integers(0, NUM_PAGES + 1), st.sampled_from(Owner)


class PoolInAnyOrder(RuleBasedStateMachine):
    """Pages are taken, handed over, made idle, wanted again and freed in any order; a dict tells who has which."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(NUM_PAGES)
        self.held: dict[int, tuple[Owner, list[int]]] = {}
        # The least recently used first.
        self.idle: dict[int, tuple[Owner, list[int]]] = {}
        self.next_key = 0

    def give_up(self, key: int) -> Callable[[int], None]:
        def give_up(last_use: int) -> None:
            assert key == next(iter(self.idle)), "the least recently used goes first"
            self.pool.free(self.idle.pop(key)[1])

        return give_up

    @rule(num_pages=SIZES, owner=OWNERS)
    def allocate(self, num_pages: int, owner: Owner) -> None:
        before, num_free = len(self.idle), self.pool.num_free
        room = self.pool.num_available
        pages = self.pool.allocate(num_pages, owner)
        assert (pages is None) == (num_pages > room)
        if pages is None or num_pages <= num_free:
            assert len(self.idle) == before, "nothing is given up without need"
        if pages is not None:
            assert len(set(pages)) == num_pages
            self.held[self.next_key] = (owner, pages)
            self.next_key += 1

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        self.pool.free(self.held.pop(data.draw(st.sampled_from(sorted(self.held))))[1])

    @precondition(lambda self: self.held)
    @rule(data=st.data(), owner=OWNERS)
    def hand_over(self, data: st.DataObject, owner: Owner) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.pool.hand_over(self.held[key][1], owner)
        self.held[key] = (owner, self.held[key][1])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.idle[key] = self.held.pop(key)
        self.pool.retire(key, len(self.idle[key][1]), self.give_up(key))

    @rule(data=st.data())
    def revive(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([*sorted(self.idle), -1]))
        assert self.pool.revive(key) == (key >= 0)
        if key >= 0:
            self.held[key] = self.idle.pop(key)

    @invariant()
    def every_page_is_free_or_has_one_owner(self) -> None:
        self.pool.check()
        taken = [*self.held.values(), *self.idle.values()]
        pages = [page for _, some in taken for page in some]
        assert len(set(pages)) == len(pages)
        assert self.pool.num_free == NUM_PAGES - len(pages)
        assert self.pool.num_available == self.pool.num_free + sum(len(some) for _, some in self.idle.values())
        for owner in Owner:
            assert self.pool.count(owner) == sum(len(some) for whose, some in taken if whose is owner)


TestPoolInAnyOrder = PoolInAnyOrder.TestCase
TestPoolInAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_low_numbers_come_first() -> None:
    pool = Pool(5)
    assert pool.allocate(3, Owner.KV) == [0, 1, 2]
    pool.free([1])
    assert pool.allocate(2, Owner.PREFIX) == [1, 3]


def test_adapters_get_the_pages_that_were_free_for_the_longest_time() -> None:
    pool = Pool(4)
    pages = pool.allocate(4, Owner.KV)
    assert pages == [0, 1, 2, 3]
    for page in (2, 0, 3):
        pool.clock += 1
        pool.free([page])
    assert pool.allocate(1, Owner.KV) == [3]
    assert pool.allocate(2, Owner.ADAPTER) == [2, 0]
    assert pool.last_use([2]) == 1
    assert pool.last_use([2, 0]) == 2


def test_what_is_given_up_was_last_used_when_it_became_idle() -> None:
    pool = Pool(2)
    pages = pool.allocate(2, Owner.ADAPTER)
    assert pages is not None
    pool.clock = 5
    pool.retire("a", 2, lambda last_use: pool.free(pages, last_use))
    pool.clock = 9
    again = pool.allocate(2, Owner.ADAPTER)
    assert again is not None
    assert pool.last_use(again) == 5


def test_the_check_finds_a_page_that_is_lost() -> None:
    pool = Pool(3)
    pool.allocate(2, Owner.KV)
    pool._free.pop()
    with pytest.raises(AssertionError, match="pages were lost or made"):
        pool.check()


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="num_pages, got 0, expected at least 1"):
        Pool(0)
    pool = Pool(2)
    pool.retire("a", 0, lambda last_use: None)
    with pytest.raises(ValueError, match="idle memory, got 'a' twice, expected it to be in use"):
        pool.retire("a", 0, lambda last_use: None)
    with pytest.raises(KeyError):
        pool.free([1])
