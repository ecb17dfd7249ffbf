"""LoRA for any mix of adapters: SGMV (Punica, section 4) over weights in the pages of one pool (S-LoRA, section 5).

Semantics, for each item (some rows that take one adapter) and each projection p of the adapter, in fp32:

    output[rows, columns(p)] += scale * (x[rows] @ A_p.T) @ B_p.T

x           [num_tokens, in], rows contiguous; bf16, fp16 or fp32, the type of the weights
output      [num_tokens, sum of widths], rows contiguous: the base model's result, q|k|v or gate|up side by side
items       int32 [num_items, ITEM_WIDTH] of `lora_batch`; an item of rank 0 writes nothing, so rows of the base model
            and padding keep their bits
memory      `AdapterMemory`: the pool, the page tables and the measures of both

Two launches: *shrink* writes x @ A.T of each fixed length of the wide dimension (a split) as fp32 partial sums,
*expand* adds them up in order, multiplies by B and adds into the output; in prefill a third in between adds up, so that
expand reads a sum once for each of its columns. No atomics: a row's bits depend on the row, its adapter and its phase.
Work follows the items that are there: grids have room for all, and a program without work ends at once.

The phase is the request's: in "decode" an item is one row, and both kernels are matrix-vector products that stream the
weights (one row reads no weight twice, so tensor cores have nothing to win); in "prefill" an item has up to
PREFILL_BLOCK rows, and tiles go through the tensor cores. Expand of decode starts early (programmatic dependent launch)
where the GPU can: it reads its weights while shrink still runs.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import triton
import triton.language as tl

from .lora_batch import (
    BLOCK_PAGES,
    END_ROW,
    FIRST_ROW,
    ITEM_WIDTH,
    LAYER_CUTS,
    OFFSETS,
    PREFILL_BLOCK,
    RANK,
    SCALE,
    SLOT,
)
from .page_layout import BLOCK_ROWS, PROJECTIONS, PageLayout

Phase = Literal["prefill", "decode"]

# How the wide dimension is cut into splits, whose products are summed apart. They shape the result's bits, so they
# follow the width alone, never the batch.
DECODE_SPLITS, DECODE_SHORTEST = 16, 256
PREFILL_SPLIT, PREFILL_STEP = 2048, 128
SHRINK_DECODE = {"num_warps": 4, "STAGES": 2}
EXPAND_DECODE = {"num_warps": 1, "STAGES": 1}
EARLY_SHRINK = True
SHRINK_PREFILL = {"ROWS": 64, "num_warps": 8, "num_stages": 3}
EXPAND_PREFILL = {"num_warps": 8, "num_stages": 1}

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterMemory:
    """Where adapters lie: `pool` uint8 [num_pages, page_bytes], `page_table` int32 [num_slots, max_pages]."""

    pool: torch.Tensor
    page_table: torch.Tensor
    pages: PageLayout
    max_rank: int

    def __post_init__(self) -> None:
        if self.pool.dtype != torch.uint8 or self.pool.shape[1:] != (self.pages.page_bytes,):
            raise ValueError(
                f"pool, got {self.pool.dtype} {tuple(self.pool.shape)}, expected uint8 [pages, {self.pages.page_bytes}]"
            )
        if not self.pool.is_contiguous():
            raise ValueError(f"pool, got strides {self.pool.stride()}, expected contiguous pages")
        table = self.page_table
        if table.dtype != torch.int32 or table.ndim != 2 or table.stride(1) != 1:
            raise ValueError(
                f"page_table, got {table.dtype} with strides {table.stride()}, expected int32 with contiguous rows"
            )

    def rows(self, record: list[int], first_cut: int, width: int) -> torch.Tensor:
        """Return an adapter's rows [rank, width] whose cuts start at `first_cut`, gathered from its pages."""
        per_page, tile_width = self.pages.tiles_per_page, self.pages.tile_width
        tiles = self.pool.view(self.pages.dtype).view(-1, per_page, tile_width)
        cuts = torch.arange(first_cut, first_cut + self.pages.num_cuts(width), device=self.pool.device)
        row = torch.arange(record[RANK], device=self.pool.device)[:, None]
        block, within = row // BLOCK_ROWS, row % BLOCK_ROWS
        is_short = record[RANK] - block * BLOCK_ROWS <= BLOCK_ROWS // 2
        tile = cuts * torch.where(is_short, BLOCK_ROWS // 2, BLOCK_ROWS) + within
        page = self.page_table[record[SLOT], block * record[BLOCK_PAGES] + tile // per_page].long()
        return tiles[page, tile % per_page].flatten(1)[:, :width]


def sgmv_reference(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    *,
    layer: int,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
) -> None:
    """Add each item's adapter into the output, adapter by adapter, in fp32; see the module's semantics."""
    live = items[items[:, RANK] > 0]
    lengths = live[:, END_ROW] - live[:, FIRST_ROW]
    item = torch.arange(len(live), device=items.device).repeat_interleave(lengths)
    within = torch.arange(len(item), device=items.device) - (lengths.cumsum(0) - lengths)[item]
    row, slot = live[item, FIRST_ROW] + within, live[item, SLOT]
    for one in sorted(set(live[:, SLOT].tolist())):
        record, rows = live[live[:, SLOT] == one][0], row[slot == one]
        numbers, scale = record.tolist(), float(record.view(torch.float32)[SCALE])
        inputs, column = x[rows].float(), 0
        for name, width in zip(projections, widths, strict=True):
            columns, column = slice(column, column + width), column + width
            offset = numbers[OFFSETS + PROJECTIONS.index(name)]
            if offset < 0:
                continue
            cut = layer * numbers[LAYER_CUTS] + offset
            down = memory.rows(numbers, cut, x.shape[1]).float()
            up = memory.rows(numbers, cut + memory.pages.num_cuts(x.shape[1]), width).float()
            added = scale * ((inputs @ down.T) @ up)
            output[rows, columns] = (output[rows, columns].float() + added).to(output.dtype)


@triton.jit
def stack_pointer(pool, p_table, cut, i_rank, rank, block_pages, TILE: tl.constexpr, PAGE_TILES: tl.constexpr):
    """Where the stack of a cut begins that holds row `i_rank`, a multiple of BLOCK_R."""
    tile = cut * tl.where(rank - i_rank <= BLOCK_R // 2, BLOCK_R // 2, BLOCK_R)
    page = tl.load(p_table + i_rank // BLOCK_R * block_pages + tile // PAGE_TILES).to(tl.int64)
    return pool + page * (PAGE_TILES * TILE) + tile % PAGE_TILES * TILE


@triton.jit(do_not_specialize=["layer", "projection", "stride_table"])
def shrink_decode_kernel(
    x,
    partial,
    pool,
    page_table,
    items,
    layer,
    projection,
    stride_x,
    stride_table,
    WIDTH: tl.constexpr,
    NUM_SLICES: tl.constexpr,
    NUM_SPLITS: tl.constexpr,
    SPLIT: tl.constexpr,
    TILE: tl.constexpr,
    PAGE_TILES: tl.constexpr,
    ROOM: tl.constexpr,
    STAGES: tl.constexpr,
    EARLY: tl.constexpr,
):
    if EARLY:
        # First what came before must be there, for expand, which may start now, reads the base output.
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    i_split, i_slice = tl.program_id(0), tl.program_id(1)
    p_item = items + tl.program_id(2) * ITEM_WIDTH_
    row = tl.load(p_item + FIRST_ROW_).to(tl.int64)
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    block_pages = tl.load(p_item + BLOCK_PAGES_)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    first_cut = layer * tl.load(p_item + LAYER_CUTS_) + offset
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        p_partial = partial + ((row * NUM_SLICES + i_slice) * NUM_SPLITS + i_split) * ROOM
        o_block = tl.arange(0, BLOCK_R)
        o_cut = tl.arange(0, SPLIT // TILE)
        o_tile = tl.arange(0, TILE)
        # Behind the end nothing is read but the page of the last cut.
        cut = first_cut + tl.minimum(i_split * (SPLIT // TILE) + o_cut, (WIDTH - 1) // TILE)
        o_in = i_split * SPLIT + o_cut[:, None] * TILE + o_tile[None, :]
        o_stack = o_block[:, None, None] * TILE + o_tile[None, None, :]
        inputs = tl.load(x + row * stride_x + o_in, mask=o_in < WIDTH, other=0.0).to(tl.float32)[None, :, :]
        m_in = (o_in < WIDTH)[None, :, :]
        for i_rank in tl.range(0, rank, BLOCK_R, num_stages=STAGES):
            p_stacks = stack_pointer(pool, p_table, cut, i_rank, rank, block_pages, TILE, PAGE_TILES)
            m_stack = (i_rank + o_block < rank)[:, None, None] & m_in
            weights = tl.load(p_stacks[None, :, None] + o_stack, mask=m_stack, other=0.0)
            product = tl.sum(tl.sum(weights.to(tl.float32) * inputs, axis=2), axis=1)
            # Behind the rank this writes zeros, so that expand may read whole blocks.
            tl.store(p_partial + i_rank + o_block, product)


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


@triton.jit
def summed_splits(p_partial, o_rank, NUM_SPLITS: tl.constexpr, BLOCK_S: tl.constexpr, ROOM: tl.constexpr):
    """The product with A of rows `o_rank`, added up over the splits."""
    o_split = tl.arange(0, BLOCK_S)
    p_splits = p_partial + o_split[:, None] * ROOM + o_rank[None, :]
    return tl.sum(tl.load(p_splits, mask=(o_split < NUM_SPLITS)[:, None], other=0.0), axis=0)


@triton.jit(do_not_specialize=["layer", "projection", "stride_table"])
def expand_decode_kernel(
    output,
    partial,
    pool,
    page_table,
    items,
    layer,
    projection,
    stride_output,
    stride_table,
    WIDTH_IN: tl.constexpr,
    WIDTH_0: tl.constexpr,
    WIDTH_1: tl.constexpr,
    WIDTH_2: tl.constexpr,
    NUM_SLICES: tl.constexpr,
    NUM_SPLITS: tl.constexpr,
    BLOCK_S: tl.constexpr,
    TILE: tl.constexpr,
    PAGE_TILES: tl.constexpr,
    ROOM: tl.constexpr,
    STAGES: tl.constexpr,
    EARLY: tl.constexpr,
):
    i_slice, i_cut, first_column, width = slice_of(tl.program_id(0), WIDTH_0, WIDTH_1, WIDTH_2, TILE)
    p_item = items + tl.program_id(1) * ITEM_WIDTH_
    row = tl.load(p_item + FIRST_ROW_).to(tl.int64)
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    scale = tl.load(p_item + SCALE_).to(tl.float32, bitcast=True)
    block_pages = tl.load(p_item + BLOCK_PAGES_)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    cut = layer * tl.load(p_item + LAYER_CUTS_) + offset + (WIDTH_IN + TILE - 1) // TILE + i_cut
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        p_partial = partial + (row * NUM_SLICES + i_slice) * NUM_SPLITS * ROOM
        o_block = tl.arange(0, BLOCK_R)
        o_tile = tl.arange(0, TILE)
        o_stack = o_block[:, None] * TILE + o_tile[None, :]
        m_out = i_cut * TILE + o_tile < width
        p_out = output + row * stride_output + first_column + i_cut * TILE + o_tile
        p_stack = stack_pointer(pool, p_table, cut, 0, rank, block_pages, TILE, PAGE_TILES)
        weights = tl.load(p_stack + o_stack, mask=(o_block < rank)[:, None] & m_out[None, :], other=0.0)
        base = tl.load(p_out, mask=m_out)
        # All that was read so far does not depend on shrink.
        if EARLY:
            tl.extra.cuda.gdc_wait()
        shrunk = summed_splits(p_partial, o_block, NUM_SPLITS, BLOCK_S, ROOM)
        product = tl.sum(weights.to(tl.float32) * shrunk[:, None], axis=0)
        for i_rank in tl.range(BLOCK_R, rank, BLOCK_R, num_stages=STAGES):
            p_stack = stack_pointer(pool, p_table, cut, i_rank, rank, block_pages, TILE, PAGE_TILES)
            m_stack = (i_rank + o_block < rank)[:, None] & m_out[None, :]
            weights = tl.load(p_stack + o_stack, mask=m_stack, other=0.0)
            shrunk = summed_splits(p_partial, i_rank + o_block, NUM_SPLITS, BLOCK_S, ROOM)
            product += tl.sum(weights.to(tl.float32) * shrunk[:, None], axis=0)
        tl.store(p_out, (base.to(tl.float32) + scale * product).to(base.dtype), mask=m_out)


@triton.jit
def shrink_rows(
    p_x,
    p_partial,
    pool,
    p_table,
    first_cut,
    rank,
    block_pages,
    start,
    num_steps,
    m_row,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
    PAGE_TILES: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Write the products of a chunk with ROWS rows of A at a time, over one split."""
    o_rows = tl.arange(0, ROWS)
    o_step = tl.arange(0, BLOCK_K)
    for i_rank in range(0, rank, ROWS):
        o_rank = i_rank + o_rows
        # Rows behind the rank are not there: their pages are those of the last block.
        i_block = tl.minimum(o_rank, rank - 1) // BLOCK_R * BLOCK_R
        product = tl.zeros([BLOCK_M, ROWS], dtype=tl.float32)
        for i_step in range(0, num_steps):
            i_in = i_step * BLOCK_K
            # A product with a constant, as the compiler can see that addresses are aligned.
            column = i_step % (TILE // BLOCK_K) * BLOCK_K
            m_in = start + i_in + o_step < WIDTH
            inputs = tl.load(p_x + (i_in + o_step)[None, :], mask=m_row[:, None] & m_in[None, :], other=0.0)
            cut = first_cut + i_in // TILE
            p_stacks = stack_pointer(pool, p_table, cut, i_block, rank, block_pages, TILE, PAGE_TILES)
            p_tiles = p_stacks + o_rows % BLOCK_R * TILE
            p_weights = p_tiles[None, :] + (column + o_step)[:, None]
            weights = tl.load(p_weights, mask=m_in[:, None] & (o_rank < rank)[None, :], other=0.0)
            product = tl.dot(inputs, weights, product, input_precision="ieee")
        tl.store(p_partial + o_rank[None, :], product, mask=m_row[:, None] & (o_rank < rank)[None, :])


@triton.jit(do_not_specialize=["layer", "projection", "stride_table"])
def shrink_prefill_kernel(
    x,
    partial,
    pool,
    page_table,
    items,
    layer,
    projection,
    stride_x,
    stride_table,
    WIDTH: tl.constexpr,
    NUM_SLICES: tl.constexpr,
    NUM_SPLITS: tl.constexpr,
    SPLIT: tl.constexpr,
    TILE: tl.constexpr,
    PAGE_TILES: tl.constexpr,
    ROOM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ROWS: tl.constexpr,
):
    i_split, i_slice = tl.program_id(0), tl.program_id(1)
    p_item = items + tl.program_id(2) * ITEM_WIDTH_
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    block_pages = tl.load(p_item + BLOCK_PAGES_)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    first_cut = layer * tl.load(p_item + LAYER_CUTS_) + offset
    o_row = tl.load(p_item + FIRST_ROW_) + tl.arange(0, BLOCK_M)
    m_row = o_row < tl.load(p_item + END_ROW_)
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        start = i_split * SPLIT
        num_steps = tl.cdiv(tl.minimum(SPLIT, WIDTH - start), BLOCK_K)
        first_cut += start // TILE
        p_x = x + o_row.to(tl.int64)[:, None] * stride_x + start
        p_partial = partial + ((o_row.to(tl.int64) * NUM_SLICES + i_slice) * NUM_SPLITS + i_split)[:, None] * ROOM
        # More rows at a time read x less often; fewer waste less on a small rank.
        if rank <= BLOCK_R:
            shrink_rows(p_x, p_partial, pool, p_table, first_cut, rank, block_pages, start, num_steps, m_row,
                        WIDTH, TILE, PAGE_TILES, BLOCK_M, BLOCK_K, BLOCK_R)  # fmt: skip
        else:
            shrink_rows(p_x, p_partial, pool, p_table, first_cut, rank, block_pages, start, num_steps, m_row,
                        WIDTH, TILE, PAGE_TILES, BLOCK_M, BLOCK_K, ROWS)  # fmt: skip


@triton.jit(do_not_specialize=["projection"])
def sum_splits_kernel(
    partial,
    shrunk,
    items,
    projection,
    NUM_SLICES: tl.constexpr,
    NUM_SPLITS: tl.constexpr,
    ROOM: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    i_rank, i_slice = tl.program_id(0) * BLOCK_R, tl.program_id(1)
    p_item = items + tl.program_id(2) * ITEM_WIDTH_
    rank = tl.load(p_item + RANK_)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    o_row = tl.load(p_item + FIRST_ROW_) + tl.arange(0, BLOCK_M)
    m_row = o_row < tl.load(p_item + END_ROW_)
    if (rank > i_rank) & (offset >= 0):
        o_slice = o_row.to(tl.int64) * NUM_SLICES + i_slice
        o_rank = i_rank + tl.arange(0, BLOCK_R)
        m_block = m_row[:, None] & (o_rank < rank)[None, :]
        p_partial = partial + (o_slice * NUM_SPLITS * ROOM)[:, None] + o_rank[None, :]
        total = tl.load(p_partial, mask=m_block, other=0.0)
        for i_split in tl.static_range(1, NUM_SPLITS):
            total += tl.load(p_partial + i_split * ROOM, mask=m_block, other=0.0)
        tl.store(shrunk + (o_slice * ROOM)[:, None] + o_rank[None, :], total, mask=m_block)


@triton.jit(do_not_specialize=["layer", "projection", "stride_table"])
def expand_prefill_kernel(
    output,
    shrunk,
    pool,
    page_table,
    items,
    layer,
    projection,
    stride_output,
    stride_table,
    WIDTH_IN: tl.constexpr,
    WIDTH_0: tl.constexpr,
    WIDTH_1: tl.constexpr,
    WIDTH_2: tl.constexpr,
    NUM_SLICES: tl.constexpr,
    TILE: tl.constexpr,
    PAGE_TILES: tl.constexpr,
    ROOM: tl.constexpr,
    BLOCK_M: tl.constexpr,
):
    i_slice, i_cut, first_column, width = slice_of(tl.program_id(0), WIDTH_0, WIDTH_1, WIDTH_2, TILE)
    p_item = items + tl.program_id(1) * ITEM_WIDTH_
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    scale = tl.load(p_item + SCALE_).to(tl.float32, bitcast=True)
    block_pages = tl.load(p_item + BLOCK_PAGES_)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    cut = layer * tl.load(p_item + LAYER_CUTS_) + offset + (WIDTH_IN + TILE - 1) // TILE + i_cut
    o_row = tl.load(p_item + FIRST_ROW_) + tl.arange(0, BLOCK_M)
    m_row = o_row < tl.load(p_item + END_ROW_)
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        p_shrunk = shrunk + ((o_row.to(tl.int64) * NUM_SLICES + i_slice) * ROOM)[:, None]
        o_block = tl.arange(0, BLOCK_R)
        o_tile = tl.arange(0, TILE)
        o_stack = o_block[:, None] * TILE + o_tile[None, :]
        m_out = i_cut * TILE + o_tile < width
        product = tl.zeros([BLOCK_M, TILE], dtype=tl.float32)
        for i_rank in range(0, rank, BLOCK_R):
            m_rank = i_rank + o_block < rank
            inner = tl.load(p_shrunk + (i_rank + o_block)[None, :], mask=m_row[:, None] & m_rank[None, :], other=0.0)
            p_stack = stack_pointer(pool, p_table, cut, i_rank, rank, block_pages, TILE, PAGE_TILES)
            weights = tl.load(p_stack + o_stack, mask=m_rank[:, None] & m_out[None, :], other=0.0)
            product = tl.dot(inner.to(weights.dtype), weights, product, input_precision="ieee")
        p_out = output + o_row.to(tl.int64)[:, None] * stride_output + (first_column + i_cut * TILE + o_tile)[None, :]
        m_block = m_row[:, None] & m_out[None, :]
        base = tl.load(p_out, mask=m_block)
        tl.store(p_out, (base.to(tl.float32) + scale * product).to(base.dtype), mask=m_block)


def can_start_early(device: torch.device) -> bool:
    """Return whether a kernel may start while the one before it runs (sm_90 and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


def launch_sgmv(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    *,
    layer: int,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
    phase: Phase,
) -> None:
    """Add each item's adapter into the output with the two kernels of the phase."""
    check(output, x, items, memory, projections, widths)
    num_slices, pages, first = len(projections), memory.pages, PROJECTIONS.index(projections[0])
    split = split_length(x.shape[1], pages.tile_width, phase)
    num_splits = triton.cdiv(x.shape[1], split)
    room = triton.cdiv(memory.max_rank, BLOCK_ROWS) * BLOCK_ROWS
    partial = torch.empty(len(x), num_slices, num_splits, room, dtype=torch.float32, device=x.device)
    common = {
        "pool": memory.pool.view(pages.dtype),
        "page_table": memory.page_table,
        "items": items,
        "layer": layer,
        "projection": first,
        "stride_table": memory.page_table.stride(0),
        "NUM_SLICES": num_slices,
        "TILE": pages.tile_width,
        "PAGE_TILES": pages.tiles_per_page,
        "ROOM": room,
    }
    width_0, width_1, width_2 = (*widths, 0, 0)[:3]
    columns = {"WIDTH_IN": x.shape[1], "WIDTH_0": width_0, "WIDTH_1": width_1, "WIDTH_2": width_2}
    shrink = {**common, "x": x, "partial": partial, "stride_x": x.stride(0), "WIDTH": x.shape[1], "SPLIT": split}
    expand = {**common, **columns, "output": output, "stride_output": output.stride(0)}
    shrink_grid = (num_splits, num_slices, len(items))
    expand_grid = (sum(map(pages.num_cuts, widths)), len(items))
    if phase == "decode":
        early = can_start_early(x.device)
        shared = {"NUM_SPLITS": num_splits, "EARLY": early}
        # Without the option a GPU that cannot start a kernel early is not asked to.
        shrink_options, expand_options = SHRINK_DECODE, EXPAND_DECODE
        if early:
            shrink_options, expand_options = (
                {"launch_pdl": EARLY_SHRINK, **shrink_options},
                {"launch_pdl": True, **expand_options},
            )
        block_s = triton.next_power_of_2(num_splits)
        shrink_decode_kernel[shrink_grid](**shrink, **shrink_options, **shared)
        expand_decode_kernel[expand_grid](**expand, **expand_options, **shared, BLOCK_S=block_s, partial=partial)
        return
    chunk = {"BLOCK_M": PREFILL_BLOCK}
    block_k = min(pages.tile_width, PREFILL_STEP)
    shrink_prefill_kernel[shrink_grid](**shrink, **chunk, **SHRINK_PREFILL, NUM_SPLITS=num_splits, BLOCK_K=block_k)
    shrunk = partial
    if num_splits > 1:
        shrunk = torch.empty(len(x), num_slices, room, dtype=torch.float32, device=x.device)
        sum_splits_kernel[room // BLOCK_ROWS, num_slices, len(items)](
            partial=partial,
            shrunk=shrunk,
            items=items,
            projection=first,
            NUM_SLICES=num_slices,
            NUM_SPLITS=num_splits,
            ROOM=room,
            **chunk,
        )
    expand_prefill_kernel[expand_grid](**expand, **chunk, **EXPAND_PREFILL, shrunk=shrunk)


def split_length(width: int, tile_width: int, phase: Phase) -> int:
    """Return how many numbers of the wide dimension are summed at a time."""
    if phase == "prefill":
        return PREFILL_SPLIT
    return max(DECODE_SHORTEST, tile_width, int(triton.next_power_of_2(triton.cdiv(width, DECODE_SPLITS))))


def check(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
) -> None:
    """Raise ValueError where shapes, types or projections do not fit together."""
    first = PROJECTIONS.index(projections[0])
    if projections != PROJECTIONS[first : first + len(projections)] or not 1 <= len(projections) <= 3:
        raise ValueError(
            f"projections, got {projections}, expected one to three that follow each other in {PROJECTIONS}"
        )
    if len(widths) != len(projections) or output.shape != (len(x), sum(widths)):
        raise ValueError(
            f"output, got {tuple(output.shape)}, expected [{len(x)}, the sum of {widths}] for {projections}"
        )
    if not x.dtype == output.dtype == memory.pages.dtype:
        raise ValueError(
            f"types, got x {x.dtype} and output {output.dtype}, expected the weights' {memory.pages.dtype}"
        )
    if x.stride(1) != 1 or output.stride(1) != 1:
        raise ValueError(f"strides, got x {x.stride()} and output {output.stride()}, expected contiguous rows")
    if items.dtype != torch.int32 or items.shape[1:] != (ITEM_WIDTH,) or not items.is_contiguous():
        raise ValueError(f"items, got {items.dtype} {tuple(items.shape)}, expected contiguous int32 [n, {ITEM_WIDTH}]")


def sgmv(
    output: torch.Tensor,
    x: torch.Tensor,
    items: torch.Tensor,
    memory: AdapterMemory,
    *,
    layer: int,
    projections: tuple[str, ...],
    widths: tuple[int, ...],
    phase: Phase,
) -> None:
    """Add each item's adapter into the output; see the module's semantics."""
    if x.is_cuda:
        launch_sgmv(output, x, items, memory, layer=layer, projections=projections, widths=widths, phase=phase)
    else:
        check(output, x, items, memory, projections, widths)
        sgmv_reference(output, x, items, memory, layer=layer, projections=projections, widths=widths)
