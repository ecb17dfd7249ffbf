"""What a graph reads: its buckets, and the rows that are written for it; graphs themselves are tested on a GPU."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from verilora.kernels.cache.kv_pages import PAGE_SIZE
from verilora.serving.engine.decode_graphs import DecodeBuffers, row_buckets, width_buckets
from verilora.serving.engine.states import InFlight
from verilora.serving.kv.paged import PagedCache, paged_layer_bytes
from verilora.serving.memory.page_size import PageSize
from verilora.serving.models.architecture import architecture_of
from verilora.serving.schedule.plan import DRAWN, Work

from engines import random_model


@pytest.mark.parametrize(
    ("max_rows", "buckets"),
    [(1, [1]), (8, [1, 2, 4, 8]), (24, [1, 2, 4, 8, 16, 24]), (64, [1, 2, 4, 8, 16, 32, 48, 64])],
)
def test_buckets_of_rows(max_rows: int, buckets: list[int]) -> None:
    assert row_buckets(max_rows) == buckets


@pytest.mark.parametrize(
    ("max_blocks", "widths"),
    [(8, [8]), (32, [32]), (64, [32, 64]), (300, [32, 128, 300]), (4096, [32, 128, 512, 2048, 4096])],
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


@pytest.fixture
def buffers() -> DecodeBuffers:
    architecture = architecture_of(random_model().config, Path("model"))
    layer_bytes = paged_layer_bytes(architecture, torch.float32)
    # A page holds one of the two layers, so a block is two pages.
    pool = torch.zeros(40, layer_bytes, dtype=torch.uint8)
    cache = PagedCache(architecture, pool, PageSize(layer_bytes, 1), torch.float32)
    return DecodeBuffers(cache, max_rows=4, max_blocks=4)


def test_rows_are_written_and_others_do_nothing(buffers: DecodeBuffers) -> None:
    buffers.fill([work(0, 3, ((1, 2),)), work(1, PAGE_SIZE + 5, ((3, 4), (9, 8)), 6), work(2, 0, ((7, 7),))], 4, 4)
    # A sequence has left, and one has grown by a block since.
    rows = [work(1, 2 * PAGE_SIZE, ((3, 4), (9, 8), (20, 21)), 6), work(5, 31, ((10, 11),), 2)]
    buffers.fill(rows, 4, 4)
    _, places, positions, adapters, *slots = buffers.numbers(4).tolist()
    assert buffers.token_ids(4).tolist() == [64 % 7, 31 % 7, 0, 0]
    assert (places, positions, adapters) == ([-1] * 4, [64, 31, -1, -1], [6, 2, -1, -1])
    assert slots == [[20 * 32, 10 * 32 + 31, -1, -1], [21 * 32, 11 * 32 + 31, -1, -1]]
    assert buffers.table(4, 4)[:, 0, :3].tolist() == [[3, 9, 20], [4, 8, 21]]
    assert buffers.table(4, 4)[:, 1, 0].tolist() == [10, 11]


def test_a_token_in_flight_is_read_where_it_was_drawn(buffers: DecodeBuffers) -> None:
    drawn = replace(work(7, 3, ((1, 2),)), token_ids=(DRAWN,))
    buffers.fill([drawn, work(4, 12, ((3, 4),))], 4, 4, InFlight(torch.tensor([50, 51, 52]), [4, 9, 7]))
    assert buffers.token_ids(4).tolist() == [52, 12 % 7, 0, 0]


def test_rows_stay_where_they_are(buffers: DecodeBuffers) -> None:
    def order(*sequences: int) -> list[int]:
        return [one.sequence for one in buffers.in_order([work(sequence, 1, ((1, 2),)) for sequence in sequences])]

    assert order(3, 4, 5, 6) == [3, 4, 5, 6]
    assert order(3, 5, 6) == [3, 6, 5]
    assert order(5, 6, 8, 3) == [3, 6, 5, 8]
    assert order(9) == [9]
