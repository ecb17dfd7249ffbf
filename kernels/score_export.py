"""Attention scores of decode: what tiles export before the log-sum-exp is known, and what becomes of it after.

A tile writes exp(s - max) of its slots and the max; p = exp(s - lse) follows from both. `attention_decode` says when.
"""

import torch
import triton
import triton.language as tl

from .kv_pages import PAGE_SIZE, KVPages

# Exported exp(s - max) are at most 1; raised by this, fp16 keeps their relative precision down to 2e-9.
EXPORT_SCALE = tl.constexpr(32768.0)


def add_scores(pages: KVPages, table: torch.Tensor, weights: torch.Tensor, is_live: torch.Tensor) -> None:
    """Add weights [num_rows, num_kv_heads, num_slots] to the pages' scores where slots are live."""
    if pages.scores is None:
        raise ValueError("pages, got none with scores, expected side planes")
    i_row, i_head, i_slot = is_live.nonzero(as_tuple=True)
    i_page = table.long()[i_row, i_slot // PAGE_SIZE]
    pages.scores[i_page, i_head, i_slot % PAGE_SIZE] += weights[i_row, i_head, i_slot]


@triton.jit
def export(p_exported, b_p, GROUP: tl.constexpr, QUERIES: tl.constexpr, SLOTS: tl.constexpr):
    """Write exp(s - max) of SLOTS slots, the group's side by side."""
    o_group = tl.arange(0, QUERIES)
    p_exported = p_exported + (tl.arange(0, SLOTS) * GROUP)[:, None] + o_group[None, :]
    tl.store(p_exported, (b_p * EXPORT_SCALE).to(p_exported.dtype.element_ty), mask=(o_group < GROUP)[None, :])


@triton.jit
def add_tile_scores(plane, i_page, plane_stride, i_head, o_slot, m_slot, exported, exported_max, i_tile, m_tile, b_lse,
                    GROUP: tl.constexpr, LANES: tl.constexpr, TILES: tl.constexpr, SLOTS: tl.constexpr,
                    BLOCK: tl.constexpr):  # fmt: skip
    """Add the group's mean of p to the scores of tiles, from what they exported and the max they did it with.

    All slots at once: the pass waits for memory, and does so once for each block of tiles.
    """
    o_lane = tl.arange(0, LANES)
    m_lane = (o_lane < GROUP)[None, :] & m_tile[:, None]
    p_exported = exported + (i_tile * (BLOCK * GROUP))[:, None, None]
    p_exported = p_exported + (tl.arange(0, SLOTS) * GROUP)[None, :, None] + o_lane[None, None, :]
    b_p = tl.load(p_exported, mask=m_lane[:, None, :], other=0.0).to(tl.float32)
    b_max = tl.load(exported_max + (i_tile * GROUP)[:, None] + o_lane[None, :], mask=m_lane, other=float("-inf"))
    b_share = tl.exp2(b_max - b_lse[None, :]) * (1.0 / (EXPORT_SCALE * GROUP))
    p_scores = plane + i_page * plane_stride + i_head * 32 + o_slot % 32
    b_scores = tl.load(p_scores, mask=m_slot, other=0.0)
    tl.store(p_scores, b_scores + tl.sum(b_p * b_share[:, None, :], 2), mask=m_slot)


@triton.jit
def add_split_scores(scores, scores_stride, ring_scores, ring_scores_stride, exported, exported_max, table,
                     table_stride, ring_table, begin, start, end, ring_len, i_split, i_head, i_row, i_tiles, num_tiles,
                     b_lse, GROUP: tl.constexpr, LANES: tl.constexpr, TILES: tl.constexpr, IS_PAIRED: tl.constexpr,
                     HAS_RING: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Add the scores of a split's slots from what it exported; split 0 has the ring."""
    o_place = tl.arange(0, BLOCK)
    if IS_PAIRED:
        # Where slots go in pairs, a tile's even ones were exported before its odd ones.
        o_place = (o_place % (BLOCK // 2)) * 2 + o_place // (BLOCK // 2)
    o_tile = tl.arange(0, TILES)
    for i_slot in range(start, end, TILES * BLOCK):
        o_slot = (i_slot + o_tile * BLOCK)[:, None] + o_place[None, :]
        m_slot = (o_slot >= begin) & (o_slot < end)
        i_page = tl.load(table + i_row * table_stride + o_slot // 32, mask=m_slot, other=0).to(tl.int64)
        add_tile_scores(scores, i_page, scores_stride, i_head, o_slot, m_slot, exported, exported_max,
                        i_tiles + i_slot // BLOCK + o_tile, i_slot + o_tile * BLOCK < end, b_lse, GROUP, LANES, TILES,
                        BLOCK, BLOCK)  # fmt: skip
    if HAS_RING:  # noqa: SIM102 (a constant, then a value)
        if (i_split == 0) & (ring_len > 0):
            o_slot = tl.arange(0, 32)[None, :]
            o_one = tl.arange(0, 1)
            i_page = tl.load(ring_table + i_row + o_slot * 0).to(tl.int64)
            add_tile_scores(ring_scores, i_page, ring_scores_stride, i_head, o_slot, o_slot < ring_len, exported,
                            exported_max, i_tiles + num_tiles + o_one, o_one == 0, b_lse, GROUP, LANES, 1, 32,
                            BLOCK)  # fmt: skip
