import pytest
import torch
from decoders import tiny_architecture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from verilora.kernels.cache.kv_pages import PAGE_SIZE
from verilora.serving.kv.contiguous import EXACT_BLOCKS, ContiguousCache, capacity_blocks

MEASURES = tiny_architecture(head_dim=2, num_hidden_layers=1)


@given(st.integers(0, 10**6))
def test_a_row_has_room_and_little_more(num_tokens: int) -> None:
    blocks = capacity_blocks(num_tokens)
    needed = max(1, -(-num_tokens // PAGE_SIZE))
    assert needed <= blocks
    assert blocks == needed if needed <= EXACT_BLOCKS else blocks < needed * (1 + 1 / EXACT_BLOCKS)
    assert capacity_blocks(num_tokens + 1) >= blocks


@given(st.integers(1, 10**5))
def test_the_room_of_a_row_is_a_row(num_tokens: int) -> None:
    """What has grown to the end of its row and what begins there have rows of the same capacity."""
    blocks = capacity_blocks(num_tokens)
    assert capacity_blocks(blocks * PAGE_SIZE) == blocks


LENGTHS = st.one_of(st.integers(1, 3 * PAGE_SIZE), st.sampled_from([PAGE_SIZE, 2 * PAGE_SIZE, 8 * PAGE_SIZE, 289]))


class CacheIsADictOfLists(RuleBasedStateMachine):
    """Sequences come, decode and go in any order; a dict of lists holds the number of each token."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = ContiguousCache(MEASURES)
        self.reading: dict[int, list[float]] = {}
        self.decoding: dict[int, list[float]] = {}
        self.next_id = 0
        self.next_token = 1.0

    def tokens(self, number: int) -> list[float]:
        start, self.next_token = self.next_token, self.next_token + number
        return [start + k for k in range(number)]

    @rule(num_tokens=LENGTHS, data=st.data())
    def open(self, num_tokens: int, data: st.DataObject) -> None:
        """Known parts come first; the rest is written as attention does it."""
        tokens = self.tokens(num_tokens)
        cuts = sorted(data.draw(st.sets(st.integers(1, num_tokens), max_size=2)))
        known = [filled(tokens[start:end]) for start, end in zip([0, *cuts], cuts, strict=False)]
        self.cache.open(self.next_id, num_tokens, known)
        first = cuts[-1] if cuts else 0
        room = self.cache.prompt(self.next_id)
        assert room.shape[3] == capacity_blocks(num_tokens) * PAGE_SIZE
        assert not room[:, :, :, first:].any(), "no rest of what was there before"
        room[:, :, :, first:num_tokens] = filled(tokens[first:])
        self.reading[self.next_id] = tokens
        self.next_id += 1

    @precondition(lambda self: self.reading)
    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.reading)))
        self.decoding[sequence] = self.reading.pop(sequence)
        self.cache.join(sequence, len(self.decoding[sequence]))

    @precondition(lambda self: self.decoding)
    @rule()
    def advance(self) -> None:
        order = self.cache.advance(sorted(self.decoding))
        assert sorted(order) == sorted(self.decoding)
        numbers = iter(order)
        for rows in self.cache.shelves():
            for row, length in enumerate(rows.lens.tolist()):
                tokens = self.decoding[next(numbers)]
                tokens += self.tokens(1)
                assert length == len(tokens)
                rows.content[:, row, :, :, length - 1] = tokens[-1]

    @precondition(lambda self: self.reading or self.decoding)
    @rule(data=st.data(), takes=st.booleans())
    def leave(self, data: st.DataObject, takes: bool) -> None:
        sequence = data.draw(st.sampled_from(sorted({**self.reading, **self.decoding})))
        is_reading = sequence in self.reading
        tokens = (self.reading if is_reading else self.decoding).pop(sequence)
        if takes and not is_reading:
            assert torch.equal(self.cache.leave(sequence), filled(tokens))
        else:
            self.cache.close(sequence)
        # Who is gone can be let go of again.
        self.cache.close(sequence)

    @invariant()
    def each_sequence_has_its_tokens(self) -> None:
        for sequence, tokens in self.reading.items():
            assert torch.equal(self.cache.part(sequence, 0, len(tokens)), filled(tokens))
        found = [
            rows.content[:, row, :, :, :length]
            for rows in self.cache.shelves()
            for row, length in enumerate(rows.lens.tolist())
        ]
        held = sorted(content[0, 0, 0, :, 0].tolist() for content in found)
        assert held == sorted(self.decoding.values())
        for content in found:
            assert torch.equal(content, filled(content[0, 0, 0, :, 0].tolist())), "in all layers, heads and halves"
        for rows in self.cache.shelves():
            assert {capacity_blocks(length) for length in rows.lens.tolist()} <= {rows.content.shape[4] // PAGE_SIZE}


def filled(tokens: list[float]) -> torch.Tensor:
    """Return keys and values that all are the token's number."""
    shape = (MEASURES.num_layers, 2, MEASURES.num_kv_heads, len(tokens), MEASURES.head_dim)
    return torch.tensor(tokens)[:, None].expand(shape)


TestCacheIsADictOfLists = CacheIsADictOfLists.TestCase
TestCacheIsADictOfLists.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


def test_a_part_is_a_copy() -> None:
    cache = ContiguousCache(MEASURES)
    cache.open(0, 5, [filled([1.0, 2.0, 3.0, 4.0, 5.0])])
    part = cache.part(0, 1, 3)
    cache.prompt(0).zero_()
    assert torch.equal(part, filled([2.0, 3.0]))


def test_a_shelf_grows_with_what_stands_on_it() -> None:
    cache = ContiguousCache(MEASURES)
    for number in range(11):
        cache.open(number, 3, [filled([number + 1.0] * 3)])
        cache.join(number, 3)
    (rows,) = cache.shelves()
    assert torch.equal(rows.content[0, :, 0, 0, :3, 0], torch.arange(1.0, 12.0)[:, None].expand(11, 3))


@pytest.mark.parametrize("length", [PAGE_SIZE, 8 * PAGE_SIZE, 9 * PAGE_SIZE])
def test_what_outgrows_its_row_moves_with_all_it_has(length: int) -> None:
    cache = ContiguousCache(MEASURES)
    tokens = [float(k + 1) for k in range(length)]
    cache.open(0, length, [filled(tokens)])
    cache.join(0, length)
    assert cache.advance([0]) == [0]
    (rows,) = cache.shelves()
    assert rows.lens.tolist() == [length + 1]
    assert rows.content.shape[4] == capacity_blocks(length + 1) * PAGE_SIZE
    assert torch.equal(rows.content[:, 0, :, :, :length], filled(tokens))
    assert not rows.content[:, 0, :, :, length + 1 :].any()
