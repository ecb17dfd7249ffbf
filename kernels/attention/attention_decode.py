"""Attention of one new token a row over its paged cache, in every format of `kv_pages`, for grouped queries.

Semantics, for row b, KV head h and each query head of its group:
    s = scale * keys[b, h] @ q;  p = softmax(s);  out = p @ values[b, h];  lse = log(sum(exp(s)))
    scores[b, h] += mean of p over the group, if the pages have scores and `has_scores`
over slots max(0, lens[b] - window) .. lens[b] of the cache and the first ring_lens[b] slots of the row's ring, a page
in full precision for the newest tokens of a quantised cache.

step   `DecodeStep`: table, lens, ring_table, ring_lens, scale, window, has_scores, split_len
q      [num_rows, num_kv_heads * group, head_dim], contiguous, rotated as the keys are (RoPE, Hadamard)
cache  `LayerCache`: pages, ring, ranks by which keys that were stored before RoPE are turned here
out    as q, perhaps the decode rows of a mixed step's output; rows that attend to nothing (padding) are not written
lse    fp32 [num_rows, num_kv_heads * group], natural, neither

A row is cut into splits of a fixed length, so its bits depend on its own length alone, and the splits are combined in
order (Dao et al., Flash-Decoding). Codes go to the tensor cores as they are: with codes c of half g of slot j,
    s_j = sum_g scale_jg (q_g . c_jg) + min_jg sum(q_g);    out_g = sum_j (p_j scale_jg) c_jg + sum_j p_j min_jg
A word holds codes of even and odd dims of a key, of even and odd slots of a value; see `code_operands`.

Scores follow from p_j = exp(s_j - lse) once lse is known: each tile exports exp(s - max) and its max, which a second
kernel rescales. Nothing is added atomically.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ..cache.kv_pages import (
    FP8,
    FULL,
    INT4,
    INT8,
    PAGE_PAIRS,
    PAGE_SIZE,
    PAGE_SIZE_,
    KVFormat,
    code_words,
    meta_words,
    operand_type,
    page_stride,
    read_pages,
)
from ..cache.kv_quantize import FP8_UNIT, MAX_CODE_DIM, unpacked_meta
from .cache_ranks import rotated, turned
from .code_operands import CODE_UNIT, HIGH_CODE_UNIT, code_planes
from .decode_step import DecodeStep
from .layer_cache import LayerCache
from .online_softmax import LN_2, LOG2_E, safe
from .score_export import SCORE_SLOTS, SCORE_WARPS, add_scores, export, score_kernel
from .split_combine import attention_combine_kernel


def attention_decode(
    step: DecodeStep, q: torch.Tensor, cache: LayerCache, *, out: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attended values and the log-sum-exp; see the module's semantics."""
    if q.is_cuda:
        return launch_attention_decode(step, q, cache, out=out)
    checked_config(step, cache, None)
    found, lse = attention_decode_reference(step, q, cache)
    return (found if out is None else checked_out(out, q).copy_(found)), lse


def attention_decode_reference(
    step: DecodeStep, q: torch.Tensor, cache: LayerCache
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attended values and the log-sum-exp; see the module's semantics. Rows of padding come out as zeros."""
    check(step, q, cache)
    pages, table, lens = cache.pages, step.table, step.lens
    if not step.num_rows:
        return torch.empty_like(q), torch.empty(q.shape[:2], device=q.device)
    keys, values = read_pages(pages, table)
    if cache.ranks is not None:
        keys = rotated(keys, cache.ranks, table)
    o_slot = torch.arange(keys.shape[2], device=q.device)
    is_live = o_slot < lens[:, None]
    if step.window:
        is_live &= o_slot >= lens[:, None] - step.window
    is_live = is_live[:, None].expand(-1, pages.num_kv_heads, -1)
    if cache.ring is not None and step.ring_table is not None and step.ring_lens is not None:
        more = read_pages(cache.ring, step.ring_table[:, None])
        keys, values = torch.cat([keys, more[0]], 2), torch.cat([values, more[1]], 2)
        in_ring = (torch.arange(PAGE_SIZE, device=q.device) < step.ring_lens[:, None])[:, None]
        is_live = torch.cat([is_live, in_ring.expand(-1, pages.num_kv_heads, -1)], 2)
    grouped = q.float().reshape(q.shape[0], pages.num_kv_heads, -1, q.shape[-1])
    logits = torch.einsum("bhgd,bhsd->bhgs", grouped, keys) * step.scale
    logits = logits.masked_fill(~is_live[:, :, None], -torch.inf)
    lse = torch.logsumexp(logits, -1)
    weights = torch.exp(logits - lse.masked_fill(lse == -torch.inf, 0.0)[..., None])
    out = torch.einsum("bhgs,bhsd->bhgd", weights, values.masked_fill(~is_live[..., None], 0.0))
    if step.has_scores:
        paged, means = slice(0, o_slot.shape[0]), weights.mean(2)
        add_scores(pages, table, means[..., paged], is_live[..., paged])
        if cache.ring is not None and step.ring_table is not None:
            add_scores(cache.ring, step.ring_table[:, None], means[..., paged.stop :], is_live[..., paged.stop :])
    return out.flatten(1, 2).to(q.dtype), lse.flatten(1, 2)


@triton.jit
def coded_logits(p_keys, p_meta, m_slot, q_low_0, q_low_1, q_high_0, q_high_1, sum_low, sum_high, scale,
                 HALF: tl.constexpr, FORMAT: tl.constexpr, COMPUTE: tl.constexpr, PACKED: tl.constexpr,
                 UNIT_LOW: tl.constexpr, UNIT_HIGH: tl.constexpr):  # fmt: skip
    """Return the scaled logits [num_slots, num_queries] of keys kept as codes."""
    k_low_0, k_low_1, k_high_0, k_high_1 = code_planes(p_keys, p_keys + HALF // 2, FORMAT, COMPUTE, PACKED)
    b_s = tl.dot(k_low_0, q_low_0, input_precision="ieee")
    b_s = tl.dot(k_low_1, q_low_1, b_s, input_precision="ieee")
    if FORMAT == FP8:
        b_s = tl.dot(k_high_0, q_high_0, b_s, input_precision="ieee")
        b_s = tl.dot(k_high_1, q_high_1, b_s, input_precision="ieee") * (scale * UNIT_LOW)
    else:
        b_t = tl.dot(k_high_0, q_high_0, input_precision="ieee")
        b_t = tl.dot(k_high_1, q_high_1, b_t, input_precision="ieee")
        scale_low, min_low, scale_high, min_high = unpacked_meta(tl.load(p_meta, mask=m_slot, other=0))
        b_s = b_s * (scale_low * (scale * UNIT_LOW))[:, None] + min_low[:, None] * sum_low[None, :]
        b_s += b_t * (scale_high * (scale * UNIT_HIGH))[:, None] + min_high[:, None] * sum_high[None, :]
    return tl.where(m_slot[:, None], b_s, float("-inf"))


@triton.jit
def attention_decode_kernel(
    out,
    lse,
    exported,
    exported_max,
    q,
    keys,
    values,
    key_meta,
    value_meta,
    table,
    lens,
    ring_keys,
    ring_values,
    ring_table,
    ring_lens,
    ranks,
    cos_sin,
    keys_stride,
    values_stride,
    meta_stride,
    ring_stride,
    ranks_stride,
    table_stride,
    scale,
    window,
    num_tiles,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    QUERIES: tl.constexpr,
    HALF: tl.constexpr,
    FORMAT: tl.constexpr,
    COMPUTE: tl.constexpr,
    PACKED: tl.constexpr,
    IS_SINGLE: tl.constexpr,
    HAS_RING: tl.constexpr,
    HAS_RANKS: tl.constexpr,
    HAS_SCORES: tl.constexpr,
    SPLIT_LEN: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
):
    i_split, i_head, i_row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    length = tl.load(lens + i_row)
    begin = tl.where(window > 0, tl.maximum(length - window, 0), 0)
    start = i_split * SPLIT_LEN
    end = tl.minimum(start + SPLIT_LEN, length)
    start = tl.maximum(start, begin // BLOCK * BLOCK)
    ring_len = 0
    if HAS_RING:
        ring_len = tl.load(ring_lens + i_row, mask=i_split == 0, other=0)
    if (start >= end) & (ring_len <= 0):
        return
    # A row of codes or numbers, and a half of it, in the units that are loaded: 16-bit words of codes, or numbers.
    WIDTH: tl.constexpr = 2 * HALF if FORMAT == FULL else (HALF // 2 if FORMAT == INT4 else HALF)
    WORDS: tl.constexpr = HALF if FORMAT == FULL else HALF // 2
    # What operands that are the bits of codes are multiplied by; see `code_operands`.
    UNIT_LOW: tl.constexpr = 1.0 if FORMAT == FULL else (FP8_UNIT if FORMAT == FP8 else CODE_UNIT)
    UNIT_HIGH: tl.constexpr = HIGH_CODE_UNIT if FORMAT == INT4 else UNIT_LOW
    # Blocks of slots or dims by queries: the queries of a group are the narrow side of every product.
    o_group = tl.arange(0, QUERIES)
    m_group = (o_group < GROUP)[None, :]
    o_dim = tl.arange(0, HALF)
    o_word = tl.arange(0, WORDS)
    i_query = (i_row * NUM_KV_HEADS + i_head) * GROUP
    i_tiles = (i_row * NUM_KV_HEADS + i_head) * (num_tiles + 1)
    p_q = q + ((i_query + o_group) * (2 * HALF))[None, :]
    b_max = tl.full([QUERIES], float("-inf"), tl.float32)
    b_sum = tl.zeros([QUERIES], tl.float32)
    b_low = tl.zeros([HALF, QUERIES], tl.float32)
    b_high = tl.zeros([HALF, QUERIES], tl.float32)
    # Summed over slots once, at the end: until then each place of a tile has a sum of its own, and warps need not meet.
    PLACES: tl.constexpr = BLOCK if FORMAT == FULL else BLOCK // 2
    place_sums = tl.zeros([PLACES, QUERIES], tl.float32)
    place_min_low = tl.zeros([PLACES, QUERIES], tl.float32)
    place_min_high = tl.zeros([PLACES, QUERIES], tl.float32)
    if HAS_RING:  # noqa: SIM102 (a constant, then a value)
        if ring_len > 0:
            ring_type = ring_keys.dtype.element_ty
            q_low = tl.load(p_q + o_dim[:, None], mask=m_group, other=0.0).to(ring_type)
            q_high = tl.load(p_q + HALF + o_dim[:, None], mask=m_group, other=0.0).to(ring_type)
            o_slot = tl.arange(0, PAGE_SIZE_)
            m_slot = (o_slot < ring_len)[:, None]
            o_ring = tl.load(ring_table + i_row).to(tl.int64) * ring_stride + i_head * (PAGE_SIZE_ * 2 * HALF)
            o_ring = (o_ring + o_slot * (2 * HALF))[:, None] + o_dim[None, :]
            k_low = tl.load(ring_keys + o_ring, mask=m_slot, other=0.0)
            k_high = tl.load(ring_keys + HALF + o_ring, mask=m_slot, other=0.0)
            b_s = tl.dot(k_low, q_low, input_precision="ieee")
            b_s = tl.dot(k_high, q_high, b_s, input_precision="ieee") * scale
            b_s = tl.where(m_slot, b_s, float("-inf"))
            b_max = tl.max(b_s, 0)
            b_p = tl.exp2(b_s - b_max[None, :])
            b_sum = tl.sum(b_p, 0)
            if HAS_SCORES:
                i_tile = i_tiles + num_tiles
                export(exported + i_tile * (BLOCK * GROUP), b_p, GROUP, QUERIES, PAGE_SIZE_)
                tl.store(exported_max + i_tile * GROUP + o_group, b_max, mask=o_group < GROUP)
            v_low = tl.load(ring_values + o_ring, mask=m_slot, other=0.0)
            v_high = tl.load(ring_values + HALF + o_ring, mask=m_slot, other=0.0)
            b_low = tl.dot(tl.trans(v_low), b_p.to(ring_type), input_precision="ieee") * (1.0 / UNIT_LOW)
            b_high = tl.dot(tl.trans(v_high), b_p.to(ring_type), input_precision="ieee") * (1.0 / UNIT_HIGH)
    if FORMAT == FULL:
        q_low = tl.load(p_q + o_dim[:, None], mask=m_group, other=0.0).to(COMPUTE)
        q_high = tl.load(p_q + HALF + o_dim[:, None], mask=m_group, other=0.0).to(COMPUTE)
    else:
        p_q = p_q + 2 * o_word[:, None]
        q_low_0 = tl.load(p_q, mask=m_group, other=0.0).to(COMPUTE)
        q_low_1 = tl.load(p_q + 1, mask=m_group, other=0.0).to(COMPUTE)
        q_high_0 = tl.load(p_q + HALF, mask=m_group, other=0.0).to(COMPUTE)
        q_high_1 = tl.load(p_q + HALF + 1, mask=m_group, other=0.0).to(COMPUTE)
        sum_low = tl.sum(q_low_0.to(tl.float32) + q_low_1.to(tl.float32), 0) * scale
        sum_high = tl.sum(q_high_0.to(tl.float32) + q_high_1.to(tl.float32), 0) * scale
    for i_slot in tl.range(start, end, BLOCK, num_stages=STAGES):
        if FORMAT == FULL:
            o_slot = i_slot + tl.arange(0, BLOCK)
            m_slot = (o_slot >= begin) & (o_slot < end)
            i_page = tl.load(table + i_row * table_stride + o_slot // PAGE_SIZE_, mask=o_slot < end, other=0).to(
                tl.int64
            )
            o_slot = o_slot % PAGE_SIZE_
            o_key = i_page * keys_stride + (i_head * PAGE_SIZE_ + o_slot) * WIDTH
            p_keys = keys + o_key[:, None] + o_dim[None, :]
            k_low, k_high = tl.load(p_keys), tl.load(p_keys + HALF)
            if HAS_RANKS:
                p_rank = ranks + i_page * ranks_stride + i_head * PAGE_SIZE_ + o_slot
                k_low, k_high = turned(k_low, k_high, p_rank, m_slot, cos_sin, HALF, COMPUTE)
            b_s = tl.dot(k_low, q_low, input_precision="ieee")
            b_s = tl.dot(k_high, q_high, b_s, input_precision="ieee") * scale
            b_s = tl.where(m_slot[:, None], b_s, float("-inf"))
            new_max = tl.maximum(b_max, tl.max(b_s, 0))
            shrink = tl.exp2(b_max - safe(new_max))
            b_max = new_max
            b_p = tl.exp2(b_s - safe(b_max)[None, :])
            place_sums = place_sums * shrink[None, :] + b_p
            o_value = i_page * values_stride + (i_head * PAGE_SIZE_ + o_slot) * WIDTH
            p_values = values + o_value[:, None] + o_dim[None, :]
            v_low = tl.load(p_values, mask=m_slot[:, None], other=0.0)
            v_high = tl.load(p_values + HALF, mask=m_slot[:, None], other=0.0)
            if HAS_SCORES:
                export(exported + (i_tiles + i_slot // BLOCK) * (BLOCK * GROUP), b_p, GROUP, QUERIES, BLOCK)
            b_low = tl.dot(tl.trans(v_low), b_p.to(COMPUTE), b_low * shrink[None, :], input_precision="ieee")
            b_high = tl.dot(tl.trans(v_high), b_p.to(COMPUTE), b_high * shrink[None, :], input_precision="ieee")
        else:
            # Even and odd slots apart, since two slots of a dim share a word of the values.
            o_pair = i_slot + 2 * tl.arange(0, BLOCK // 2)
            i_page = tl.load(table + i_row * table_stride + o_pair // PAGE_SIZE_, mask=o_pair < end, other=0).to(
                tl.int64
            )
            m_0, m_1 = (o_pair >= begin) & (o_pair < end), (o_pair + 1 >= begin) & (o_pair + 1 < end)
            o_slot = i_head * PAGE_SIZE_ + o_pair % PAGE_SIZE_
            p_keys = keys + (i_page * keys_stride + o_slot * WIDTH)[:, None] + o_word[None, :]
            p_key_meta = key_meta
            p_value_meta = value_meta
            if FORMAT >= INT8:
                p_key_meta = key_meta + i_page * meta_stride + o_slot
                p_value_meta = value_meta + i_page * meta_stride + o_slot
            s_0 = coded_logits(p_keys, p_key_meta, m_0, q_low_0, q_low_1, q_high_0, q_high_1, sum_low, sum_high, scale,
                               HALF, FORMAT, COMPUTE, PACKED, UNIT_LOW, UNIT_HIGH)  # fmt: skip
            if FORMAT >= INT8:
                p_key_meta = p_key_meta + 1
            s_1 = coded_logits(p_keys + WIDTH, p_key_meta, m_1, q_low_0, q_low_1, q_high_0, q_high_1, sum_low, sum_high,
                               scale, HALF, FORMAT, COMPUTE, PACKED, UNIT_LOW, UNIT_HIGH)  # fmt: skip
            new_max = tl.maximum(b_max, tl.max(tl.maximum(s_0, s_1), 0))
            shrink = tl.exp2(b_max - safe(new_max))
            b_max = new_max
            p_0, p_1 = tl.exp2(s_0 - safe(b_max)[None, :]), tl.exp2(s_1 - safe(b_max)[None, :])
            o_value = i_page * values_stride + i_head * (PAGE_SIZE_ * WIDTH) + (o_pair % PAGE_SIZE_) // 2
            o_value = tl.max_contiguous(tl.multiple_of(o_value, PAGE_PAIRS), PAGE_PAIRS)
            p_values = values + o_value[None, :] + (o_dim * PAGE_PAIRS)[:, None]
            p_high = p_values + HALF * PAGE_PAIRS
            v_low_0, v_low_1, v_high_0, v_high_1 = code_planes(p_values, p_high, FORMAT, COMPUTE, PACKED)
            if HAS_SCORES:
                p_exported = exported + (i_tiles + i_slot // BLOCK) * (BLOCK * GROUP)
                export(p_exported, p_0, GROUP, QUERIES, BLOCK // 2)
                export(p_exported + (BLOCK // 2) * GROUP, p_1, GROUP, QUERIES, BLOCK // 2)
            b_low *= shrink[None, :]
            b_high *= shrink[None, :]
            place_sums = place_sums * shrink[None, :] + (p_0 + p_1)
            if FORMAT == FP8:
                b_low = tl.dot(v_low_0, p_0.to(COMPUTE), b_low, input_precision="ieee")
                b_low = tl.dot(v_low_1, p_1.to(COMPUTE), b_low, input_precision="ieee")
                b_high = tl.dot(v_high_0, p_0.to(COMPUTE), b_high, input_precision="ieee")
                b_high = tl.dot(v_high_1, p_1.to(COMPUTE), b_high, input_precision="ieee")
            else:
                a_low, n_low, a_high, n_high = unpacked_meta(tl.load(p_value_meta, mask=m_0, other=0))
                b_low = tl.dot(v_low_0, (p_0 * a_low[:, None]).to(COMPUTE), b_low, input_precision="ieee")
                b_high = tl.dot(v_high_0, (p_0 * a_high[:, None]).to(COMPUTE), b_high, input_precision="ieee")
                place_min_low = place_min_low * shrink[None, :] + p_0 * n_low[:, None]
                place_min_high = place_min_high * shrink[None, :] + p_0 * n_high[:, None]
                a_low, n_low, a_high, n_high = unpacked_meta(tl.load(p_value_meta + 1, mask=m_1, other=0))
                b_low = tl.dot(v_low_1, (p_1 * a_low[:, None]).to(COMPUTE), b_low, input_precision="ieee")
                b_high = tl.dot(v_high_1, (p_1 * a_high[:, None]).to(COMPUTE), b_high, input_precision="ieee")
                place_min_low += p_1 * n_low[:, None]
                place_min_high += p_1 * n_high[:, None]
        b_sum *= shrink
        if HAS_SCORES:
            p_max = exported_max + (i_tiles + i_slot // BLOCK) * GROUP + o_group
            tl.store(p_max, b_max, mask=o_group < GROUP)
    b_sum += tl.sum(place_sums, 0)
    b_low = (b_low * UNIT_LOW + tl.sum(place_min_low, 0)[None, :]) / b_sum[None, :]
    b_high = (b_high * UNIT_HIGH + tl.sum(place_min_high, 0)[None, :]) / b_sum[None, :]
    b_lse = b_max + tl.log2(b_sum)
    o_part = i_query + o_group
    if not IS_SINGLE:
        o_part = o_part * tl.num_programs(0) + i_split
    tl.store(lse + o_part, b_lse * (LN_2 if IS_SINGLE else 1.0), mask=o_group < GROUP)
    p_out = out + (o_part * (2 * HALF))[None, :] + o_dim[:, None]
    tl.store(p_out, b_low.to(out.dtype.element_ty), mask=m_group)
    tl.store(p_out + HALF, b_high.to(out.dtype.element_ty), mask=m_group)


@dataclass(frozen=True, slots=True)
class DecodeConfig:
    """How many slots a tile has, and what a program is given (the lab book in `benchmarks/results/`)."""

    block: int
    num_warps: int
    num_stages: int


# Many short splits fill the chip, so a program is one warp; of a few long ones each needs more.
SHORT_SPLITS = {"fp8": DecodeConfig(32, 1, 3), "int8": DecodeConfig(64, 1, 5), "int4": DecodeConfig(64, 1, 3)}
LONG_SPLITS, LONG_SPLIT = DecodeConfig(128, 4, 5), 2048
WITH_RANKS, FULL_PRECISION = DecodeConfig(32, 4, 3), DecodeConfig(64, 4, 3)
WIDE_HEADS = DecodeConfig(32, 4, 2)
# The narrow side of a product of tensor cores, which the queries of a group fill.
LEAST_QUERIES = 8


def decode_config(format: KVFormat, split_len: int, *, has_ranks: bool = False, head_dim: int = 128) -> DecodeConfig:
    """Return what was found fastest; for heads over 128 what fits into shared memory."""
    if head_dim > MAX_CODE_DIM:
        return WIDE_HEADS
    if format == "full":
        return WITH_RANKS if has_ranks else FULL_PRECISION
    return LONG_SPLITS if split_len >= LONG_SPLIT else SHORT_SPLITS[format]


def launch_attention_decode(
    step: DecodeStep,
    q: torch.Tensor,
    cache: LayerCache,
    *,
    out: torch.Tensor | None = None,
    config: DecodeConfig | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attended values and the log-sum-exp by the kernels."""
    check(step, q, cache)
    config = checked_config(step, cache, config)
    pages, ring, ranks, split_len = cache.pages, cache.ring, cache.ranks, step.split_len
    num_rows, num_heads, head_dim = q.shape
    num_slots = step.table.shape[1] * PAGE_SIZE
    num_splits = max(triton.cdiv(num_slots, split_len), 1)
    num_tiles = triton.cdiv(num_slots, config.block)
    group = num_heads // pages.num_kv_heads
    is_single = num_splits == 1
    out = torch.empty_like(q) if out is None else checked_out(out, q)
    lse = torch.empty(num_rows, num_heads, dtype=torch.float32, device=q.device)
    if not num_rows:
        return out, lse
    part_out, part_lse = out, lse
    if not is_single:
        part_out = torch.empty(num_rows, num_heads, num_splits, head_dim, dtype=torch.float32, device=q.device)
        part_lse = torch.empty(num_rows, num_heads, num_splits, dtype=torch.float32, device=q.device)
    exported = exported_max = None
    if step.has_scores:
        export_type = torch.float32 if q.dtype == torch.float32 else torch.float16
        tiles = (num_rows, pages.num_kv_heads, num_tiles + 1)
        exported = torch.empty(*tiles, config.block, group, dtype=export_type, device=q.device)
        exported_max = torch.empty(*tiles, group, dtype=torch.float32, device=q.device)
    rows = {
        "lens": step.lens,
        "ring_lens": step.ring_lens,
        "window": step.window,
        "NUM_KV_HEADS": pages.num_kv_heads,
        "GROUP": group,
        "HAS_RING": ring is not None,
    }
    tiled = {
        "exported": exported,
        "exported_max": exported_max,
        "table": step.table,
        "ring_table": step.ring_table,
        "table_stride": step.table.stride(0),
        "num_tiles": num_tiles,
        "BLOCK": config.block,
    }
    keys, values = code_words(pages.keys), code_words(pages.values)
    key_meta, value_meta = meta_words(pages.key_meta), meta_words(pages.value_meta)
    attention_decode_kernel[(num_splits, pages.num_kv_heads, num_rows)](
        out=part_out,
        lse=part_lse,
        q=q,
        keys=keys,
        values=values,
        key_meta=key_meta,
        value_meta=value_meta,
        ring_keys=ring.keys if ring else None,
        ring_values=ring.values if ring else None,
        ranks=ranks.ranks if ranks else None,
        cos_sin=ranks.cos_sin if ranks else None,
        keys_stride=page_stride(keys),
        values_stride=page_stride(values),
        meta_stride=page_stride(key_meta),
        ring_stride=page_stride(ring.keys if ring else None),
        ranks_stride=page_stride(ranks.ranks if ranks else None),
        scale=step.scale * LOG2_E,
        QUERIES=max(LEAST_QUERIES, triton.next_power_of_2(group)),
        HALF=head_dim // 2,
        FORMAT=pages.format_id,
        COMPUTE=operand_type(pages.format, q.dtype),
        PACKED=q.is_cuda,
        IS_SINGLE=is_single,
        HAS_RANKS=ranks is not None,
        HAS_SCORES=step.has_scores,
        SPLIT_LEN=split_len,
        STAGES=config.num_stages,
        num_warps=config.num_warps,
        **rows,
        **tiled,
    )
    if not is_single:
        attention_combine_kernel[(group, pages.num_kv_heads, num_rows)](
            out=out,
            lse=lse,
            part_out=part_out,
            part_lse=part_lse,
            num_splits=num_splits,
            HEAD_DIM=head_dim,
            SPLIT_LEN=split_len,
            num_warps=4,
            **rows,
        )
    if step.has_scores:
        tiles_each = max(1, SCORE_SLOTS // config.block)
        score_kernel[(triton.cdiv(num_tiles, tiles_each), pages.num_kv_heads, num_rows)](
            lse=lse,
            scores=pages.scores,
            ring_scores=ring.scores if ring else None,
            scores_stride=page_stride(pages.scores),
            ring_scores_stride=page_stride(ring.scores if ring else None),
            LANES=triton.next_power_of_2(group),
            TILES=tiles_each,
            IS_PAIRED=pages.format != "full",
            num_warps=SCORE_WARPS,
            **rows,
            **tiled,
        )
    return out, lse


def checked_config(step: DecodeStep, cache: LayerCache, config: DecodeConfig | None) -> DecodeConfig:
    """Return the configuration, or what was found fastest, of tiles that are no longer than a split."""
    pages = cache.pages
    config = config or decode_config(
        pages.format, step.split_len, has_ranks=cache.ranks is not None, head_dim=pages.head_dim
    )
    if step.split_len < config.block:
        raise ValueError(f"split_len, got {step.split_len}, expected a power of two from {config.block}")
    return config


def checked_out(out: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return an output that the kernels can write, one row for each of the query."""
    if out.shape != q.shape or out.dtype != q.dtype or not out.is_contiguous():
        raise ValueError(f"out, got {out.dtype} {tuple(out.shape)}, expected contiguous {q.dtype} {tuple(q.shape)}")
    return out


def check(step: DecodeStep, q: torch.Tensor, cache: LayerCache) -> None:
    """Raise ValueError where the query does not fit the step, or the layer's cache does not fit both."""
    pages, ring = cache.pages, cache.ring
    num_rows, num_heads, head_dim = q.shape
    is_fitting = num_rows == step.num_rows and num_heads % pages.num_kv_heads == 0 and head_dim == pages.head_dim
    if not is_fitting or not q.is_contiguous():
        raise ValueError(
            f"q, got {tuple(q.shape)}, expected contiguous"
            f" [{step.num_rows}, multiple of {pages.num_kv_heads}, {pages.head_dim}]"
        )
    if (ring is None) != (step.ring_table is None):
        raise ValueError("ring, got one in the cache or in the step, expected it in both or in none")
    full = pages if pages.format == "full" else ring
    if full is not None and full.keys.dtype != q.dtype:
        raise ValueError(f"pages, got {full.keys.dtype}, expected {q.dtype} as the query")
    if step.has_scores and (pages.scores is None or (ring is not None and ring.scores is None)):
        raise ValueError("pages, got none with scores, expected side planes")
