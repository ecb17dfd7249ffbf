"""LoRA for any mix of adapters: SGMV (Punica, section 4) over weights in the pages of one pool (S-LoRA, section 5).

Semantics, for each item (some rows that take one adapter) and each projection p of the adapter, in fp32:

    output[rows, columns(p)] += scale * (x[rows] @ A_p.T) @ B_p.T

x           [num_tokens, in], rows contiguous; bf16, fp16 or fp32, the type of the weights
output      [num_tokens, sum of widths], rows contiguous: the base model's result, q|k|v or gate|up side by side
items       int32 [num_items, ITEM_WIDTH] of `lora_batch`; an item of rank 0 writes nothing, so rows of the base model
            and padding keep their bits
memory      `AdapterMemory`: the pool, the page tables and the measures of both

Two launches: *shrink* writes x @ A.T of each fixed length of the wide dimension (a split) as fp32 partial sums,
*expand* adds them up in order, multiplies by B and adds into the output. No atomics: a row's bits depend on the row,
its adapter and its phase. Work follows the items that are there: grids have room for all, and a program without work
ends at once.

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

from .lora_batch import END_ROW, FIRST_ROW, ITEM_WIDTH, LAYER_TILES, OFFSETS, PREFILL_BLOCK, RANK, SCALE, SLOT
from .page_layout import PROJECTIONS, PageLayout

Phase = Literal["prefill", "decode"]

# Lengths of the wide dimension whose products are summed apart. They shape the result's bits: never chosen by size.
DECODE_SPLIT = 512
PREFILL_SPLIT = 2048
PREFILL_STEP = 128
# Rows of A or B that a program takes at a time.
BLOCK_R = 16
SHRINK_DECODE = {"BLOCK_R": BLOCK_R, "num_warps": 4}
EXPAND_DECODE = {"BLOCK_R": BLOCK_R, "num_warps": 1}
SHRINK_PREFILL = {"BLOCK_M": PREFILL_BLOCK, "BLOCK_R": BLOCK_R, "num_warps": 4, "num_stages": 3}
EXPAND_PREFILL = {"BLOCK_M": PREFILL_BLOCK, "BLOCK_R": BLOCK_R, "num_warps": 8, "num_stages": 1}

FIRST_ROW_ = tl.constexpr(FIRST_ROW)
END_ROW_ = tl.constexpr(END_ROW)
SLOT_ = tl.constexpr(SLOT)
RANK_ = tl.constexpr(RANK)
SCALE_ = tl.constexpr(SCALE)
LAYER_TILES_ = tl.constexpr(LAYER_TILES)
OFFSETS_ = tl.constexpr(OFFSETS)
ITEM_WIDTH_ = tl.constexpr(ITEM_WIDTH)


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
        if self.page_table.dtype != torch.int32 or self.page_table.ndim != 2:
            raise ValueError(
                f"page_table, got {self.page_table.dtype} with {self.page_table.ndim} axes, expected int32, 2"
            )

    def rows(self, slot: int, first_cut: int, rank: int, width: int) -> torch.Tensor:
        """Return the rows [rank, width] whose cuts start at `first_cut`, gathered from the adapter's pages."""
        num_cuts = self.pages.num_cuts(width)
        tile = torch.arange(first_cut * rank, (first_cut + num_cuts) * rank, device=self.pool.device)
        page = self.page_table[slot, tile // self.pages.tiles_per_page].long()
        tiles = self.pool.view(self.pages.dtype).view(-1, self.pages.tiles_per_page, self.pages.tile_width)
        cuts = tiles[page, tile % self.pages.tiles_per_page].view(num_cuts, rank, self.pages.tile_width)
        return cuts.transpose(0, 1).reshape(rank, -1)[:, :width]


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
            cut = layer * numbers[LAYER_TILES] + offset
            down = memory.rows(one, cut, numbers[RANK], x.shape[1]).float()
            up = memory.rows(one, cut + memory.pages.num_cuts(x.shape[1]), numbers[RANK], width).float()
            added = scale * ((inputs @ down.T) @ up)
            output[rows, columns] = (output[rows, columns].float() + added).to(output.dtype)


@triton.jit
def tile_pointers(
    pool, p_table, cut, rank, i_rank, o_block, BLOCK_R: tl.constexpr, TILE: tl.constexpr, PAGE_TILES: tl.constexpr
):
    """Where the tiles of rows `i_rank + o_block` of one cut or several begin: BLOCK_R tiles lie in one page or two."""
    tile = cut * rank + i_rank
    last_tile = tile + tl.minimum(BLOCK_R, rank - i_rank) - 1
    page = tl.load(p_table + tile // PAGE_TILES).to(tl.int64)
    to_next = tl.load(p_table + last_tile // PAGE_TILES).to(tl.int64) - page - 1
    o_tile = tile % PAGE_TILES + o_block
    # A product rather than a choice: the compiler then knows that tiles are aligned.
    in_next = (o_tile // PAGE_TILES) * (to_next * (PAGE_TILES * TILE))
    return pool + page * (PAGE_TILES * TILE) + o_tile * TILE + in_next


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
    MAX_RANK: tl.constexpr,
    BLOCK_R: tl.constexpr,
    EARLY: tl.constexpr,
):
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    i_split, i_slice = tl.program_id(0), tl.program_id(1)
    p_item = items + tl.program_id(2) * ITEM_WIDTH_
    row = tl.load(p_item + FIRST_ROW_).to(tl.int64)
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    first_cut = layer * tl.load(p_item + LAYER_TILES_) + offset
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        p_partial = partial + ((row * NUM_SLICES + i_slice) * NUM_SPLITS + i_split) * MAX_RANK
        o_block = tl.arange(0, BLOCK_R)
        o_cut = tl.arange(0, SPLIT // TILE)
        o_tile = tl.arange(0, TILE)
        # Behind the end nothing is read but the page of the last cut.
        cut = first_cut + tl.minimum(i_split * (SPLIT // TILE) + o_cut, (WIDTH - 1) // TILE)[None, :]
        o_in = i_split * SPLIT + o_cut[:, None] * TILE + o_tile[None, :]
        inputs = tl.load(x + row * stride_x + o_in, mask=o_in < WIDTH, other=0.0).to(tl.float32)[None, :, :]
        m_in = (o_in < WIDTH)[None, :, :]
        for i_rank in range(0, rank, BLOCK_R):
            o_rank = i_rank + o_block
            m_rank = o_rank < rank
            p_tiles = tile_pointers(pool, p_table, cut, rank, i_rank, o_block[:, None], BLOCK_R, TILE, PAGE_TILES)
            p_weights = p_tiles[:, :, None] + o_tile[None, None, :]
            weights = tl.load(p_weights, mask=m_rank[:, None, None] & m_in, other=0.0)
            product = tl.sum(tl.sum(weights.to(tl.float32) * inputs, axis=2), axis=1)
            tl.store(p_partial + o_rank, product, mask=m_rank)


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
def summed_splits(p_partial, o_rank, m_rank, NUM_SPLITS: tl.constexpr, BLOCK_S: tl.constexpr, MAX_RANK: tl.constexpr):
    """The product with A of rows `o_rank`, added up over the splits."""
    o_split = tl.arange(0, BLOCK_S)
    m_split = (o_split < NUM_SPLITS)[:, None] & m_rank[None, :]
    return tl.sum(tl.load(p_partial + o_split[:, None] * MAX_RANK + o_rank[None, :], mask=m_split, other=0.0), axis=0)


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
    MAX_RANK: tl.constexpr,
    BLOCK_R: tl.constexpr,
    EARLY: tl.constexpr,
):
    i_slice, i_cut, first_column, width = slice_of(tl.program_id(0), WIDTH_0, WIDTH_1, WIDTH_2, TILE)
    p_item = items + tl.program_id(1) * ITEM_WIDTH_
    row = tl.load(p_item + FIRST_ROW_).to(tl.int64)
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    scale = tl.load(p_item + SCALE_).to(tl.float32, bitcast=True)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    cut = layer * tl.load(p_item + LAYER_TILES_) + offset + (WIDTH_IN + TILE - 1) // TILE + i_cut
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        p_partial = partial + (row * NUM_SLICES + i_slice) * NUM_SPLITS * MAX_RANK
        o_tile = tl.arange(0, TILE)
        m_out = i_cut * TILE + o_tile < width
        p_out = output + row * stride_output + first_column + i_cut * TILE + o_tile
        o_block = tl.arange(0, BLOCK_R)
        m_rank = o_block < rank
        p_tiles = tile_pointers(pool, p_table, cut, rank, 0, o_block, BLOCK_R, TILE, PAGE_TILES)
        weights = tl.load(p_tiles[:, None] + o_tile[None, :], mask=m_rank[:, None] & m_out[None, :], other=0.0)
        base = tl.load(p_out, mask=m_out)
        # All that was read so far does not depend on shrink.
        if EARLY:
            tl.extra.cuda.gdc_wait()
        shrunk = summed_splits(p_partial, o_block, m_rank, NUM_SPLITS, BLOCK_S, MAX_RANK)
        product = tl.sum(weights.to(tl.float32) * shrunk[:, None], axis=0)
        for i_rank in range(BLOCK_R, rank, BLOCK_R):
            o_rank = i_rank + o_block
            m_rank = o_rank < rank
            p_tiles = tile_pointers(pool, p_table, cut, rank, i_rank, o_block, BLOCK_R, TILE, PAGE_TILES)
            weights = tl.load(p_tiles[:, None] + o_tile[None, :], mask=m_rank[:, None] & m_out[None, :], other=0.0)
            shrunk = summed_splits(p_partial, o_rank, m_rank, NUM_SPLITS, BLOCK_S, MAX_RANK)
            product += tl.sum(weights.to(tl.float32) * shrunk[:, None], axis=0)
        tl.store(p_out, (base.to(tl.float32) + scale * product).to(base.dtype), mask=m_out)


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
    MAX_RANK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    i_split, i_slice = tl.program_id(0), tl.program_id(1)
    p_item = items + tl.program_id(2) * ITEM_WIDTH_
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    first_cut = layer * tl.load(p_item + LAYER_TILES_) + offset
    o_row = tl.load(p_item + FIRST_ROW_) + tl.arange(0, BLOCK_M)
    m_row = o_row < tl.load(p_item + END_ROW_)
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        p_x = x + o_row.to(tl.int64)[:, None] * stride_x
        p_partial = partial + ((o_row.to(tl.int64) * NUM_SLICES + i_slice) * NUM_SPLITS + i_split)[:, None] * MAX_RANK
        o_block = tl.arange(0, BLOCK_R)
        o_step = tl.arange(0, BLOCK_K)
        end = tl.minimum(i_split * SPLIT + SPLIT, WIDTH)
        for i_rank in range(0, rank, BLOCK_R):
            o_rank = i_rank + o_block
            m_rank = o_rank < rank
            product = tl.zeros([BLOCK_M, BLOCK_R], dtype=tl.float32)
            for i_in in range(i_split * SPLIT, end, BLOCK_K):
                o_in = i_in + o_step
                m_in = o_in < WIDTH
                inputs = tl.load(p_x + o_in[None, :], mask=m_row[:, None] & m_in[None, :], other=0.0)
                p_tiles = tile_pointers(
                    pool, p_table, first_cut + i_in // TILE, rank, i_rank, o_block, BLOCK_R, TILE, PAGE_TILES
                )
                p_weights = p_tiles[None, :] + (i_in % TILE + o_step)[:, None]
                weights = tl.load(p_weights, mask=m_in[:, None] & m_rank[None, :], other=0.0)
                product = tl.dot(inputs, weights, product, input_precision="ieee")
            tl.store(p_partial + o_rank[None, :], product, mask=m_row[:, None] & m_rank[None, :])


@triton.jit(do_not_specialize=["layer", "projection", "stride_table"])
def expand_prefill_kernel(
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
    TILE: tl.constexpr,
    PAGE_TILES: tl.constexpr,
    MAX_RANK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    i_slice, i_cut, first_column, width = slice_of(tl.program_id(0), WIDTH_0, WIDTH_1, WIDTH_2, TILE)
    p_item = items + tl.program_id(1) * ITEM_WIDTH_
    slot = tl.load(p_item + SLOT_).to(tl.int64)
    rank = tl.load(p_item + RANK_)
    scale = tl.load(p_item + SCALE_).to(tl.float32, bitcast=True)
    offset = tl.load(p_item + OFFSETS_ + projection + i_slice)
    cut = layer * tl.load(p_item + LAYER_TILES_) + offset + (WIDTH_IN + TILE - 1) // TILE + i_cut
    o_row = tl.load(p_item + FIRST_ROW_) + tl.arange(0, BLOCK_M)
    m_row = o_row < tl.load(p_item + END_ROW_)
    if (rank > 0) & (offset >= 0):
        p_table = page_table + slot * stride_table
        p_partial = partial + ((o_row.to(tl.int64) * NUM_SLICES + i_slice) * NUM_SPLITS)[:, None] * MAX_RANK
        o_block = tl.arange(0, BLOCK_R)
        o_tile = tl.arange(0, TILE)
        m_out = i_cut * TILE + o_tile < width
        product = tl.zeros([BLOCK_M, TILE], dtype=tl.float32)
        for i_rank in range(0, rank, BLOCK_R):
            o_rank = i_rank + o_block
            m_rank = o_rank < rank
            m_shrunk = m_row[:, None] & m_rank[None, :]
            shrunk = tl.zeros([BLOCK_M, BLOCK_R], dtype=tl.float32)
            for i_split in tl.static_range(NUM_SPLITS):
                shrunk += tl.load(p_partial + i_split * MAX_RANK + o_rank[None, :], mask=m_shrunk, other=0.0)
            p_tiles = tile_pointers(pool, p_table, cut, rank, i_rank, o_block, BLOCK_R, TILE, PAGE_TILES)
            weights = tl.load(p_tiles[:, None] + o_tile[None, :], mask=m_rank[:, None] & m_out[None, :], other=0.0)
            product = tl.dot(shrunk.to(weights.dtype), weights, product, input_precision="ieee")
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
    num_slices, pages = len(projections), memory.pages
    split = DECODE_SPLIT if phase == "decode" else PREFILL_SPLIT
    num_splits = triton.cdiv(x.shape[1], split)
    partial = torch.empty(len(x), num_slices, num_splits, memory.max_rank, dtype=torch.float32, device=x.device)
    early = can_start_early(x.device)
    common = {
        "partial": partial,
        "pool": memory.pool.view(pages.dtype),
        "page_table": memory.page_table,
        "items": items,
        "layer": layer,
        "projection": PROJECTIONS.index(projections[0]),
        "stride_table": memory.page_table.stride(0),
        "NUM_SLICES": num_slices,
        "NUM_SPLITS": num_splits,
        "TILE": pages.tile_width,
        "PAGE_TILES": pages.tiles_per_page,
        "MAX_RANK": memory.max_rank,
    }
    width_0, width_1, width_2 = (*widths, 0, 0)[:3]
    shrink = {**common, "x": x, "stride_x": x.stride(0), "WIDTH": x.shape[1], "SPLIT": split}
    expand = {
        **common,
        "output": output,
        "stride_output": output.stride(0),
        "WIDTH_IN": x.shape[1],
        "WIDTH_0": width_0,
        "WIDTH_1": width_1,
        "WIDTH_2": width_2,
    }
    shrink_grid = (num_splits, num_slices, len(items))
    expand_grid = (sum(map(pages.num_cuts, widths)), len(items))
    if phase == "decode":
        shrink_decode_kernel[shrink_grid](**shrink, **SHRINK_DECODE, EARLY=early)
        # Without the option a GPU that cannot start a kernel early is not asked to.
        options = {**EXPAND_DECODE, "launch_pdl": True} if early else EXPAND_DECODE
        block_s = triton.next_power_of_2(num_splits)
        expand_decode_kernel[expand_grid](**expand, **options, BLOCK_S=block_s, EARLY=early)
    else:
        block_k = min(pages.tile_width, PREFILL_STEP)
        shrink_prefill_kernel[shrink_grid](**shrink, **SHRINK_PREFILL, BLOCK_K=block_k)
        expand_prefill_kernel[expand_grid](**expand, **EXPAND_PREFILL)


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
    if memory.pages.tiles_per_page < BLOCK_R:
        raise ValueError(f"tiles in a page, got {memory.pages.tiles_per_page}, expected at least {BLOCK_R}")
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
