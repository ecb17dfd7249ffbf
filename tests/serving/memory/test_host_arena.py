from verilora.serving.memory.host_arena import HostArena


def test_pages_are_taken_and_given_back() -> None:
    arena = HostArena(100, 32, is_pinned=False)
    assert tuple(arena.pages.shape) == (3, 32)
    first = arena.allocate(2)
    assert first == [0, 1]
    assert arena.allocate(2) is None
    assert arena.num_free == 1
    arena.free(first)
    assert arena.num_free == 3
    assert sorted(arena.allocate(3) or []) == [0, 1, 2]


def test_it_may_be_too_small_for_a_page() -> None:
    arena = HostArena(10, 32, is_pinned=False)
    assert arena.allocate(1) is None
