"""Prepare a step's heads for attention over a paged cache, in one launch: norms, rotation, and what the cache keeps.

Semantics, of the slices q, k, v of a fused projection:
    q, k = rms_norm(q, query_norm), rms_norm(k, key_norm)    where the model has norms of heads (Qwen3)
    q, k = rope(q, k, positions, table)
    pages[slots] = encode(k), encode(v)
    query, keys = q, k    with zeros behind head_dim, up to that of the pages

step      `WriteStep`: a slot of -1 writes nothing into the pages
rotation  `Rotation`: a position of -1 turns nothing
qkv       [num_tokens, num_heads + 2 * num_kv_heads, head_dim]; heads contiguous, other strides free; it stays as it is
pages     `KVPages` in any format, without side planes, since no error is measured; their head_dim may be wider
norms     `HeadNorms` of the layer
query     [num_tokens, num_heads, head_dim of the pages], contiguous; not turned by the Hadamard matrix, whatever the
          pages are, as the tokens of a chunk meet each other before their keys are turned by it
keys      [num_tokens, num_kv_heads, head_dim of the pages], contiguous, for attention within chunks

The bits are those of `rms_norm`, `rope` and `cache_write` one after the other: each rounds to the type of the heads,
so the kernel does where they do, and no multiplication is fused with an addition in any of them.
"""

import torch
import triton
import triton.language as tl
from torch.nn.functional import pad

from ..cache.cache_slot import bits_of, stored_heads
from ..cache.cache_write import cache_write
from ..cache.kv_pages import KVPages, meta_words, page_stride
from ..cache.kv_quantize import rotated_halves
from ..cache.write_step import WriteStep
from .rms_norm import normal_scale
from .rotation import HeadNorms, Rotation, turn_heads


def rope_write(
    step: WriteStep, rotation: Rotation, qkv: torch.Tensor, pages: KVPages, *, norms: HeadNorms | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return queries and keys as attention takes them, and write the cache; see the module's semantics."""
    write = launch_rope_write if qkv.is_cuda else rope_write_reference
    return write(step, rotation, qkv, pages, norms=norms)


def rope_write_reference(
    step: WriteStep, rotation: Rotation, qkv: torch.Tensor, pages: KVPages, *, norms: HeadNorms | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same by the calls that the kernel replaces, which on a CPU are references."""
    check(step, rotation, qkv, pages, norms)
    turned = turn_heads(rotation, qkv.clone(), pages.num_kv_heads, norms)
    query, keys, values = (pad(heads, (0, pages.head_dim - qkv.shape[2])) for heads in turned)
    cache_write(step, keys, values, pages)
    return query.contiguous(), keys.contiguous()


# Numbers that a program holds of queries or keys.
TILE = 1024
# The least rows of a product of tensor cores, such as the rotation by the Hadamard matrix is.
PRODUCT_ROWS = 16


@triton.jit
def normal_dims(p_heads, weight, b_scale, m_head, o_dim, m_dim, HAS_NORM: tl.constexpr):
    """Return dims of heads, normalised and rounded as `rms_norm` rounds them."""
    b_x = tl.load(p_heads[:, None] + o_dim[None, :], mask=m_head[:, None] & m_dim[None, :], other=0.0)
    if HAS_NORM:
        b_normal = (b_x.to(tl.float32) * b_scale[:, None]).to(b_x.dtype).to(tl.float32)
        b_weight = tl.load(weight + o_dim, mask=m_dim, other=0.0).to(tl.float32)
        b_x = (b_normal * b_weight[None, :]).to(b_x.dtype)
    return b_x


@triton.jit
def turned_dims(p_heads, weight, b_scale, p_angle, is_live, m_head, o_dim, DIM: tl.constexpr, HALF: tl.constexpr,
                HAS_NORM: tl.constexpr):  # fmt: skip
    """Return dims of heads, normalised and rotated; zeros behind DIM."""
    is_first, m_turned = o_dim < HALF, o_dim < 2 * HALF
    b_x = normal_dims(p_heads, weight, b_scale, m_head, o_dim, o_dim < DIM, HAS_NORM)
    # The other dim of each pair.
    o_other = tl.where(is_first, o_dim + HALF, o_dim - HALF)
    b_other = normal_dims(p_heads, weight, b_scale, m_head, o_other, m_turned, HAS_NORM)
    o_angle = tl.where(is_first, o_dim, o_dim - HALF)
    b_cos = tl.load(p_angle + o_angle, mask=m_turned, other=0.0)
    b_sin = tl.load(p_angle + HALF + o_angle, mask=m_turned, other=0.0)
    b_sin = tl.where(is_first, -b_sin, b_sin)
    b_turned = b_x.to(tl.float32) * b_cos[None, :] + b_other.to(tl.float32) * b_sin[None, :]
    return tl.where((m_turned & is_live)[None, :], b_turned.to(b_x.dtype), b_x)


@triton.jit
def turned_halves(p_heads, weight, p_angle, is_live, m_head, eps, DIM: tl.constexpr, HALF: tl.constexpr,
                  PAGE_HALF: tl.constexpr, HAS_NORM: tl.constexpr):  # fmt: skip
    """Return both halves of heads that are as wide as a page's."""
    b_scale = eps
    if HAS_NORM:
        o_dim = tl.arange(0, 2 * PAGE_HALF)
        m_tile = m_head[:, None] & (o_dim < DIM)[None, :]
        b_wide = tl.load(p_heads[:, None] + o_dim[None, :], mask=m_tile, other=0.0).to(tl.float32)
        b_scale = normal_scale(b_wide, eps, DIM)
    o_low = tl.arange(0, PAGE_HALF)
    low = turned_dims(p_heads, weight, b_scale, p_angle, is_live, m_head, o_low, DIM, HALF, HAS_NORM)
    high = turned_dims(p_heads, weight, b_scale, p_angle, is_live, m_head, PAGE_HALF + o_low, DIM, HALF, HAS_NORM)
    return low, high


@triton.jit(do_not_specialize=["slots_token_stride", "slots_head_stride"])
def rope_write_kernel(
    query,
    new_keys,
    qkv,
    query_norm,
    key_norm,
    positions,
    table,
    slots,
    page_keys,
    page_values,
    key_meta,
    value_meta,
    token_stride,
    head_stride,
    slots_token_stride,
    slots_head_stride,
    page_keys_stride,
    page_values_stride,
    meta_stride,
    eps,
    NUM_HEADS: tl.constexpr,
    NUM_KV_HEADS: tl.constexpr,
    DIM: tl.constexpr,
    HALF: tl.constexpr,
    PAGE_HALF: tl.constexpr,
    FORMAT: tl.constexpr,
    BITS: tl.constexpr,
    ROTATE: tl.constexpr,
    HAS_NORMS: tl.constexpr,
    HEADS: tl.constexpr,
):
    i_token, i_block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    QUERY_BLOCKS: tl.constexpr = (NUM_HEADS + HEADS - 1) // HEADS
    KEY_BLOCKS: tl.constexpr = (NUM_KV_HEADS + HEADS - 1) // HEADS
    p_token = qkv + i_token * token_stride
    position = tl.load(positions + i_token).to(tl.int64)
    p_angle = table + tl.maximum(position, 0) * (2 * HALF)
    o_low = tl.arange(0, PAGE_HALF)
    if i_block < QUERY_BLOCKS:
        o_head = i_block * HEADS + tl.arange(0, HEADS)
        m_head = o_head < NUM_HEADS
        low, high = turned_halves(p_token + o_head * head_stride, query_norm, p_angle, position >= 0, m_head, eps, DIM,
                                  HALF, PAGE_HALF, HAS_NORMS)  # fmt: skip
        p_query = query + (i_token * NUM_HEADS + o_head)[:, None] * (2 * PAGE_HALF) + o_low[None, :]
        tl.store(p_query, low, mask=m_head[:, None])
        tl.store(p_query + PAGE_HALF, high, mask=m_head[:, None])
        return
    i_block -= QUERY_BLOCKS
    is_key = i_block < KEY_BLOCKS
    o_head = (i_block - tl.where(is_key, 0, KEY_BLOCKS)) * HEADS + tl.arange(0, HEADS)
    m_head = o_head < NUM_KV_HEADS
    p_slot = slots + i_token * slots_token_stride + o_head * slots_head_stride
    i_slot = tl.load(p_slot, mask=m_head, other=-1)
    if is_key:
        k_low, k_high = turned_halves(p_token + (NUM_HEADS + o_head) * head_stride, key_norm, p_angle, position >= 0,
                                      m_head, eps, DIM, HALF, PAGE_HALF, HAS_NORMS)  # fmt: skip
        p_key = new_keys + (i_token * NUM_KV_HEADS + o_head)[:, None] * (2 * PAGE_HALF) + o_low[None, :]
        tl.store(p_key, k_low, mask=m_head[:, None])
        tl.store(p_key + PAGE_HALF, k_high, mask=m_head[:, None])
        if ROTATE:
            k_low, k_high = rotated_halves(k_low, k_high, PAGE_HALF)
        stored_heads(k_low.to(tl.float32), k_high.to(tl.float32), o_head, i_slot, i_slot >= 0, page_keys, key_meta,
                     page_keys_stride, meta_stride, PAGE_HALF, FORMAT, BITS, False)  # fmt: skip
    else:
        p_value = p_token + ((NUM_HEADS + NUM_KV_HEADS + o_head) * head_stride)[:, None] + o_low[None, :]
        m_low, m_high = (o_low < DIM)[None, :], (PAGE_HALF + o_low < DIM)[None, :]
        v_low = tl.load(p_value, mask=m_head[:, None] & m_low, other=0.0).to(tl.float32)
        v_high = tl.load(p_value + PAGE_HALF, mask=m_head[:, None] & m_high, other=0.0).to(tl.float32)
        stored_heads(v_low, v_high, o_head, i_slot, i_slot >= 0, page_values, value_meta, page_values_stride,
                     meta_stride, PAGE_HALF, FORMAT, BITS, True)  # fmt: skip


def launch_rope_write(
    step: WriteStep, rotation: Rotation, qkv: torch.Tensor, pages: KVPages, *, norms: HeadNorms | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return queries and keys by the kernel, and write the cache."""
    check(step, rotation, qkv, pages, norms)
    num_tokens, num_kv_heads, slots = len(qkv), pages.num_kv_heads, step.slots
    num_heads = qkv.shape[1] - 2 * num_kv_heads
    query, keys = (
        torch.empty(num_tokens, number, pages.head_dim, dtype=qkv.dtype, device=qkv.device)
        for number in (num_heads, num_kv_heads)
    )
    if not num_tokens:
        return query, keys
    key_meta, value_meta = meta_words(pages.key_meta), meta_words(pages.value_meta)
    heads = max(TILE // pages.head_dim, PRODUCT_ROWS if pages.is_rotated else 1)
    num_blocks = triton.cdiv(num_heads, heads) + 2 * triton.cdiv(num_kv_heads, heads)
    rope_write_kernel[(num_tokens, num_blocks)](
        query=query,
        new_keys=keys,
        qkv=qkv,
        query_norm=norms.query if norms else None,
        key_norm=norms.key if norms else None,
        positions=rotation.positions,
        table=rotation.table,
        slots=slots,
        page_keys=pages.keys,
        page_values=pages.values,
        key_meta=key_meta,
        value_meta=value_meta,
        token_stride=qkv.stride(0),
        head_stride=qkv.stride(1),
        slots_token_stride=slots.stride(0),
        slots_head_stride=slots.stride(1) if slots.ndim == 2 else 0,
        page_keys_stride=page_stride(pages.keys),
        page_values_stride=page_stride(pages.values),
        meta_stride=page_stride(key_meta),
        eps=norms.eps if norms else 0.0,
        NUM_HEADS=num_heads,
        NUM_KV_HEADS=num_kv_heads,
        DIM=qkv.shape[2],
        HALF=rotation.half,
        PAGE_HALF=pages.head_dim // 2,
        FORMAT=pages.format_id,
        BITS=bits_of(pages.format, step.error_bits),
        ROTATE=pages.is_rotated,
        HAS_NORMS=norms is not None,
        HEADS=heads,
        num_warps=4,
        # So that the bits are those of the separate launches.
        enable_fp_fusion=False,
    )
    return query, keys


def check(step: WriteStep, rotation: Rotation, qkv: torch.Tensor, pages: KVPages, norms: HeadNorms | None) -> None:
    """Raise ValueError where heads, step, pages and norms do not fit each other."""
    num_tokens, num_kv_heads = step.num_tokens, pages.num_kv_heads
    is_fitting = qkv.ndim == 3 and len(qkv) == num_tokens and qkv.shape[1] > 2 * num_kv_heads
    if not is_fitting or not 2 * rotation.half <= qkv.shape[2] <= pages.head_dim or qkv.stride(2) != 1:
        raise ValueError(
            f"qkv, got {tuple(qkv.shape)} with strides {qkv.stride()}, expected [{num_tokens}, more than"
            f" {2 * num_kv_heads}, {2 * rotation.half} to {pages.head_dim}] with contiguous heads"
        )
    if rotation.positions.shape != (num_tokens,):
        raise ValueError(f"positions, got {tuple(rotation.positions.shape)}, expected [{num_tokens}] as the slots")
    if step.slots.ndim == 2 and step.slots.shape[1] != num_kv_heads:
        raise ValueError(f"slots, got {tuple(step.slots.shape)}, expected {num_tokens} or {num_tokens, num_kv_heads}")
    if pages.scores is not None:
        raise ValueError("pages, got side planes, expected none: no error is measured here")
    if pages.format == "full" and pages.keys.dtype != qkv.dtype:
        raise ValueError(f"pages, got {pages.keys.dtype}, expected {qkv.dtype} as the heads")
    if norms is not None and (norms.query.shape != qkv.shape[2:] or norms.query.dtype != qkv.dtype):
        raise ValueError(
            f"head norms, got {norms.query.dtype} {tuple(norms.query.shape)}, expected {qkv.dtype} [{qkv.shape[2]}]"
        )
