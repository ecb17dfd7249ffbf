"""Combine the splits of a row that decode attention left, in order, and add the scores that they exported."""

import triton
import triton.language as tl

from .online_softmax import safe
from .score_export import add_split_scores

# Splits are combined in chunks of this many, whatever the capacity, so that the order of the sums never changes.
CHUNK = tl.constexpr(16)


@triton.jit
def attention_combine_kernel(
    out,
    lse,
    part_out,
    part_lse,
    exported,
    exported_max,
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
    num_splits,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    LANES: tl.constexpr,
    TILES: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    IS_PAIRED: tl.constexpr,
    HAS_RING: tl.constexpr,
    HAS_SCORES: tl.constexpr,
    SPLIT_LEN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Program i combines query head i of the group, and adds the scores of split i."""
    i_part, i_head, i_row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    length = tl.load(lens + i_row)
    ring_len = 0
    if HAS_RING:
        ring_len = tl.load(ring_lens + i_row)
    if (length <= 0) & (ring_len <= 0):
        return
    begin = tl.where(window > 0, tl.maximum(length - window, 0), 0)
    first = begin // SPLIT_LEN
    last = tl.maximum(tl.cdiv(length, SPLIT_LEN), 1)
    i_query = (i_row * NUM_KV_HEADS + i_head) * GROUP
    o_chunk = tl.arange(0, CHUNK)
    if i_part < GROUP:
        o_dim = tl.arange(0, HEAD_DIM)
        b_max = float("-inf")
        b_sum = 0.0
        b_out = tl.zeros([HEAD_DIM], tl.float32)
        for i_chunk in range(first, last, CHUNK):
            o_split = (i_query + i_part) * num_splits + i_chunk + o_chunk
            m_split = i_chunk + o_chunk < last
            b_part = tl.load(part_lse + o_split, mask=m_split, other=float("-inf"))
            new_max = tl.maximum(b_max, tl.max(b_part, 0))
            b_weight = tl.exp2(b_part - new_max)
            shrink = tl.exp2(b_max - new_max)
            p_part = part_out + o_split[:, None] * HEAD_DIM + o_dim[None, :]
            b_values = tl.load(p_part, mask=m_split[:, None], other=0.0)
            b_out = b_out * shrink + tl.sum(b_values * b_weight[:, None], 0)
            b_sum = b_sum * shrink + tl.sum(b_weight, 0)
            b_max = new_max
        tl.store(out + (i_query + i_part) * HEAD_DIM + o_dim, (b_out / b_sum).to(out.dtype.element_ty))
        tl.store(lse + i_query + i_part, (b_max + tl.log2(b_sum)) * 0.6931471805599453)
    if HAS_SCORES:
        start = tl.maximum(i_part * SPLIT_LEN, begin // BLOCK * BLOCK)
        end = tl.minimum((i_part + 1) * SPLIT_LEN, length)
        if (start < end) | ((i_part == 0) & (ring_len > 0)):
            o_lane = tl.arange(0, LANES)
            b_max = tl.full([LANES], float("-inf"), tl.float32)
            b_sum = tl.zeros([LANES], tl.float32)
            for i_chunk in range(first, last, CHUNK):
                m_split = (i_chunk + o_chunk < last)[:, None] & (o_lane < GROUP)[None, :]
                p_part = part_lse + ((i_query + o_lane) * num_splits)[None, :] + (i_chunk + o_chunk)[:, None]
                b_part = tl.load(p_part, mask=m_split, other=float("-inf"))
                new_max = tl.maximum(b_max, tl.max(b_part, 0))
                b_sum = b_sum * tl.exp2(b_max - safe(new_max))
                b_sum += tl.sum(tl.exp2(b_part - safe(new_max)[None, :]), 0)
                b_max = new_max
            b_lse = tl.where(o_lane < GROUP, b_max + tl.log2(b_sum), 0.0)
            i_tiles = (i_row * NUM_KV_HEADS + i_head) * (num_tiles + 1)
            add_split_scores(scores, scores_stride, ring_scores, ring_scores_stride, exported, exported_max, table,
                             table_stride, ring_table, begin, start, end, ring_len, i_part, i_head, i_row, i_tiles,
                             num_tiles, b_lse, GROUP, LANES, TILES, IS_PAIRED, HAS_RING, BLOCK)  # fmt: skip
