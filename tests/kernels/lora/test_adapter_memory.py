"""Where adapters lie, and what of it, or of an adapter that comes in, is refused."""

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
import torch

from verilora.kernels.lora.adapter_memory import AdapterMemory
from verilora.kernels.lora.lora_batch import ITEM_WIDTH, RANK, SCALE, SLOT
from verilora.kernels.lora.page_layout import AdapterLayout, PageLayout

PAGES = PageLayout(page_bytes=8192)
WIDTHS = {"q": (256, 512), "v": (256, 256)}
MEMORY = AdapterMemory(
    pool=torch.zeros(9, 8192, dtype=torch.uint8),
    page_table=torch.zeros(3, 8, dtype=torch.int32),
    pages=PAGES,
    max_rank=16,
    num_layers=1,
    widths=WIDTHS,
)
# Five cuts of 16 rows, each a page.
LAYOUT = AdapterLayout(pages=PAGES, rank=16, num_layers=1, widths=WIDTHS)
GIVEN = {"layout": LAYOUT, "slot": 2, "scale": 2.0, "page_ids": [8, 0, 3, 1, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pages": PageLayout(page_bytes=16384)}, "pool, got"),
        ({"pool": MEMORY.pool.repeat(2, 1)[::2]}, "pool, got strides"),
        ({"page_table": MEMORY.page_table[0]}, "page_table, got"),
        ({"page_table": MEMORY.page_table.to("meta")}, "page_table, got it on meta, expected it on cpu"),
        ({"max_rank": 0}, "max_rank and num_layers, got 0 and 1, expected at least 1"),
        ({"num_layers": 0}, "max_rank and num_layers, got 16 and 0, expected at least 1"),
        ({"widths": {}}, r"projections, got \[\], expected some of"),
        ({"widths": {"qkv": (1, 1)}}, r"projections, got \['qkv'\], expected some of"),
        ({"widths": {"q": (256, 0)}}, r"widths of q, got \(256, 0\), expected \(in, out\) of at least 1"),
    ],
)
def test_other_memory_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MEMORY, **change)


def test_an_adapter_that_fits_has_a_record() -> None:
    for layout in (LAYOUT, replace(LAYOUT, rank=9), replace(LAYOUT, widths={"v": (256, 256)})):
        numbers = MEMORY.record(**{**GIVEN, "layout": layout, "page_ids": GIVEN["page_ids"][: layout.num_pages]})
        assert len(numbers) == ITEM_WIDTH
        assert (numbers[SLOT], numbers[RANK]) == (2, layout.rank)
        assert torch.tensor(numbers, dtype=torch.int32).view(torch.float32)[SCALE] == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": replace(LAYOUT, rank=17)}, "rank of an adapter, got 17, expected at most 16"),
        ({"layout": replace(LAYOUT, rank=32)}, "rank of an adapter, got 32, expected at most 16"),
        ({"layout": replace(LAYOUT, num_layers=2)}, "layers of an adapter, got 2, expected 1"),
        ({"layout": replace(LAYOUT, pages=PageLayout(page_bytes=16384))}, "pages of an adapter, got .*16384"),
        ({"layout": replace(LAYOUT, pages=replace(PAGES, tile_width=128))}, "pages of an adapter, got .*128"),
        ({"layout": replace(LAYOUT, pages=replace(PAGES, dtype=torch.float16))}, "pages of an adapter, got .*float16"),
        (
            {"layout": replace(LAYOUT, widths={"q": (256, 256)})},
            r"widths of an adapter's q, got \(256, 256\), expected \(256, 512\)",
        ),
        (
            {"layout": replace(LAYOUT, widths={"k": (256, 256)})},
            r"widths of an adapter's k, got \(256, 256\), expected one of q, v",
        ),
        ({"slot": -1}, "slot of an adapter, got -1, expected 0 to 2"),
        ({"slot": 3}, "slot of an adapter, got 3, expected 0 to 2"),
        ({"page_ids": [0, 1, 2, 3]}, "page_ids, got 4, 4 of them different, expected 5 different ones and at most 8"),
        ({"page_ids": [0, 1, 2, 3, 4, 5]}, "page_ids, got 6, 6 of them different, expected 5"),
        ({"page_ids": [0, 1, 2, 3, 3]}, "page_ids, got 5, 4 of them different, expected 5"),
        ({"page_ids": [0, 1, 2, 3, 9]}, "page_ids, got 0 to 9, expected 0 to 8"),
        ({"page_ids": [0, 1, 2, 3, -1]}, "page_ids, got -1 to 3, expected 0 to 8"),
        ({"scale": nan}, "scale of an adapter, got nan, expected a finite fp32"),
        ({"scale": -inf}, "scale of an adapter, got -inf, expected a finite fp32"),
        ({"scale": 1e39}, r"scale of an adapter, got 1e\+39, expected a finite fp32"),
    ],
)
def test_an_adapter_that_kernels_would_read_amiss_has_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MEMORY.record(**{**GIVEN, **change})


def test_an_adapter_of_more_pages_than_the_table_has_columns_is_refused() -> None:
    memory = replace(MEMORY, page_table=MEMORY.page_table[:, :4])
    with pytest.raises(
        ValueError, match="page_ids, got 5, 5 of them different, expected 5 different ones and at most 4"
    ):
        memory.record(**GIVEN)
