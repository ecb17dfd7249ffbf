import pytest
import torch
from decoders import tiny_architecture
from hypothesis import given, settings
from hypothesis import strategies as st

from verilora.kernels.layers.rope import rotary_table
from verilora.kernels.layers.rotation import Rotation
from verilora.serving.kv.contiguous import ContiguousCache
from verilora.serving.kv.contiguous_attention import Chunk, ContiguousAttention
from verilora.serving.models.architecture import Architecture

pytestmark = pytest.mark.usefixtures("one_thread")
HEADS, KV_HEADS, DIM = 4, 2, 8


def measures(window: int) -> Architecture:
    """Return two layers, the first with a window."""
    return tiny_architecture(
        "qwen3",
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=DIM,
        use_sliding_window=bool(window),
        sliding_window=window or 4096,
        layer_types=["sliding_attention" if window else "full_attention", "full_attention"],
    )


class Case:
    """Sequences that decode with some tokens behind them, and chunks of prompts, all random."""

    def __init__(self, window: int, decoding: list[int], chunks: list[tuple[int, int]], seed: int = 0) -> None:
        self.measures = measures(window)
        self.window = window
        self.generator = torch.Generator().manual_seed(seed)
        self.cache = ContiguousCache(self.measures)
        self.pasts: list[torch.Tensor] = []
        for number, length in enumerate([*decoding, *(start for start, _ in chunks)]):
            self.pasts.append(self.random(2, 2, KV_HEADS, length, DIM))
            self.cache.open(
                number, max(length, dict(enumerate(chunks, len(decoding))).get(number, (0, 1))[1]), [self.pasts[-1]]
            )
        for number, length in enumerate(decoding):
            self.cache.join(number, length)
        order = self.cache.advance(range(len(decoding)))
        numbers = range(len(decoding), len(self.pasts))
        self.rows = [(number, decoding[number]) for number in order]
        self.rows += [(n, k) for n, (start, end) in zip(numbers, chunks, strict=True) for k in range(start, end)]
        self.attention = ContiguousAttention(
            self.measures,
            self.cache.shelves(),
            [Chunk(self.cache.prompt(n), *both) for n, both in zip(numbers, chunks, strict=True)],
        )

    def random(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def attend(self, layer: int, query: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        """Return what the rows attend to with heads that are not rotated."""
        nowhere = torch.full((len(self.rows),), -1)
        rotation = Rotation(positions=nowhere, table=rotary_table(torch.ones(DIM // 2), 1))
        return self.attention.attend(layer, torch.cat([query, pairs], 1), rotation, None)

    def check(self, layer: int) -> torch.Tensor:
        """Fail unless each row attends to its own past; return what came out."""
        query, pairs = self.random(len(self.rows), HEADS, DIM), self.random(len(self.rows), 2 * KV_HEADS, DIM)
        out = self.attend(layer, query, pairs)
        for row, (number, position) in enumerate(self.rows):
            own = [k for k, (other, _) in enumerate(self.rows) if other == number and self.rows[k][1] <= position]
            new = pairs[own].view(len(own), 2, KV_HEADS, DIM).permute(1, 2, 0, 3)
            keys, values = torch.cat([self.pasts[number][layer], new], 2).double()
            first = max(0, position + 1 - self.window) if self.window and layer == 0 else 0
            for head in range(HEADS):
                kv_head = head // (HEADS // KV_HEADS)
                scores = keys[kv_head, first : position + 1] @ query[row, head].double() / DIM**0.5
                expected = scores.softmax(0) @ values[kv_head, first : position + 1]
                torch.testing.assert_close(out[row, head].double(), expected, rtol=1e-4, atol=1e-5)
        return out


@settings(max_examples=30, deadline=None)
@given(
    window=st.sampled_from([0, 1, 5, 33]),
    decoding=st.lists(st.integers(1, 100), max_size=5),
    chunks=st.lists(st.tuples(st.integers(0, 70), st.integers(1, 40)), max_size=2),
)
def test_each_row_attends_to_its_own_past(window: int, decoding: list[int], chunks: list[tuple[int, int]]) -> None:
    if decoding or chunks:
        case = Case(window, decoding, [(start, start + length) for start, length in chunks])
        for layer in (0, 1):
            case.check(layer)


@pytest.mark.parametrize("window", [0, 5])
def test_what_a_step_writes_the_next_one_reads(window: int) -> None:
    case = Case(window, [31, 3], [])
    pairs = case.random(2, 2 * KV_HEADS, DIM)
    case.attend(0, case.random(2, HEADS, DIM), pairs)
    for row, (number, _) in enumerate(case.rows):
        content = case.cache.leave(number)
        assert content is not None
        assert torch.equal(content[0, :, :, -1], pairs[row].view(2, KV_HEADS, DIM))
        assert torch.equal(content[0, :, :, :-1], case.pasts[number][0])


@settings(max_examples=25, deadline=None)
@given(others=st.lists(st.integers(1, 100), max_size=9), length=st.integers(1, 70))
def test_a_row_has_the_same_bits_whatever_its_neighbours_are(others: list[int], length: int) -> None:
    """Batches differ in size and in the lengths of the others; the row reads its own capacity."""
    query, pair = (torch.randn(n, DIM, generator=torch.Generator().manual_seed(n)) for n in (HEADS, 2 * KV_HEADS))
    found = []
    for decoding in ([length], [length, *others], [*others, length]):
        case = Case(0, decoding, [])
        number = decoding.index(length) if decoding[0] == length else len(decoding) - 1
        row = next(row for row, (one, _) in enumerate(case.rows) if one == number)
        past = torch.randn(2, 2, KV_HEADS, length, DIM, generator=torch.Generator().manual_seed(9))
        shelf_row = row
        for rows in case.cache.shelves():
            if shelf_row < len(rows.lens):
                rows.content[:, shelf_row, :, :, :length] = past
                break
            shelf_row -= len(rows.lens)
        queries, pairs = case.random(len(case.rows), HEADS, DIM), case.random(len(case.rows), 2 * KV_HEADS, DIM)
        queries[row], pairs[row] = query, pair
        found.append(case.attend(1, queries, pairs)[row])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_what_lies_behind_a_row_is_not_read() -> None:
    case = Case(0, [3], [(2, 5)])
    before = case.check(0)
    for rows in case.cache.shelves():
        rows.content[:, :, :, :, 4:] = 1e30
    case.cache.prompt(1)[:, :, :, 5:] = torch.nan
    case.generator.manual_seed(5)
    after = case.check(1)
    assert before.isfinite().all()
    assert after.isfinite().all()
