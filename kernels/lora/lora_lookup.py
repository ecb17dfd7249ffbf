"""What LoRA's kernels look up in both phases: an item's fields, a stack of an adapter's rows, a slice of the output."""

import triton
import triton.language as tl

from .lora_batch import (
    BLOCK_PAGES,
    END_ROW,
    FIRST_ROW,
    ITEM_WIDTH,
    LAYER_CUTS,
    OFFSETS,
    RANK,
    SCALE,
    SLOT,
)
from .page_layout import BLOCK_ROWS

FIRST_ROW_ = tl.constexpr(FIRST_ROW)
END_ROW_ = tl.constexpr(END_ROW)
SLOT_ = tl.constexpr(SLOT)
RANK_ = tl.constexpr(RANK)
SCALE_ = tl.constexpr(SCALE)
LAYER_CUTS_ = tl.constexpr(LAYER_CUTS)
BLOCK_PAGES_ = tl.constexpr(BLOCK_PAGES)
OFFSETS_ = tl.constexpr(OFFSETS)
ITEM_WIDTH_ = tl.constexpr(ITEM_WIDTH)
BLOCK_R = tl.constexpr(BLOCK_ROWS)


@triton.jit
def stack_pointer(pool, p_table, cut, i_rank, rank, block_pages, TILE: tl.constexpr, PAGE_TILES: tl.constexpr):
    """Where the stack of a cut begins that holds row `i_rank`, a multiple of BLOCK_R."""
    tile = cut * tl.where(rank - i_rank <= BLOCK_R // 2, BLOCK_R // 2, BLOCK_R)
    page = tl.load(p_table + i_rank // BLOCK_R * block_pages + tile // PAGE_TILES).to(tl.int64)
    return pool + page * (PAGE_TILES * TILE) + tile % PAGE_TILES * TILE


@triton.jit
def slice_of(i_tile, WIDTH_0: tl.constexpr, WIDTH_1: tl.constexpr, WIDTH_2: tl.constexpr, TILE: tl.constexpr):
    """The slice of the output that a column tile belongs to, the tile's number in it, the slice's column and width."""
    tiles_0: tl.constexpr = (WIDTH_0 + TILE - 1) // TILE
    tiles_1: tl.constexpr = (WIDTH_1 + TILE - 1) // TILE
    is_behind_0 = (i_tile >= tiles_0).to(tl.int32)
    is_behind_1 = (i_tile >= tiles_0 + tiles_1).to(tl.int32)
    i_slice = is_behind_0 + is_behind_1
    first = is_behind_0 * tiles_0 + is_behind_1 * tiles_1
    column = is_behind_0 * WIDTH_0 + is_behind_1 * WIDTH_1
    width = tl.where(i_slice == 0, WIDTH_0, tl.where(i_slice == 1, WIDTH_1, WIDTH_2))
    return i_slice, i_tile - first, column, width
