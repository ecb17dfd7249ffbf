"""Write the keys and values of new tokens into slots of a paged cache, in any of its formats.

Semantics, for token t and KV head h with slots[t, h] >= 0:
    pages[slots[t, h]] = encode(keys[t, h]), encode(values[t, h]);  scores = 0;  positions = positions[t]
    errors[:, t, h] = || encode(x) - x || of the key and of the value, at `error_bits` where full precision is kept
    friendliness = 1 - (nK + nV) / 2,  n = clamp((error - lowest) / (highest - lowest), 0, 1)

keys, values  [num_tokens, num_kv_heads, head_dim], last dim contiguous: after RoPE, or before it for streaming
slots         int32 or int64 [num_tokens] or, where heads overwrite different slots, [num_tokens, num_kv_heads]:
              page * 32 + offset; a slot of -1 writes nothing
positions     int32 [num_tokens], needed where the pages have side planes
error_ranges  fp32 [num_tokens, 4]: lowest and highest error of keys, of values, as measured over the token's prompt;
              without them the range is that of the token's own heads (Q-Hitter's published rule for decoding)
errors        fp32 [2, num_tokens, num_kv_heads], NaN where nothing was written

`rotate` turns keys by the Hadamard matrix before they are quantised. One program writes all heads of a token, prefill
and decode alike, so a token's bits do not depend on its batch.
"""

import torch
import triton
import triton.language as tl

from .hadamard import hadamard_reference
from .kv_pages import FORMATS, PAGE_SIZE, KVPages
from .kv_quantize import (
    Quantized,
    fp8_codes,
    fp8_decode,
    fp8_encode,
    half_codes,
    kv_quantize_reference,
    packed_meta,
    rotated_halves,
)

FULL, FP8, INT8, INT4 = (tl.constexpr(i) for i in range(len(FORMATS)))


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


def cache_write_reference(
    pages: KVPages,
    keys: torch.Tensor,
    values: torch.Tensor,
    slots: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    error_ranges: torch.Tensor | None = None,
    error_bits: int = 4,
    rotate: bool = False,
) -> torch.Tensor:
    """Write the tokens and return their errors; see the module's semantics."""
    num_tokens, num_kv_heads, _ = keys.shape
    bits = bits_of(pages.format, error_bits)
    slots = (slots if slots.ndim == 2 else slots[:, None]).expand(num_tokens, num_kv_heads).long()
    stored = hadamard_reference(keys) if rotate and pages.format == "full" else keys
    judged = hadamard_reference(keys.float()) if rotate else keys
    key, value = encoded(judged, pages.format, bits), encoded(values, pages.format, bits)
    if pages.format == "full":
        key = key._replace(codes=stored)
    errors = torch.stack([key.error, value.error])
    i_token, i_head = (slots >= 0).nonzero(as_tuple=True)
    i_page, i_slot = slots[i_token, i_head] // PAGE_SIZE, slots[i_token, i_head] % PAGE_SIZE
    pages.keys[i_page, i_head, i_slot] = key.codes[i_token, i_head].to(pages.keys.dtype)
    planes = pages.values if pages.format == "full" else pages.values.transpose(-1, -2)
    planes[i_page, i_head, i_slot] = value.codes[i_token, i_head].to(pages.values.dtype)
    if pages.key_meta is not None and pages.value_meta is not None:
        pages.key_meta[i_page, i_head, i_slot] = key.meta[i_token, i_head]
        pages.value_meta[i_page, i_head, i_slot] = value.meta[i_token, i_head]
    if pages.scores is not None and pages.friendliness is not None and pages.positions is not None:
        if positions is None:
            raise ValueError("positions, got none, expected them for pages with side planes")
        pages.scores[i_page, i_head, i_slot] = 0.0
        pages.friendliness[i_page, i_head, i_slot] = friendliness_of(errors, error_ranges).half()[i_token, i_head]
        pages.positions[i_page, i_head, i_slot] = positions.int()[i_token]
    return errors.masked_fill(slots < 0, torch.nan)


@triton.jit
def fp8_numbers(codes):
    """Return the fp32 numbers that e4m3 bytes stand for."""
    bits = codes.to(tl.int16)
    half = (((bits & 0x80) << 8) | ((bits & 0x7F) << 7)).to(tl.float16, bitcast=True)
    return half.to(tl.float32) * 256.0


@triton.jit
def stored_halves(p_vector, p_meta, x_low, x_high, step, m_head, HALF: tl.constexpr, FORMAT: tl.constexpr,
                  BITS: tl.constexpr):  # fmt: skip
    """Store rows at p_vector [num_rows] with `step` between dims, their metadata at p_meta; return each row's error."""
    o_dim = tl.arange(0, HALF)
    p_low = p_vector[:, None] + o_dim[None, :] * step
    m_low = m_head[:, None] & (o_dim < HALF)[None, :]
    if FORMAT == FP8:
        c_low, c_high = fp8_codes(x_low), fp8_codes(x_high)
        tl.store(p_low, c_low, mask=m_low)
        tl.store(p_low + HALF * step, c_high, mask=m_low)
        missed_low, missed_high = fp8_numbers(c_low) - x_low, fp8_numbers(c_high) - x_high
        return tl.sqrt(tl.sum(missed_low * missed_low, 1) + tl.sum(missed_high * missed_high, 1))
    else:
        c_low, scale_low, min_low, e_low = half_codes(x_low, BITS)
        c_high, scale_high, min_high, e_high = half_codes(x_high, BITS)
        if FORMAT == FULL:
            tl.store(p_low, x_low.to(p_vector.dtype.element_ty), mask=m_low)
            tl.store(p_low + HALF * step, x_high.to(p_vector.dtype.element_ty), mask=m_low)
        else:
            tl.store(p_meta, packed_meta(scale_low, min_low, scale_high, min_high), mask=m_head)
            if FORMAT == INT4:
                tl.store(p_low, (c_low + 16.0 * c_high).to(tl.uint8), mask=m_low)
            else:
                tl.store(p_low, c_low.to(tl.uint8), mask=m_low)
                tl.store(p_low + HALF * step, c_high.to(tl.uint8), mask=m_low)
        return tl.sqrt(e_low + e_high)


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
def stored_token(k_low, k_high, v_low, v_high, i_slot, m_head, page_keys, page_values, key_meta, value_meta,
                 page_keys_stride, page_values_stride, meta_stride, HEADS: tl.constexpr, HALF: tl.constexpr,
                 FORMAT: tl.constexpr, BITS: tl.constexpr):  # fmt: skip
    """Store all heads of a token in slots of their own; return the errors of keys and values."""
    o_head = tl.arange(0, HEADS)
    i_page, o_slot = (tl.maximum(i_slot, 0) // 32).to(tl.int64), tl.maximum(i_slot, 0) % 32
    WIDTH: tl.constexpr = HALF if FORMAT == INT4 else 2 * HALF
    p_key = page_keys + i_page * page_keys_stride + (o_head * 32 + o_slot) * WIDTH
    p_value = page_values + i_page * page_values_stride + o_head * (32 * WIDTH)
    p_key_meta = key_meta
    p_value_meta = value_meta
    if FORMAT >= INT8:
        p_key_meta = key_meta + i_page * meta_stride + o_head * 32 + o_slot
        p_value_meta = value_meta + i_page * meta_stride + o_head * 32 + o_slot
    k_error = stored_halves(p_key, p_key_meta, k_low, k_high, 1, m_head, HALF, FORMAT, BITS)
    if FORMAT == FULL:
        v_error = stored_halves(p_value + o_slot * WIDTH, p_value_meta, v_low, v_high, 1, m_head, HALF, FORMAT, BITS)
    else:
        v_error = stored_halves(p_value + o_slot, p_value_meta, v_low, v_high, 32, m_head, HALF, FORMAT, BITS)
    return k_error, v_error


@triton.jit
def stored_side(b_scores, b_friendly, b_position, i_slot, m_head, scores, friendliness, positions, side_stride,
                friendliness_stride, HEADS: tl.constexpr):  # fmt: skip
    """Store what a cache that evicts knows about all heads of a token."""
    i_page = (tl.maximum(i_slot, 0) // 32).to(tl.int64)
    o_side = tl.arange(0, HEADS) * 32 + tl.maximum(i_slot, 0) % 32
    tl.store(scores + i_page * side_stride + o_side, b_scores, mask=m_head)
    tl.store(positions + i_page * side_stride + o_side, b_position, mask=m_head)
    tl.store(friendliness + i_page * friendliness_stride + o_side, b_friendly.to(tl.float16), mask=m_head)


@triton.jit
def cache_write_kernel(
    keys,
    values,
    slots,
    positions,
    error_ranges,
    errors,
    page_keys,
    page_values,
    key_meta,
    value_meta,
    scores,
    friendliness,
    page_positions,
    num_tokens,
    keys_token_stride,
    keys_head_stride,
    values_token_stride,
    values_head_stride,
    slots_token_stride,
    slots_head_stride,
    page_keys_stride,
    page_values_stride,
    meta_stride,
    scores_stride,
    friendliness_stride,
    NUM_KV_HEADS: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    FORMAT: tl.constexpr,
    BITS: tl.constexpr,
    ROTATE: tl.constexpr,
    HAS_SIDE: tl.constexpr,
    HAS_RANGES: tl.constexpr,
):
    i_token = tl.program_id(0).to(tl.int64)
    o_head = tl.arange(0, HEADS)
    m_real = o_head < NUM_KV_HEADS
    i_slot = tl.load(slots + i_token * slots_token_stride + o_head * slots_head_stride, mask=m_real, other=-1)
    if tl.max(i_slot, 0) < 0:
        return
    m_head = i_slot >= 0
    o_dim = tl.arange(0, HALF)
    p_key = keys + i_token * keys_token_stride + (o_head * keys_head_stride)[:, None] + o_dim[None, :]
    p_value = values + i_token * values_token_stride + (o_head * values_head_stride)[:, None] + o_dim[None, :]
    k_low = tl.load(p_key, mask=m_real[:, None], other=0.0)
    k_high = tl.load(p_key + HALF, mask=m_real[:, None], other=0.0)
    v_low = tl.load(p_value, mask=m_real[:, None], other=0.0).to(tl.float32)
    v_high = tl.load(p_value + HALF, mask=m_real[:, None], other=0.0).to(tl.float32)
    if ROTATE:
        k_low, k_high = rotated_halves(k_low, k_high, HALF)
    k_low, k_high = k_low.to(tl.float32), k_high.to(tl.float32)
    k_error, v_error = stored_token(k_low, k_high, v_low, v_high, i_slot, m_head, page_keys, page_values, key_meta,
                                    value_meta, page_keys_stride, page_values_stride, meta_stride, HEADS, HALF, FORMAT,
                                    BITS)  # fmt: skip
    p_error = errors + i_token * NUM_KV_HEADS + o_head
    tl.store(p_error, k_error, mask=m_head)
    tl.store(p_error + num_tokens.to(tl.int64) * NUM_KV_HEADS, v_error, mask=m_head)
    if HAS_SIDE:
        b_friendly = friendliness_in(k_error, v_error, error_ranges, i_token, m_real, HAS_RANGES)
        b_position = tl.load(positions + i_token) + tl.zeros([HEADS], tl.int32)
        stored_side(tl.zeros([HEADS], tl.float32), b_friendly, b_position, i_slot, m_head, scores, friendliness,
                    page_positions, scores_stride, friendliness_stride, HEADS)  # fmt: skip


def launch_cache_write(
    pages: KVPages,
    keys: torch.Tensor,
    values: torch.Tensor,
    slots: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    error_ranges: torch.Tensor | None = None,
    error_bits: int = 4,
    rotate: bool = False,
) -> torch.Tensor:
    """Write the tokens by the kernel and return their errors."""
    num_tokens, num_kv_heads, head_dim = keys.shape
    expected = (num_tokens, pages.num_kv_heads, pages.head_dim)
    if keys.shape != expected or values.shape != expected or keys.stride(-1) != 1 or values.stride(-1) != 1:
        raise ValueError(f"keys and values, got {tuple(keys.shape)} and {tuple(values.shape)}, expected {expected}")
    if slots.shape not in ((num_tokens,), (num_tokens, num_kv_heads)):
        raise ValueError(f"slots, got {tuple(slots.shape)}, expected {num_tokens} or {num_tokens, num_kv_heads}")
    has_side = pages.scores is not None
    if has_side and positions is None:
        raise ValueError("positions, got none, expected them for pages with side planes")
    errors = torch.full((2, num_tokens, num_kv_heads), torch.nan, dtype=torch.float32, device=keys.device)
    if not num_tokens:
        return errors
    key_meta, value_meta = (
        meta.view(torch.int64).squeeze(-1) if meta is not None else None for meta in (pages.key_meta, pages.value_meta)
    )
    heads = triton.next_power_of_2(num_kv_heads)
    cache_write_kernel[(num_tokens,)](
        keys=keys,
        values=values,
        slots=slots,
        positions=positions,
        error_ranges=error_ranges,
        errors=errors,
        page_keys=pages.keys,
        page_values=pages.values,
        key_meta=key_meta,
        value_meta=value_meta,
        scores=pages.scores,
        friendliness=pages.friendliness,
        page_positions=pages.positions,
        num_tokens=num_tokens,
        keys_token_stride=keys.stride(0),
        keys_head_stride=keys.stride(1),
        values_token_stride=values.stride(0),
        values_head_stride=values.stride(1),
        slots_token_stride=slots.stride(0),
        slots_head_stride=slots.stride(1) if slots.ndim == 2 else 0,
        page_keys_stride=pages.keys.stride(0),
        page_values_stride=pages.values.stride(0),
        meta_stride=key_meta.stride(0) if key_meta is not None else 0,
        scores_stride=pages.scores.stride(0) if pages.scores is not None else 0,
        friendliness_stride=pages.friendliness.stride(0) if pages.friendliness is not None else 0,
        NUM_KV_HEADS=num_kv_heads,
        HEADS=max(heads, 16) if rotate else heads,
        HALF=head_dim // 2,
        FORMAT=pages.format_id,
        BITS=bits_of(pages.format, error_bits),
        ROTATE=rotate,
        HAS_SIDE=has_side,
        HAS_RANGES=error_ranges is not None,
        num_warps=4,
        # So that codes are those of the reference, to the bit.
        enable_fp_fusion=False,
    )
    return errors


def cache_write(
    pages: KVPages,
    keys: torch.Tensor,
    values: torch.Tensor,
    slots: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    error_ranges: torch.Tensor | None = None,
    error_bits: int = 4,
    rotate: bool = False,
) -> torch.Tensor:
    """Write the tokens and return their errors; see the module's semantics."""
    write = launch_cache_write if keys.is_cuda else cache_write_reference
    return write(
        pages,
        keys,
        values,
        slots,
        positions=positions,
        error_ranges=error_ranges,
        error_bits=error_bits,
        rotate=rotate,
    )
