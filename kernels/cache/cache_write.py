"""Write the keys and values of new tokens into slots of a paged cache, in any of its formats.

Semantics, for token t and KV head h with slots[t, h] >= 0:
    pages[slots[t, h]] = encode(keys[t, h]), encode(values[t, h]);  scores = 0;  positions = positions[t]
    errors[:, t, h] = || encode(x) - x || of the key and of the value, at `error_bits` where full precision is kept
    friendliness = 1 - (nK + nV) / 2,  n = clamp((error - lowest) / (highest - lowest), 0, 1)

step          `WriteStep`: slots and positions
keys, values  [num_tokens, num_kv_heads, head_dim], last dim contiguous: after RoPE, or before it for streaming
pages         `KVPages`
error_ranges  fp32 [num_tokens, 4]: lowest and highest error of keys, of values, as measured over the token's prompt;
              without them the range is that of the token's own heads (Q-Hitter's published rule for decoding)
errors        fp32 [2, num_tokens, num_kv_heads], NaN where nothing was written

Keys for pages that are rotated are turned by the Hadamard matrix before they are quantised. One program writes all
heads of a token, prefill and decode alike, so a token's bits do not depend on its batch.
"""

import torch
import triton
import triton.language as tl

from .cache_slot import (
    bits_of,
    encoded,
    friendliness_in,
    friendliness_of,
    heads_block,
    stored_side,
    stored_token,
)
from .hadamard import hadamard_reference
from .kv_pages import PAGE_SIZE, KVPages, meta_words, page_stride
from .kv_quantize import rotated_halves
from .write_step import WriteStep


def cache_write(
    step: WriteStep,
    keys: torch.Tensor,
    values: torch.Tensor,
    pages: KVPages,
    *,
    error_ranges: torch.Tensor | None = None,
) -> torch.Tensor:
    """Write the tokens and return their errors; see the module's semantics."""
    write = launch_cache_write if keys.is_cuda else cache_write_reference
    return write(step, keys, values, pages, error_ranges=error_ranges)


def cache_write_reference(
    step: WriteStep,
    keys: torch.Tensor,
    values: torch.Tensor,
    pages: KVPages,
    *,
    error_ranges: torch.Tensor | None = None,
) -> torch.Tensor:
    """Write the tokens and return their errors; see the module's semantics."""
    check(step, keys, values, pages, error_ranges)
    num_tokens, num_kv_heads, _ = keys.shape
    if not num_tokens:
        return torch.empty(2, 0, num_kv_heads, device=keys.device)
    bits = bits_of(pages.format, step.error_bits)
    slots = (step.slots if step.slots.ndim == 2 else step.slots[:, None]).expand(num_tokens, num_kv_heads).long()
    stored = hadamard_reference(keys) if pages.is_rotated and pages.format == "full" else keys
    judged = hadamard_reference(keys.float()) if pages.is_rotated else keys
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
        if step.positions is None:
            raise ValueError("positions, got none, expected them for pages with side planes")
        pages.scores[i_page, i_head, i_slot] = 0.0
        pages.friendliness[i_page, i_head, i_slot] = friendliness_of(errors, error_ranges).half()[i_token, i_head]
        pages.positions[i_page, i_head, i_slot] = step.positions[i_token]
    return errors.masked_fill(slots < 0, torch.nan)


@triton.jit(do_not_specialize=["num_tokens"])
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
    step: WriteStep,
    keys: torch.Tensor,
    values: torch.Tensor,
    pages: KVPages,
    *,
    error_ranges: torch.Tensor | None = None,
) -> torch.Tensor:
    """Write the tokens by the kernel and return their errors."""
    slots, num_tokens, num_kv_heads, head_dim = step.slots, step.num_tokens, pages.num_kv_heads, pages.head_dim
    check(step, keys, values, pages, error_ranges)
    has_side = pages.scores is not None
    errors = torch.full((2, num_tokens, num_kv_heads), torch.nan, dtype=torch.float32, device=keys.device)
    if not num_tokens:
        return errors
    key_meta, value_meta = meta_words(pages.key_meta), meta_words(pages.value_meta)
    cache_write_kernel[(num_tokens,)](
        keys=keys,
        values=values,
        slots=slots,
        positions=step.positions,
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
        page_keys_stride=page_stride(pages.keys),
        page_values_stride=page_stride(pages.values),
        meta_stride=page_stride(key_meta),
        scores_stride=page_stride(pages.scores),
        friendliness_stride=page_stride(pages.friendliness),
        NUM_KV_HEADS=num_kv_heads,
        HEADS=heads_block(num_kv_heads, rotate=pages.is_rotated),
        HALF=head_dim // 2,
        FORMAT=pages.format_id,
        BITS=bits_of(pages.format, step.error_bits),
        ROTATE=pages.is_rotated,
        HAS_SIDE=has_side,
        HAS_RANGES=error_ranges is not None,
        num_warps=4,
        # So that codes are those of the reference, to the bit.
        enable_fp_fusion=False,
    )
    return errors


def check(
    step: WriteStep, keys: torch.Tensor, values: torch.Tensor, pages: KVPages, error_ranges: torch.Tensor | None
) -> None:
    """Raise ValueError where tokens, slots and pages do not fit each other."""
    slots, num_tokens, num_kv_heads = step.slots, step.num_tokens, pages.num_kv_heads
    expected = (num_tokens, num_kv_heads, pages.head_dim)
    if keys.shape != expected or values.shape != expected or keys.stride(-1) != 1 or values.stride(-1) != 1:
        raise ValueError(f"keys and values, got {tuple(keys.shape)} and {tuple(values.shape)}, expected {expected}")
    if slots.ndim == 2 and slots.shape[1] != num_kv_heads:
        raise ValueError(f"slots, got {tuple(slots.shape)}, expected {num_tokens} or {num_tokens, num_kv_heads}")
    if pages.scores is not None and step.positions is None:
        raise ValueError("positions, got none, expected them for pages with side planes")
    if error_ranges is not None and (error_ranges.shape != (num_tokens, 4) or not error_ranges.is_contiguous()):
        raise ValueError(f"error_ranges, got {tuple(error_ranges.shape)}, expected contiguous [{num_tokens}, 4]")
