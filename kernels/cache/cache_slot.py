"""What a token becomes in the slots of a cache: codes, metadata and their error, friendliness, and what eviction knows.

These are the parts that `cache_write` and `cache_move` share, in torch and for kernels. There a block has all heads of
one token, each with a slot of its own, since a token's friendliness may be judged among its heads. `rope_write`, which
measures nothing, stores some heads at a time.
"""

import torch
import triton
import triton.language as tl

from .kv_pages import FP8, FULL, INT4, INT8, PAGE_SIZE_
from .kv_quantize import (
    Quantized,
    fp8_decode,
    fp8_encode,
    fp8_half_codes,
    half_codes,
    kv_quantize_reference,
    packed_meta,
)


def bits_of(format: str, error_bits: int) -> int:
    """Return the width of the codes whose error counts."""
    return {"int8": 8, "int4": 4}.get(format, error_bits)


def encoded(x: torch.Tensor, format: str, bits: int) -> Quantized:
    """Return vectors as a format keeps them, and the error that counts."""
    if format == "fp8":
        codes = fp8_encode(x)
        return Quantized(codes, codes, (fp8_decode(codes) - x.float()).norm(dim=-1))
    quantized = kv_quantize_reference(x, bits)
    return quantized._replace(codes=x, meta=x) if format == "full" else quantized


def friendliness_of(errors: torch.Tensor, error_ranges: torch.Tensor | None) -> torch.Tensor:
    """Return how well tokens quantise, in [0, 1], from errors [2, num_tokens, num_kv_heads]."""
    if error_ranges is None:
        lowest, highest = errors.amin(-1), errors.amax(-1)
    else:
        lowest, highest = error_ranges.T[0::2], error_ranges.T[1::2]
    share = (errors - lowest[..., None]) / (highest - lowest)[..., None].clamp(min=1e-20)
    return 1.0 - share.clamp(0, 1).sum(0) / 2


def heads_block(num_kv_heads: int, *, rotate: bool) -> int:
    """Return how many rows a block of heads has; the rotation's products need 16."""
    return max(int(triton.next_power_of_2(num_kv_heads)), 16 if rotate else 1)


@triton.jit
def stored_halves(p_vector, p_meta, x_low, x_high, step, m_head, HALF: tl.constexpr, FORMAT: tl.constexpr,
                  BITS: tl.constexpr):  # fmt: skip
    """Store rows at p_vector [num_rows] with `step` between dims, their metadata at p_meta; return each row's error."""
    o_dim = tl.arange(0, HALF)
    p_low = p_vector[:, None] + o_dim[None, :] * step
    m_low = m_head[:, None] & (o_dim < HALF)[None, :]
    if FORMAT == FP8:
        c_low, e_low = fp8_half_codes(x_low)
        c_high, e_high = fp8_half_codes(x_high)
    else:
        c_low, scale_low, min_low, e_low = half_codes(x_low, BITS)
        c_high, scale_high, min_high, e_high = half_codes(x_high, BITS)
        if FORMAT == FULL:
            c_low, c_high = x_low, x_high
        else:
            tl.store(p_meta, packed_meta(scale_low, min_low, scale_high, min_high), mask=m_head)
    if FORMAT == INT4:
        tl.store(p_low, (c_low + 16.0 * c_high).to(tl.uint8), mask=m_low)
    else:
        tl.store(p_low, c_low.to(p_vector.dtype.element_ty), mask=m_low)
        tl.store(p_low + HALF * step, c_high.to(p_vector.dtype.element_ty), mask=m_low)
    return tl.sqrt(e_low + e_high)


@triton.jit
def halves_error(x_low, x_high, FORMAT: tl.constexpr, BITS: tl.constexpr):
    """Return the error that a format would make of each row."""
    if FORMAT == FP8:
        return tl.sqrt(fp8_half_codes(x_low)[1] + fp8_half_codes(x_high)[1])
    else:
        return tl.sqrt(half_codes(x_low, BITS)[3] + half_codes(x_high, BITS)[3])


@triton.jit
def normalised(error, lowest, highest):
    return tl.minimum(tl.maximum((error - lowest) / tl.maximum(highest - lowest, 1e-20), 0.0), 1.0)


@triton.jit
def friendliness_in(k_error, v_error, error_ranges, i_token, m_head, HAS_RANGES: tl.constexpr):
    """Return how well the heads of one token quantise, against given ranges or against each other."""
    if HAS_RANGES:
        p_ranges = error_ranges + i_token * 4
        k_low, k_high = tl.load(p_ranges), tl.load(p_ranges + 1)
        v_low, v_high = tl.load(p_ranges + 2), tl.load(p_ranges + 3)
    else:
        k_low = tl.min(tl.where(m_head, k_error, float("inf")), 0)
        k_high = tl.max(tl.where(m_head, k_error, float("-inf")), 0)
        v_low = tl.min(tl.where(m_head, v_error, float("inf")), 0)
        v_high = tl.max(tl.where(m_head, v_error, float("-inf")), 0)
    return 1.0 - 0.5 * (normalised(k_error, k_low, k_high) + normalised(v_error, v_low, v_high))


@triton.jit
def stored_heads(low, high, o_head, i_slot, m_head, pages, meta, pages_stride, meta_stride, HALF: tl.constexpr,
                 FORMAT: tl.constexpr, BITS: tl.constexpr, ARE_VALUES: tl.constexpr):  # fmt: skip
    """Store keys or values, halves in fp32, in slots of their own; return their errors."""
    i_page, o_slot = (tl.maximum(i_slot, 0) // PAGE_SIZE_).to(tl.int64), tl.maximum(i_slot, 0) % PAGE_SIZE_
    WIDTH: tl.constexpr = HALF if FORMAT == INT4 else 2 * HALF
    p_head = pages + i_page * pages_stride + o_head * (PAGE_SIZE_ * WIDTH)
    p_meta = meta
    if FORMAT >= INT8:
        p_meta = meta + i_page * meta_stride + o_head * PAGE_SIZE_ + o_slot
    if ARE_VALUES and FORMAT != FULL:
        error = stored_halves(p_head + o_slot, p_meta, low, high, PAGE_SIZE_, m_head, HALF, FORMAT, BITS)
    else:
        error = stored_halves(p_head + o_slot * WIDTH, p_meta, low, high, 1, m_head, HALF, FORMAT, BITS)
    return error


@triton.jit
def stored_token(k_low, k_high, v_low, v_high, i_slot, m_head, page_keys, page_values, key_meta, value_meta,
                 page_keys_stride, page_values_stride, meta_stride, HEADS: tl.constexpr, HALF: tl.constexpr,
                 FORMAT: tl.constexpr, BITS: tl.constexpr):  # fmt: skip
    """Store all heads of a token in slots of their own; return the errors of keys and values."""
    o_head = tl.arange(0, HEADS)
    k_error = stored_heads(k_low, k_high, o_head, i_slot, m_head, page_keys, key_meta, page_keys_stride, meta_stride,
                           HALF, FORMAT, BITS, False)  # fmt: skip
    v_error = stored_heads(v_low, v_high, o_head, i_slot, m_head, page_values, value_meta, page_values_stride,
                           meta_stride, HALF, FORMAT, BITS, True)  # fmt: skip
    return k_error, v_error


@triton.jit
def stored_side(b_scores, b_friendly, b_position, i_slot, m_head, scores, friendliness, positions, side_stride,
                friendliness_stride, HEADS: tl.constexpr):  # fmt: skip
    """Store what a cache that evicts knows about all heads of a token."""
    i_page = (tl.maximum(i_slot, 0) // PAGE_SIZE_).to(tl.int64)
    o_side = tl.arange(0, HEADS) * PAGE_SIZE_ + tl.maximum(i_slot, 0) % PAGE_SIZE_
    tl.store(scores + i_page * side_stride + o_side, b_scores, mask=m_head)
    tl.store(positions + i_page * side_stride + o_side, b_position, mask=m_head)
    tl.store(friendliness + i_page * friendliness_stride + o_side, b_friendly.to(tl.float16), mask=m_head)
