"""Attention scores of decode: what tiles export before the log-sum-exp is known, and what becomes of it after.

A tile writes exp(s - max) of its slots and the max; p = exp(s - lse) follows from both, in a second pass.
"""

import torch
import triton
import triton.language as tl

from ..cache.kv_pages import PAGE_SIZE, PAGE_SIZE_, KVPages
from .online_softmax import LOG2_E_

# Exported exp(s - max) are at most 1; raised by this, fp16 keeps their relative precision down to 2e-9.
EXPORT_SCALE = tl.constexpr(2.0**15)
# What a program of the second pass has; measured, see `benchmarks/results/kernels-lab-book.md`.
SCORE_SLOTS, SCORE_WARPS = 256, 4


def add_scores(pages: KVPages, table: torch.Tensor, weights: torch.Tensor, is_live: torch.Tensor) -> None:
    """Add weights [num_rows, num_kv_heads, num_slots] to the pages' scores where slots are live."""
    if pages.scores is None:
        raise ValueError("pages, got none with scores, expected side planes")
    i_row, i_head, i_slot = is_live.nonzero(as_tuple=True)
    i_page = table.long()[i_row, i_slot // PAGE_SIZE]
    pages.scores[i_page, i_head, i_slot % PAGE_SIZE] += weights[i_row, i_head, i_slot]


@triton.jit
def export(p_exported, b_p, GROUP: tl.constexpr, QUERIES: tl.constexpr, SLOTS: tl.constexpr):
    """Write exp(s - max) of SLOTS slots, the group's side by side, to be kept in the L2 cache until they are read."""
    o_group = tl.arange(0, QUERIES)
    p_exported = p_exported + (tl.arange(0, SLOTS) * GROUP)[:, None] + o_group[None, :]
    tl.store(p_exported, (b_p * EXPORT_SCALE).to(p_exported.dtype.element_ty), mask=(o_group < GROUP)[None, :],
             eviction_policy="evict_last")  # fmt: skip


@triton.jit
def add_tile_scores(plane, i_page, plane_stride, i_head, o_slot, m_slot, exported, exported_max, i_tile, m_tile, b_lse,
                    GROUP: tl.constexpr, LANES: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Add the group's mean of p to the scores of tiles, from what they exported and the max they did it with."""
    o_lane = tl.arange(0, LANES)
    m_lane = (o_lane < GROUP)[None, :] & m_tile[:, None]
    p_exported = exported + (i_tile * (BLOCK * GROUP))[:, None, None]
    p_exported = p_exported + (tl.arange(0, SLOTS) * GROUP)[None, :, None] + o_lane[None, None, :]
    b_p = tl.load(p_exported, mask=m_lane[:, None, :], other=0.0).to(tl.float32)
    b_max = tl.load(exported_max + (i_tile * GROUP)[:, None] + o_lane[None, :], mask=m_lane, other=float("-inf"))
    b_share = tl.exp2(b_max - b_lse[None, :]) * (1.0 / (EXPORT_SCALE * GROUP))
    p_scores = plane + i_page * plane_stride + i_head * PAGE_SIZE_ + o_slot % PAGE_SIZE_
    b_scores = tl.load(p_scores, mask=m_slot, other=0.0)
    tl.store(p_scores, b_scores + tl.sum(b_p * b_share[:, None, :], 2), mask=m_slot)


@triton.jit
def score_kernel(
    exported,
    exported_max,
    lse,
    scores,
    table,
    lens,
    ring_scores,
    ring_table,
    ring_lens,
    scores_stride,
    ring_scores_stride,
    table_stride,
    window,
    num_tiles,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    LANES: tl.constexpr,
    TILES: tl.constexpr,
    IS_PAIRED: tl.constexpr,
    HAS_RING: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Program i adds the scores of tiles i * TILES and on; program 0 those of the ring as well."""
    i_part, i_head, i_row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    length = tl.load(lens + i_row)
    ring_len = 0
    if HAS_RING:
        ring_len = tl.load(ring_lens + i_row, mask=i_part == 0, other=0)
    begin = tl.where(window > 0, tl.maximum(length - window, 0), 0)
    start = i_part * (TILES * BLOCK)
    if ((start >= length) | (start + TILES * BLOCK <= begin)) & (ring_len <= 0):
        return
    o_lane = tl.arange(0, LANES)
    b_lse = tl.load(lse + (i_row * NUM_KV_HEADS + i_head) * GROUP + o_lane, mask=o_lane < GROUP, other=0.0)
    b_lse *= LOG2_E_
    i_tiles = (i_row * NUM_KV_HEADS + i_head) * (num_tiles + 1)
    o_place = tl.arange(0, BLOCK)
    if IS_PAIRED:
        # Where slots go in pairs, a tile's even ones were exported before its odd ones.
        o_place = (o_place % (BLOCK // 2)) * 2 + o_place // (BLOCK // 2)
    o_tile = i_part * TILES + tl.arange(0, TILES)
    m_tile = (o_tile * BLOCK < length) & ((o_tile + 1) * BLOCK > begin)
    o_slot = (o_tile * BLOCK)[:, None] + o_place[None, :]
    m_slot = (o_slot >= begin) & (o_slot < length)
    i_page = tl.load(table + i_row * table_stride + o_slot // PAGE_SIZE_, mask=m_slot, other=0).to(tl.int64)
    add_tile_scores(scores, i_page, scores_stride, i_head, o_slot, m_slot, exported, exported_max, i_tiles + o_tile,
                    m_tile, b_lse, GROUP, LANES, BLOCK, BLOCK)  # fmt: skip
    if HAS_RING:  # noqa: SIM102 (a constant, then a value)
        if ring_len > 0:
            o_ring = tl.arange(0, PAGE_SIZE_)[None, :]
            o_one = tl.arange(0, 1)
            i_ring = tl.load(ring_table + i_row + o_ring * 0).to(tl.int64)
            add_tile_scores(ring_scores, i_ring, ring_scores_stride, i_head, o_ring, o_ring < ring_len, exported,
                            exported_max, i_tiles + num_tiles + o_one, o_one == 0, b_lse, GROUP, LANES, PAGE_SIZE_,
                            BLOCK)  # fmt: skip
