"""What a step reads: the rows and chunks that are written for it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from verilora.kernels.cache.kv_pages import PAGE_SIZE
from verilora.serving.kv.page_size import PageSize
from verilora.serving.kv.paged import PagedCache, paged_layer_bytes
from verilora.serving.models.architecture import architecture_of
from verilora.serving.schedule.plan import DRAWN, Work
from verilora.serving.steps.states import InFlight
from verilora.serving.steps.step_buffers import StepBuffers, StepShape

from engines import random_model

ROWS = StepShape(4, 0, 0, 0, 4, frozenset())
MIXED = StepShape(2, 64, 3, 64, 4, frozenset())


def work(sequence: int, start: int, blocks: tuple[tuple[int, ...], ...], adapter: int = -1) -> Work:
    return Work(
        sequence=sequence,
        start=start,
        token_ids=(start % 7,),
        blocks=blocks,
        adapter=adapter,
        decodes=True,
        samples=True,
        scores=False,
    )


@pytest.fixture
def buffers() -> StepBuffers:
    architecture = architecture_of(random_model().config, Path("model"))
    layer_bytes = paged_layer_bytes(architecture, torch.float32)
    # A page holds one of the two layers, so a block is two pages.
    pool = torch.zeros(40, layer_bytes, dtype=torch.uint8)
    cache = PagedCache(architecture, pool, PageSize(layer_bytes, 1), torch.float32)
    return StepBuffers(cache, max_rows=4, max_tokens=100, max_blocks=4)


def test_rows_are_written_and_others_do_nothing(buffers: StepBuffers) -> None:
    buffers.fill([work(0, 3, ((1, 2),)), work(1, PAGE_SIZE + 5, ((3, 4), (9, 8)), 6), work(2, 0, ((7, 7),))], (), ROWS)
    # A sequence has left, and one has grown by a block since.
    rows = [work(1, 2 * PAGE_SIZE, ((3, 4), (9, 8), (20, 21)), 6), work(5, 31, ((10, 11),), 2)]
    buffers.fill(rows, (), ROWS)
    _, places, positions, adapters, *slots = buffers.numbers(ROWS).tolist()
    assert buffers.token_ids(ROWS).tolist() == [64 % 7, 31 % 7, 0, 0]
    assert (places, positions, adapters) == ([-1] * 4, [64, 31, -1, -1], [6, 2, -1, -1])
    assert slots == [[20 * 32, 10 * 32 + 31, -1, -1], [21 * 32, 11 * 32 + 31, -1, -1]]
    assert buffers.table(ROWS)[:, 0, :3].tolist() == [[3, 9, 20], [4, 8, 21]]
    assert buffers.table(ROWS)[:, 1, 0].tolist() == [10, 11]


def test_a_token_in_flight_is_read_where_it_was_drawn(buffers: StepBuffers) -> None:
    drawn = replace(work(7, 3, ((1, 2),)), token_ids=(DRAWN,))
    buffers.fill([drawn, work(4, 12, ((3, 4),))], (), ROWS, InFlight(torch.tensor([50, 51, 52]), [4, 9, 7]))
    assert buffers.token_ids(ROWS).tolist() == [52, 12 % 7, 0, 0]


def test_rows_stay_where_they_are(buffers: StepBuffers) -> None:
    def order(*sequences: int) -> list[int]:
        return [one.sequence for one in buffers.in_order([work(sequence, 1, ((1, 2),)) for sequence in sequences])]

    assert order(3, 4, 5, 6) == [3, 4, 5, 6]
    assert order(3, 5, 6) == [3, 6, 5]
    assert order(5, 6, 8, 3) == [3, 6, 5, 8]
    assert order(9) == [9]


def test_chunks_stand_behind_the_rows_that_decode(buffers: StepBuffers) -> None:
    chunks = [
        replace(work(7, 30, ((1, 2), (3, 4)), 5), token_ids=(60, 61, 62, 63), decodes=False),
        replace(work(8, 0, ((5, 6),)), token_ids=(70, 71), decodes=False),
    ]
    buffers.fill([work(3, 1, ((8, 9),), 2)], chunks, MIXED)
    _, places, positions, adapters, *slots = buffers.numbers(MIXED).tolist()
    assert buffers.token_ids(MIXED).tolist()[:9] == [1, 0, 60, 61, 62, 63, 70, 71, 0]
    assert positions[:9] == [1, -1, 30, 31, 32, 33, 0, 1, -1]
    assert slots[0][:9] == [8 * 32 + 1, -1, 1 * 32 + 30, 1 * 32 + 31, 3 * 32, 3 * 32 + 1, 5 * 32, 5 * 32 + 1, -1]
    assert slots[1][:9] == [9 * 32 + 1, -1, 2 * 32 + 30, 2 * 32 + 31, 4 * 32, 4 * 32 + 1, 6 * 32, 6 * 32 + 1, -1]
    assert (adapters[:2], {*places}) == ([2, -1], {-1})
    chunk_adapters, prefix_lens, starts = (found.tolist() for found in buffers.chunks(MIXED))
    assert (chunk_adapters, prefix_lens, starts) == ([5, -1, -1], [30, 0, 0], [0, 4, 6, 6])
    assert buffers.chunk_table(MIXED).tolist()[0] == [[1, 3, -1, -1], [5, -1, -1, -1], [-1] * 4]
    assert buffers.chunk_table(MIXED).tolist()[1][0] == [2, 4, -1, -1]


def test_a_row_that_was_cut_off_is_written_again(buffers: StepBuffers, monkeypatch: pytest.MonkeyPatch) -> None:
    one = work(0, 3, ((1, 2),))
    with monkeypatch.context() as patch:
        patch.setattr("verilora.serving.steps.step_buffers.on_device", raising)
        with pytest.raises(RuntimeError, match="cut off"):
            buffers.fill([one], (), ROWS)
    buffers.reset()
    buffers.fill([one], (), ROWS)
    assert buffers.table(ROWS)[:, 0, 0].tolist() == [1, 2]


def raising(*arguments: object) -> torch.Tensor:
    raise RuntimeError("cut off")
