"""Adapters in pages: nothing straddles one, little is wasted."""

import pytest
import torch

from verilora.kernels.cache.kv_pages import kv_page_bytes
from verilora.kernels.lora.page_layout import AdapterLayout, PageLayout, tile_width_for

# hidden, KV width, MLP width, layers, KV heads
SHAPES = {
    "Llama-2-7B": (4096, 4096, 11008, 32, 32),
    "Llama-3.1-8B": (4096, 1024, 14336, 32, 8),
    "Qwen3-8B": (4096, 1024, 12288, 36, 8),
}


def all_widths(hidden: int, kv: int, mlp: int) -> dict[str, tuple[int, int]]:
    attention = {"q": (hidden, hidden), "k": (hidden, kv), "v": (hidden, kv), "o": (hidden, hidden)}
    return {**attention, "gate": (hidden, mlp), "up": (hidden, mlp), "down": (mlp, hidden)}


def layout_for(shape: tuple[int, int, int, int, int], rank: int, chosen: str) -> AdapterLayout:
    hidden, kv, mlp, num_layers, num_kv_heads = shape
    pages = PageLayout(page_bytes=kv_page_bytes("full", num_kv_heads, 128, torch.bfloat16))
    widths = {name: both for name, both in all_widths(hidden, kv, mlp).items() if chosen == "all" or name in chosen}
    return AdapterLayout(pages=pages, rank=rank, num_layers=num_layers, widths=widths)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("chosen", ["qkvo", "qv", "all"])
def test_at_most_five_percent_is_wasted(shape: tuple[int, int, int, int, int], chosen: str) -> None:
    for rank in range(8, 129, 8):
        layout = layout_for(shape, rank, chosen)
        assert layout.weight_bytes <= layout.num_pages * layout.pages.page_bytes <= 1.05 * layout.weight_bytes


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_cuts_of_an_adapter_follow_each_other(shape: tuple[int, int, int, int, int]) -> None:
    layout = layout_for(shape, 24, "all")
    end = 0
    for layer in range(layout.num_layers):
        for name, widths in layout.widths.items():
            for cuts, width in zip(layout.cuts(layer, name), widths, strict=True):
                assert (cuts.start, cuts.stop) == (end, end + layout.pages.num_cuts(width))
                end = cuts.stop
    assert end == layout.num_cuts


@pytest.mark.parametrize("rank", [1, 8, 12, 16, 24, 40, 128])
def test_blocks_have_pages_of_their_own_and_stacks_do_not_straddle(rank: int) -> None:
    layout = layout_for(SHAPES["Llama-3.1-8B"], rank, "all")
    rows, page = 0, 0
    for block, num_rows, pages in layout.blocks:
        assert (block.start, pages.start) == (rows, page)
        assert block.stop - block.start <= num_rows
        assert layout.pages.tiles_per_page % num_rows == 0
        assert (pages.stop - pages.start) * layout.pages.tiles_per_page >= layout.num_cuts * num_rows
        rows, page = block.stop, pages.stop
    assert (rows, page) == (rank, layout.num_pages)


def test_a_tile_is_as_wide_as_all_widths_allow() -> None:
    assert tile_width_for(4096, 1024, 11008) == 256
    assert tile_width_for(896, 128, 4864) == 128
    assert tile_width_for(96, 40) == 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PageLayout(page_bytes=1000), "page_bytes, got 1000"),
        (lambda: PageLayout(page_bytes=8192, tile_width=48), "tile_width, got 48"),
        (lambda: adapter(rank=0), "rank and layers, got 0"),
        (lambda: adapter(widths={"router": (8, 8)}), "projections, got"),
        (lambda: adapter(widths={}), "projections, got"),
        (lambda: adapter().cuts(0, "v"), "weights, got layer 0 'v'"),
        (lambda: adapter().cuts(2, "q"), "weights, got layer 2"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def adapter(**changes: object) -> AdapterLayout:
    given = {"pages": PageLayout(page_bytes=8192), "rank": 8, "num_layers": 2, "widths": {"q": (256, 256)}}
    return AdapterLayout(**{**given, **changes})
