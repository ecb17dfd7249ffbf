"""What a graph reads: its buckets, and the rows that are written for it; graphs themselves are tested on a GPU."""

from pathlib import Path

import pytest
import torch

from verilora.kernels.cache.kv_pages import PAGE_SIZE
from verilora.serving.engine.decode_graphs import DecodeBuffers, row_buckets, width_buckets
from verilora.serving.kv.paged import PagedCache, paged_layer_bytes
from verilora.serving.memory.page_size import PageSize
from verilora.serving.models.architecture import architecture_of
from verilora.serving.schedule.plan import Work

from engines import random_model


@pytest.mark.parametrize(
    ("max_rows", "buckets"),
    [(1, [1]), (8, [1, 2, 4, 8]), (24, [1, 2, 4, 8, 16, 24]), (64, [1, 2, 4, 8, 16, 32, 48, 64])],
)
def test_buckets_of_rows(max_rows: int, buckets: list[int]) -> None:
    assert row_buckets(max_rows) == buckets


@pytest.mark.parametrize(
    ("max_blocks", "widths"), [(8, [8]), (64, [64]), (300, [64, 256, 300]), (4096, [64, 256, 1024, 4096])]
)
def test_buckets_of_widths(max_blocks: int, widths: list[int]) -> None:
    assert width_buckets(max_blocks) == widths


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


def test_rows_are_written_and_others_do_nothing() -> None:
    architecture = architecture_of(random_model().config, Path("model"))
    layer_bytes = paged_layer_bytes(architecture, torch.float32)
    # A page holds one of the two layers, so a block is two pages.
    pool = torch.zeros(40, layer_bytes, dtype=torch.uint8)
    cache = PagedCache(architecture, pool, PageSize(layer_bytes, 1), torch.float32)
    buffers = DecodeBuffers(cache, max_rows=4, max_blocks=4)
    buffers.fill([work(0, 3, ((1, 2),)), work(1, PAGE_SIZE + 5, ((3, 4), (9, 8)), 6), work(2, 0, ((7, 7),))], 4, 4)
    # A sequence has left, and one has grown by a block since.
    rows = [work(1, 2 * PAGE_SIZE, ((3, 4), (9, 8), (20, 21)), 6), work(5, 31, ((10, 11),), 2)]
    buffers.fill(rows, 4, 4)
    assert buffers.numbers.tolist() == [[64 % 7, 31 % 7, 0, 0], [64, 31, -1, -1], [6, 2, -1, -1]]
    assert buffers.lens.tolist() == [65, 32, 0, 0]
    assert buffers.slots.tolist() == [[20 * 32, 10 * 32 + 31, -1, -1], [21 * 32, 11 * 32 + 31, -1, -1]]
    assert buffers.table[:, 0, :3].tolist() == [[3, 9, 20], [4, 8, 21]]
    assert buffers.table[:, 1, 0].tolist() == [10, 11]
