"""Combine the splits of a row that decode attention left, in order."""

import triton
import triton.language as tl

from .online_softmax import LN_2

# Splits are combined in chunks of this many, whatever the capacity, so that the order of the sums never changes.
CHUNK = tl.constexpr(16)


@triton.jit
def attention_combine_kernel(
    out,
    lse,
    part_out,
    part_lse,
    lens,
    ring_lens,
    window,
    num_splits,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    HAS_RING: tl.constexpr,
    SPLIT_LEN: tl.constexpr,
):
    """Program i combines query head i of the group."""
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
    i_query = (i_row * NUM_KV_HEADS + i_head) * GROUP + i_part
    o_chunk = tl.arange(0, CHUNK)
    o_dim = tl.arange(0, HEAD_DIM)
    b_max = float("-inf")
    b_sum = 0.0
    b_out = tl.zeros([HEAD_DIM], tl.float32)
    for i_chunk in range(first, last, CHUNK):
        o_split = i_query * num_splits + i_chunk + o_chunk
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
    tl.store(out + i_query * HEAD_DIM + o_dim, (b_out / b_sum).to(out.dtype.element_ty))
    tl.store(lse + i_query, (b_max + tl.log2(b_sum)) * LN_2)
