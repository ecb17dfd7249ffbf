"""LoRA of prefill: tiles of up to PREFILL_BLOCK rows of one adapter through tensor cores; see `lora`."""

import triton
import triton.language as tl

from .lora_lookup import (
    BLOCK_PAGES_,
    BLOCK_R,
    END_ROW_,
    FIRST_ROW_,
    ITEM_WIDTH_,
    LAYER_CUTS_,
    OFFSETS_,
    RANK_,
    SCALE_,
    SLOT_,
    slice_of,
    stack_pointer,
)


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
