"""Move tokens, head by head, from pages in full precision into slots of another cache, quantised on the way.

Semantics, for entry i and KV head h with min(source_slots[i, h], target_slots[i, h]) >= 0:
    target[target_slots[i, h]] = encode(source[source_slots[i, h]]);  scores and positions go along
    friendliness = 1 - (nK + nV) / 2 of the error made, within error_ranges[i // entries_per_range]
    errors[:, i, h] = || encode(x) - x || of the key and of the value

moves           `TokenMoves`: the slots, and the error_ranges that scale friendliness
source, target  `KVPages`, the source in full precision; keys are turned by the Hadamard matrix if one alone is rotated
errors          fp32 [2, num_entries, num_kv_heads], NaN where nothing moved

This is the cut at the end of prefill (sources are the tokens that each head keeps, targets the slots in order) and the
flush of a ring page (sources are its slots, targets the victims), one launch each. Without a target it measures what
quantising the sources would cost, and moves nothing.
"""

from dataclasses import replace

import torch
import triton
import triton.language as tl

from .cache_slot import (
    bits_of,
    encoded,
    friendliness_in,
    friendliness_of,
    halves_error,
    heads_block,
    stored_side,
    stored_token,
)
from .cache_write import cache_write_reference
from .hadamard import hadamard_reference
from .kv_pages import FORMATS, PAGE_SIZE, PAGE_SIZE_, KVPages, meta_words, page_stride
from .kv_quantize import rotated_halves
from .token_moves import TokenMoves
from .write_step import WriteStep


def cache_move(moves: TokenMoves, source: KVPages, target: KVPages) -> torch.Tensor:
    """Move the tokens and return their errors; see the module's semantics."""
    move = launch_cache_move if moves.source_slots.is_cuda else cache_move_reference
    return move(moves, source, target)


def cache_errors(source: KVPages, slots: torch.Tensor, format: str, *, rotate: bool = False) -> torch.Tensor:
    """Return the errors that a format would make of the tokens in slots, turned by the Hadamard matrix or not."""
    measure = launch_cache_errors if slots.is_cuda else cache_errors_reference
    return measure(source, slots, format, rotate=rotate)


def cache_move_reference(moves: TokenMoves, source: KVPages, target: KVPages) -> torch.Tensor:
    """Move the tokens and return their errors; see the module's semantics."""
    check_moves(moves, source, target)
    slots = torch.where(moves.source_slots < 0, -1, moves.target_slots)
    keys, values = tokens_at(source, moves.source_slots)
    step = WriteStep(slots=slots, positions=torch.zeros(len(slots), dtype=torch.int32, device=slots.device))
    if not len(slots):
        return torch.empty(2, *slots.shape, device=slots.device)
    errors = cache_write_reference(step, keys, values, replace(target, is_rotated=is_turned(source, target)))
    if source.scores is None or source.positions is None:
        return errors
    ranges = moves.error_ranges
    if target.scores is None or target.positions is None or target.friendliness is None or ranges is None:
        raise ValueError("target and error_ranges, got none, expected side planes as the source has, and ranges")
    i_entry, i_head = (slots >= 0).nonzero(as_tuple=True)
    into, out_of = slots.long()[i_entry, i_head], moves.source_slots.long()[i_entry, i_head]
    for plane, other in ((target.scores, source.scores), (target.positions, source.positions)):
        plane[into // PAGE_SIZE, i_head, into % PAGE_SIZE] = other[out_of // PAGE_SIZE, i_head, out_of % PAGE_SIZE]
    friendly = friendliness_of(errors, ranges.repeat_interleave(moves.entries_per_range, 0)[: len(slots)]).half()
    target.friendliness[into // PAGE_SIZE, i_head, into % PAGE_SIZE] = friendly[i_entry, i_head]
    return errors


def cache_errors_reference(source: KVPages, slots: torch.Tensor, format: str, *, rotate: bool = False) -> torch.Tensor:
    """Return the errors that a format would make of the tokens in slots [num_entries, num_kv_heads]."""
    check_source(source, slots)
    if not len(slots):
        return torch.empty(2, *slots.shape, device=slots.device)
    keys, values = (each.float() for each in tokens_at(source, slots))
    keys = hadamard_reference(keys) if rotate else keys
    errors = torch.stack([encoded(each, format, bits_of(format, 4)).error for each in (keys, values)])
    return errors.masked_fill(slots < 0, torch.nan)


def tokens_at(source: KVPages, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values in slots [num_entries, num_kv_heads] of pages in full precision; -1 reads slot 0."""
    slots = slots.long().clamp(min=0)
    heads = torch.arange(slots.shape[1], device=slots.device)
    index = (slots // PAGE_SIZE, heads, slots % PAGE_SIZE)
    return source.keys[index], source.values[index]


def is_turned(source: KVPages, target: KVPages) -> bool:
    """Return whether keys turn on their way; the Hadamard matrix undoes itself, so the way back is a turn too."""
    return source.is_rotated != target.is_rotated


@triton.jit
def loaded_halves(plane, plane_stride, i_slot, m_head, HEADS: tl.constexpr, HALF: tl.constexpr):
    """Return both halves of all heads' vectors in slots of their own."""
    o_head, o_dim = tl.arange(0, HEADS), tl.arange(0, HALF)
    i_page, o_slot = (tl.maximum(i_slot, 0) // PAGE_SIZE_).to(tl.int64), tl.maximum(i_slot, 0) % PAGE_SIZE_
    p_low = plane + (i_page * plane_stride + (o_head * PAGE_SIZE_ + o_slot) * (2 * HALF))[:, None] + o_dim[None, :]
    return tl.load(p_low, mask=m_head[:, None], other=0.0), tl.load(p_low + HALF, mask=m_head[:, None], other=0.0)


@triton.jit(do_not_specialize=["num_entries"])
def cache_move_kernel(
    errors,
    source_slots,
    target_slots,
    error_ranges,
    source_keys,
    source_values,
    source_scores,
    source_positions,
    target_keys,
    target_values,
    key_meta,
    value_meta,
    target_scores,
    target_friendliness,
    target_positions,
    num_entries,
    entries_per_range,
    source_entry_stride,
    source_head_stride,
    target_entry_stride,
    target_head_stride,
    source_stride,
    source_side_stride,
    target_keys_stride,
    target_values_stride,
    meta_stride,
    target_side_stride,
    friendliness_stride,
    NUM_KV_HEADS: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    FORMAT: tl.constexpr,
    BITS: tl.constexpr,
    ROTATE: tl.constexpr,
    HAS_TARGET: tl.constexpr,
    HAS_SIDE: tl.constexpr,
):
    i_entry = tl.program_id(0).to(tl.int64)
    o_head = tl.arange(0, HEADS)
    m_real = o_head < NUM_KV_HEADS
    p_source = source_slots + i_entry * source_entry_stride + o_head * source_head_stride
    i_source = tl.load(p_source, mask=m_real, other=-1)
    m_head = i_source >= 0
    if HAS_TARGET:
        p_target = target_slots + i_entry * target_entry_stride + o_head * target_head_stride
        i_target = tl.load(p_target, mask=m_head, other=-1)
        m_head = i_target >= 0
    if tl.max(m_head.to(tl.int32), 0) == 0:
        return
    k_low, k_high = loaded_halves(source_keys, source_stride, i_source, m_head, HEADS, HALF)
    v_low, v_high = loaded_halves(source_values, source_stride, i_source, m_head, HEADS, HALF)
    if ROTATE:
        k_low, k_high = rotated_halves(k_low, k_high, HALF)
    k_low, k_high = k_low.to(tl.float32), k_high.to(tl.float32)
    v_low, v_high = v_low.to(tl.float32), v_high.to(tl.float32)
    if HAS_TARGET:
        k_error, v_error = stored_token(k_low, k_high, v_low, v_high, i_target, m_head, target_keys, target_values,
                                        key_meta, value_meta, target_keys_stride, target_values_stride, meta_stride,
                                        HEADS, HALF, FORMAT, BITS)  # fmt: skip
    else:
        k_error = halves_error(k_low, k_high, FORMAT, BITS)
        v_error = halves_error(v_low, v_high, FORMAT, BITS)
    p_error = errors + i_entry * NUM_KV_HEADS + o_head
    tl.store(p_error, k_error, mask=m_head)
    tl.store(p_error + num_entries.to(tl.int64) * NUM_KV_HEADS, v_error, mask=m_head)
    if HAS_SIDE:
        o_source = (tl.maximum(i_source, 0) // PAGE_SIZE_).to(tl.int64) * source_side_stride
        o_source += o_head * PAGE_SIZE_ + tl.maximum(i_source, 0) % PAGE_SIZE_
        b_scores = tl.load(source_scores + o_source, mask=m_head, other=0.0)
        b_position = tl.load(source_positions + o_source, mask=m_head, other=0)
        b_friendly = friendliness_in(k_error, v_error, error_ranges, i_entry // entries_per_range, m_head, True)
        stored_side(b_scores, b_friendly, b_position, i_target, m_head, target_scores, target_friendliness,
                    target_positions, target_side_stride, friendliness_stride, HEADS)  # fmt: skip


def launch_cache_move(moves: TokenMoves, source: KVPages, target: KVPages) -> torch.Tensor:
    """Move the tokens by the kernel and return their errors."""
    check_moves(moves, source, target)
    rotate = is_turned(source, target)
    return launch(source, moves.source_slots, target.format, rotate=rotate, moves=moves, target=target)


def launch_cache_errors(source: KVPages, slots: torch.Tensor, format: str, *, rotate: bool = False) -> torch.Tensor:
    """Return by the kernel the errors that a format would make of the tokens in slots."""
    return launch(source, slots, format, rotate=rotate)


def launch(
    source: KVPages,
    slots: torch.Tensor,
    format: str,
    *,
    rotate: bool,
    moves: TokenMoves | None = None,
    target: KVPages | None = None,
) -> torch.Tensor:
    """Start the kernel, with a target or without; return the errors."""
    check_source(source, slots)
    num_entries, num_kv_heads = slots.shape
    errors = torch.full((2, num_entries, num_kv_heads), torch.nan, dtype=torch.float32, device=slots.device)
    into = target.planes() if target is not None else {}
    key_meta, value_meta = meta_words(into.get("key_meta")), meta_words(into.get("value_meta"))
    target_slots = moves.target_slots if moves is not None else None
    has_side = target is not None and source.scores is not None
    if num_entries:
        cache_move_kernel[(num_entries,)](
            errors=errors,
            source_slots=slots,
            target_slots=target_slots,
            error_ranges=moves.error_ranges if moves is not None else None,
            source_keys=source.keys,
            source_values=source.values,
            source_scores=source.scores if has_side else None,
            source_positions=source.positions if has_side else None,
            target_keys=into.get("keys"),
            target_values=into.get("values"),
            key_meta=key_meta,
            value_meta=value_meta,
            target_scores=into.get("scores"),
            target_friendliness=into.get("friendliness"),
            target_positions=into.get("positions"),
            num_entries=num_entries,
            entries_per_range=moves.entries_per_range if moves is not None else 1,
            source_entry_stride=slots.stride(0),
            source_head_stride=slots.stride(1),
            target_entry_stride=target_slots.stride(0) if target_slots is not None else 0,
            target_head_stride=target_slots.stride(1) if target_slots is not None else 0,
            source_stride=page_stride(source.keys),
            source_side_stride=page_stride(source.scores if has_side else None),
            target_keys_stride=page_stride(into.get("keys")),
            target_values_stride=page_stride(into.get("values")),
            meta_stride=page_stride(key_meta),
            target_side_stride=page_stride(into.get("scores")),
            friendliness_stride=page_stride(into.get("friendliness")),
            NUM_KV_HEADS=num_kv_heads,
            HEADS=heads_block(num_kv_heads, rotate=rotate),
            HALF=source.head_dim // 2,
            FORMAT=FORMATS.index(format),
            BITS=bits_of(format, 4),
            ROTATE=rotate,
            HAS_TARGET=target is not None,
            HAS_SIDE=has_side,
            num_warps=4,
            # So that codes are those of the reference, to the bit.
            enable_fp_fusion=False,
        )
    return errors


def check_moves(moves: TokenMoves, source: KVPages, target: KVPages) -> None:
    """Raise ValueError where moves and both caches do not fit each other."""
    check_source(source, moves.source_slots)
    if (target.num_kv_heads, target.head_dim) != (source.num_kv_heads, source.head_dim):
        raise ValueError(
            f"target, got {target.num_kv_heads} heads of {target.head_dim}, expected"
            f" {source.num_kv_heads} of {source.head_dim}"
        )
    if source.scores is not None and (target.scores is None or moves.error_ranges is None):
        raise ValueError("target and error_ranges, got none, expected side planes as the source has, and ranges")


def check_source(source: KVPages, slots: torch.Tensor) -> None:
    """Raise ValueError for what cannot be read from these slots."""
    if source.format != "full":
        raise ValueError(f"source, got {source.format}, expected full: nothing is quantised twice")
    if slots.ndim != 2 or slots.shape[1] != source.num_kv_heads:
        raise ValueError(f"slots, got {tuple(slots.shape)}, expected [num_entries, {source.num_kv_heads}]")
