"""LoRA of decode: matrix-vector products of one row an item, bound by the weights that they stream; see `lora`."""

import triton
import triton.language as tl

from .lora_lookup import (
    BLOCK_PAGES_,
    BLOCK_R,
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
