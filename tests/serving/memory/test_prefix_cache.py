import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from verilora.kernels.cache.kv_pages import PAGE_SIZE
from verilora.serving.memory.pool import Owner, Pool
from verilora.serving.memory.prefix_cache import Part, PrefixCache, parts_of

TOKENS = st.lists(st.integers(0, 2), max_size=3 * PAGE_SIZE + 2)


@given(TOKENS)
def test_parts_are_whole_blocks_and_the_end(tokens: list[int]) -> None:
    parts = parts_of(("a",), tokens)
    bounds = [part.start for part in parts] + [parts[-1].end]
    assert bounds == [*range(0, len(tokens) // PAGE_SIZE * PAGE_SIZE + 1, PAGE_SIZE), len(tokens)]
    assert len({part.key for part in parts}) == len(parts)


@given(TOKENS, TOKENS)
def test_parts_are_shared_as_far_as_the_tokens_are(left: list[int], right: list[int]) -> None:
    """A key stands for all tokens up to its end; that of an end for the whole prompt."""
    pairs = zip(parts_of(("a",), left), parts_of(("a",), right), strict=False)
    for one, other in pairs:
        is_block = one.end - one.start == PAGE_SIZE == other.end - other.start
        same = left[: one.end] == right[: other.end] and (is_block or left == right)
        assert (one.key == other.key) == same


@pytest.mark.parametrize(
    "other",
    [
        ("tenant b", "", "full"),
        ("tenant a", "1f", "full"),
        ("tenant a", "", "int4"),
        ("tenant a", "full"),
        ("tenant a\0", "", "full"),
    ],
)
def test_namespaces_never_meet(other: tuple[str, ...]) -> None:
    tokens = [*range(70)]
    one, two = ({part.key for part in parts_of(space, tokens)} for space in (("tenant a", "", "full"), other))
    assert not one & two


def chain(*names: str) -> list[Part]:
    return [Part(name.encode(), number, number + 1) for number, name in enumerate(names)]


def filled(num_pages: int, parts: list[Part]) -> tuple[Pool, PrefixCache]:
    pool = Pool(num_pages)
    cache = PrefixCache(pool)
    for part in parts:
        assert cache.add(part, 1) is not None
    cache.publish([part.key for part in parts])
    return pool, cache


def test_what_is_still_to_come_is_not_found() -> None:
    pool, parts = Pool(4), chain("a", "b")
    cache = PrefixCache(pool)
    for part in parts:
        cache.add(part, 1)
    assert cache.known(parts) == []
    assert parts[0].key in cache
    assert pool.num_available == 2
    cache.publish([part.key for part in parts])
    assert cache.known(parts) == parts
    assert pool.num_available == 4


def test_the_longest_beginning_is_found() -> None:
    _, cache = filled(4, chain("a", "b"))
    assert cache.known(chain("a", "b", "c")) == chain("a", "b")
    assert cache.known(chain("x", "b")) == []


def test_the_end_of_a_chain_is_given_up_first() -> None:
    """A part is of use only with all before it."""
    pool, cache = filled(3, chain("a", "b", "c"))
    assert pool.allocate(1, Owner.KV) is not None
    assert cache.take_dropped() == (b"c",)
    cache.use(chain("a", "b"))
    cache.release(chain("a", "b"))
    assert pool.allocate(1, Owner.KV) is not None
    assert cache.take_dropped() == (b"b",)
    assert cache.known(chain("a", "b", "c")) == chain("a")
    assert cache.take_dropped() == ()


def test_what_is_in_use_stays() -> None:
    pool, cache = filled(2, chain("a", "b"))
    cache.use(chain("a"))
    cache.use(chain("a"))
    assert pool.allocate(2, Owner.KV) is None
    cache.release(chain("a"))
    assert pool.allocate(2, Owner.KV) is None
    cache.release(chain("a"))
    assert pool.allocate(2, Owner.KV) is not None
    assert {*cache.take_dropped()} == {b"a", b"b"}
    assert cache.num_hits == 2


def test_no_room_for_a_part() -> None:
    pool = Pool(2)
    pool.allocate(1, Owner.KV)
    cache, (part,) = PrefixCache(pool), chain("a")
    assert cache.add(part, 2) is None
    assert part.key not in cache


def test_all_is_forgotten_at_once() -> None:
    """What is used, what is idle, what is still to come and what was given up, of which nobody is told any more."""
    pool, cache = filled(4, chain("a", "b"))
    cache.use(chain("a"))
    cache.add(Part(b"c", 2, 3), 1)
    pool.allocate(2, Owner.KV)
    pool.reset()
    cache.reset()
    assert cache.take_dropped() == ()
    assert cache.known(chain("a", "b", "c")) == []
    assert not any(part.key in cache for part in chain("a", "b", "c"))
    for part in chain("a", "b", "c"):
        assert cache.add(part, 1) is not None
    cache.publish([part.key for part in chain("a", "b", "c")])
    assert cache.known(chain("a", "b", "c")) == chain("a", "b", "c")
    assert pool.num_available == 4
    pool.check()


class PrefixesInAnyOrder(RuleBasedStateMachine):
    """Chains of parts are added, used, released and pushed out; who uses which is known outside."""

    chains = tuple(chain(*("a" + name for name in names)) for names in ("bcd", "bce", "fgh"))

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(6)
        self.cache = PrefixCache(self.pool)
        self.users: list[list[Part]] = []
        self.kv: list[int] = []

    @rule(parts=st.sampled_from(chains))
    def store(self, parts: list[Part]) -> None:
        known = self.cache.known(parts)
        self.cache.use(known)
        added = []
        for part in parts[len(known) :]:
            if part.key in self.cache or self.cache.add(part, 1) is None:
                break
            added.append(part.key)
        self.cache.publish(added)
        self.users.append(known)

    @precondition(lambda self: self.users)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.cache.release(self.users.pop(data.draw(st.integers(0, len(self.users) - 1))))

    @rule(num_pages=st.integers(1, 6))
    def push_out(self, num_pages: int) -> None:
        self.pool.free(self.kv)
        self.kv = self.pool.allocate(num_pages, Owner.KV) or []

    @invariant()
    def what_is_used_is_there(self) -> None:
        self.pool.check()
        for parts in self.users:
            assert self.cache.known(parts) == parts
        pages = [
            self.cache.pages(key)
            for key in {part.key for some in self.chains for part in some if part.key in self.cache}
        ]
        assert self.pool.count(Owner.PREFIX) == sum(map(len, pages))
        assert len({page for some in pages for page in some}) == sum(map(len, pages))


TestPrefixesInAnyOrder = PrefixesInAnyOrder.TestCase
TestPrefixesInAnyOrder.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
