"""Causal attention of chunks of new tokens, each over its cached prefix, in any format of `kv_pages`, and over itself.

Semantics, for row b with tokens t = starts[b] .. starts[b + 1] at positions prefix_lens[b] + (t - starts[b]):
    context = the first prefix_lens[b] slots of the row's pages, then keys and values of the row's own tokens
    out[t] = softmax(scale * q[t] @ context_keys) @ context_values, over position(t) - window < j <= position(t)
    lse[t] = log(sum(exp(..)))

step          `PrefillStep`: starts, max_len, table, prefix_lens, scale, window
q             [num_tokens, num_heads, head_dim]; keys, values [num_tokens, num_kv_heads, head_dim], one dtype, last dim
              contiguous, in full precision whatever the cache keeps
cache         `LayerCache`, of which the pages are read; none is needed where no row has a prefix
out           as q, contiguous, perhaps the prefill rows of a mixed step's output; lse fp32 [num_tokens, num_heads],
              natural

For rotated pages the query is turned by the Hadamard matrix for them alone. Keys that the pages hold before RoPE, as
for streaming, are turned by their rank in the cache (see `cache_ranks`).
Every query block runs over the same blocks of keys in the same order, so a row's bits do not depend on its batch. Plain
prefill without a cache could be served by torch's attention; one path that also reads prefixes and gives lse is
simpler, and the benchmark shows what it costs.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import triton
import triton.language as tl

from ..cache.hadamard import hadamard, hadamard_reference
from ..cache.kv_pages import (
    FP8,
    FULL,
    INT4,
    INT8,
    PAGE_PAIRS,
    PAGE_SIZE_,
    code_words,
    meta_words,
    operand_type,
    page_stride,
    read_pages,
)
from ..cache.kv_quantize import FP8_UNIT, HEAD_DIMS, MAX_CODE_DIM, unpacked_meta
from .attention_decode import checked_out
from .cache_ranks import rotated, turned
from .code_operands import CODE_UNIT, HIGH_CODE_UNIT, code_planes
from .layer_cache import LayerCache
from .online_softmax import LN_2, LOG2_E, safe
from .prefill_step import PrefillStep


def attention_prefill(
    step: PrefillStep,
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    cache: LayerCache | None = None,
    *,
    out: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attended values and the log-sum-exp; see the module's semantics."""
    if q.is_cuda:
        return launch_attention_prefill(step, q, keys, values, cache, out=out)
    found, lse = attention_prefill_reference(step, q, keys, values, cache)
    return (found if out is None else checked_out(out, q).copy_(found)), lse


def attention_prefill_reference(
    step: PrefillStep, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, cache: LayerCache | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attended values and the log-sum-exp; see the module's semantics. A loop over rows, not over tokens."""
    check(step, q, keys, values, cache)
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.full(q.shape[:2], -torch.inf, device=q.device)
    for i, (start, end) in enumerate(pairwise(step.starts.tolist())):
        if end > start:
            own = slice(start, end)
            before = prefix_of(step, cache, i)
            out[own], lse[own] = attended_row(
                q[own], keys[own], values[own], before, scale=step.scale, window=step.window
            )
    return out, lse


def prefix_of(step: PrefillStep, cache: LayerCache | None, i_row: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return one row's cached keys, turned back, and values, [prefix_len, num_kv_heads, head_dim]."""
    if cache is None or step.table is None or step.prefix_lens is None:
        return None
    length, table = int(step.prefix_lens[i_row]), step.table[i_row, None]
    keys, values = read_pages(cache.pages, table)
    keys = keys if cache.ranks is None else rotated(keys, cache.ranks, table)
    keys, values = (each[0, :, :length].transpose(0, 1) for each in (keys, values))
    return hadamard_reference(keys) if cache.pages.is_rotated else keys, values


def attended_row(
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    before: tuple[torch.Tensor, torch.Tensor] | None,
    *,
    scale: float,
    window: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one row's attended values and log-sum-exp."""
    keys, values = keys.float(), values.float()
    num_before = 0
    if before is not None:
        num_before = len(before[0])
        keys, values = torch.cat([before[0], keys]), torch.cat([before[1], values])
    grouped = q.float().reshape(len(q), keys.shape[1], -1, q.shape[2])
    logits = torch.einsum("thgd,shd->thgs", grouped, keys) * scale
    logits = logits.masked_fill(~visible(len(q), num_before, window, q.device)[:, None, None], -torch.inf)
    out = torch.einsum("thgs,shd->thgd", logits.softmax(-1), values)
    return out.flatten(1, 2).to(q.dtype), torch.logsumexp(logits, -1).flatten(1, 2)


def visible(num_new: int, num_before: int, window: int, device: torch.device) -> torch.Tensor:
    """Return which positions each new token sees, bool [num_new, num_before + num_new]."""
    o_query = torch.arange(num_before, num_before + num_new, device=device)[:, None]
    o_key = torch.arange(num_before + num_new, device=device)
    is_visible = o_key <= o_query
    return is_visible & (o_key > o_query - window) if window else is_visible


@triton.jit
def triple_sum(a, b, c, x, y, z):
    return a + x, b + y, c + z


@triton.jit
def attended(b_s, b_max):
    """Return exp2(s - new max), the new max, and the factor by which what was summed before shrinks."""
    new_max = tl.maximum(b_max, tl.max(b_s, 1))
    return tl.exp2(b_s - safe(new_max)[:, None]), new_max, tl.exp2(b_max - safe(new_max))


@triton.jit
def own_tile(b_low, b_high, b_max, b_sum, q_low, q_high, p_keys, p_values, keys_stride, values_stride, o_query, o_key,
             length, scale, window, HALF: tl.constexpr, HAS_WINDOW: tl.constexpr,
             IS_EDGE: tl.constexpr):  # fmt: skip
    """Attend to a tile of the row's own tokens; IS_EDGE masks what is not to be seen."""
    o_dim = tl.arange(0, HALF)
    m_key = (o_key < length)[:, None]
    p_keys = p_keys + o_key.to(tl.int64)[:, None] * keys_stride + o_dim[None, :]
    p_values = p_values + o_key.to(tl.int64)[:, None] * values_stride + o_dim[None, :]
    if IS_EDGE:
        k_low, k_high = tl.load(p_keys, mask=m_key, other=0.0), tl.load(p_keys + HALF, mask=m_key, other=0.0)
    else:
        k_low, k_high = tl.load(p_keys), tl.load(p_keys + HALF)
    b_s = tl.dot(q_low, tl.trans(k_low), input_precision="ieee")
    b_s = tl.dot(q_high, tl.trans(k_high), b_s, input_precision="ieee")
    if IS_EDGE:
        m_seen = o_key[None, :] <= o_query[:, None]
        if HAS_WINDOW:
            m_seen = m_seen & (o_key[None, :] > o_query[:, None] - window)
        b_s = tl.where(m_seen, b_s, float("-inf"))
    # The scale goes into the exponent, where it costs nothing.
    new_max = tl.maximum(b_max, tl.max(b_s, 1) * scale)
    shrink = tl.exp2(b_max - safe(new_max))
    b_max = new_max
    b_p = tl.exp2(b_s * scale - safe(b_max)[:, None])
    b_sum = b_sum * shrink + tl.sum(b_p, 1)
    b_p = b_p.to(q_low.dtype)
    if IS_EDGE:
        v_low, v_high = tl.load(p_values, mask=m_key, other=0.0), tl.load(p_values + HALF, mask=m_key, other=0.0)
    else:
        v_low, v_high = tl.load(p_values), tl.load(p_values + HALF)
    b_low = tl.dot(b_p, v_low, b_low * shrink[:, None], input_precision="ieee")
    b_high = tl.dot(b_p, v_high, b_high * shrink[:, None], input_precision="ieee")
    return b_low, b_high, b_max, b_sum


@triton.jit
def attention_prefill_kernel(
    out,
    lse,
    q,
    q_prefix,
    keys,
    values,
    starts,
    page_keys,
    page_values,
    key_meta,
    value_meta,
    table,
    prefix_lens,
    ranks,
    cos_sin,
    q_stride,
    q_head_stride,
    q_prefix_stride,
    q_prefix_head_stride,
    keys_stride,
    keys_head_stride,
    values_stride,
    values_head_stride,
    page_keys_stride,
    page_values_stride,
    meta_stride,
    ranks_stride,
    table_stride,
    scale,
    window,
    num_heads,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    HAS_PREFIX: tl.constexpr,
    HAS_RANKS: tl.constexpr,
    FORMAT: tl.constexpr,
    COMPUTE: tl.constexpr,
    PACKED: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
):
    # The last blocks of a row have the most to do: they start first.
    i_block = tl.num_programs(0) - 1 - tl.program_id(0)
    i_head, i_row = tl.program_id(1), tl.program_id(2).to(tl.int64)
    start = tl.load(starts + i_row).to(tl.int64)
    length = (tl.load(starts + i_row + 1) - start).to(tl.int32)
    first = i_block * ROWS
    if first >= length:
        return
    i_kv = i_head // GROUP
    o_query = first + tl.arange(0, ROWS)
    m_query = (o_query < length)[:, None]
    o_dim = tl.arange(0, HALF)
    b_max = tl.full([ROWS], float("-inf"), tl.float32)
    b_sum = tl.zeros([ROWS], tl.float32)
    b_low = tl.zeros([ROWS, HALF], tl.float32)
    b_high = tl.zeros([ROWS, HALF], tl.float32)
    if HAS_PREFIX:
        prefix_len = tl.load(prefix_lens + i_row)
        WIDTH: tl.constexpr = 2 * HALF if FORMAT == FULL else (HALF // 2 if FORMAT == INT4 else HALF)
        WORDS: tl.constexpr = HALF if FORMAT == FULL else HALF // 2
        # What operands that are the bits of codes are multiplied by; see `code_operands`.
        UNIT_LOW: tl.constexpr = 1.0 if FORMAT == FULL else (FP8_UNIT if FORMAT == FP8 else CODE_UNIT)
        UNIT_HIGH: tl.constexpr = HIGH_CODE_UNIT if FORMAT == INT4 else UNIT_LOW
        o_word = tl.arange(0, WORDS)
        p_q = q_prefix + i_head * q_prefix_head_stride + (start + o_query)[:, None] * q_prefix_stride
        if FORMAT == FULL:
            q_low = tl.load(p_q + o_dim[None, :], mask=m_query, other=0.0).to(COMPUTE)
            q_high = tl.load(p_q + HALF + o_dim[None, :], mask=m_query, other=0.0).to(COMPUTE)
        else:
            p_q = p_q + 2 * o_word[None, :]
            q_low_even = tl.load(p_q, mask=m_query, other=0.0).to(COMPUTE)
            q_low_odd = tl.load(p_q + 1, mask=m_query, other=0.0).to(COMPUTE)
            q_high_even = tl.load(p_q + HALF, mask=m_query, other=0.0).to(COMPUTE)
            q_high_odd = tl.load(p_q + HALF + 1, mask=m_query, other=0.0).to(COMPUTE)
            sum_low = tl.sum(q_low_even.to(tl.float32) + q_low_odd.to(tl.float32), 1) * scale
            sum_high = tl.sum(q_high_even.to(tl.float32) + q_high_odd.to(tl.float32), 1) * scale
        min_low = tl.zeros([ROWS], tl.float32)
        min_high = tl.zeros([ROWS], tl.float32)
        begin = 0
        if HAS_WINDOW:
            begin = tl.maximum(prefix_len + first - window + 1, 0) // BLOCK * BLOCK
        for i_slot in tl.range(begin, prefix_len, BLOCK, num_stages=STAGES):
            o_slot = i_slot + tl.arange(0, BLOCK)
            m_slot = o_slot < prefix_len
            i_page = tl.load(table + i_row * table_stride + o_slot // PAGE_SIZE_, mask=m_slot, other=0).to(tl.int64)
            m_seen = m_slot[None, :] & (o_query[:, None] >= 0)
            if HAS_WINDOW:
                m_seen = m_seen & (o_slot[None, :] > prefix_len + o_query[:, None] - window)
            o_slot = o_slot % PAGE_SIZE_
            o_key = i_page * page_keys_stride + (i_kv * PAGE_SIZE_ + o_slot) * WIDTH
            p_keys = page_keys + o_key[:, None] + o_word[None, :]
            if FORMAT == FULL:
                k_low, k_high = tl.load(p_keys), tl.load(p_keys + HALF)
                if HAS_RANKS:
                    p_rank = ranks + i_page * ranks_stride + i_kv * PAGE_SIZE_ + o_slot
                    k_low, k_high = turned(k_low, k_high, p_rank, m_slot, cos_sin, HALF, COMPUTE)
                b_s = tl.dot(q_low, tl.trans(k_low), input_precision="ieee")
                b_s = tl.dot(q_high, tl.trans(k_high), b_s, input_precision="ieee") * scale
            else:
                k_low_even, k_low_odd, k_high_even, k_high_odd = code_planes(
                    p_keys, p_keys + WORDS, FORMAT, COMPUTE, PACKED
                )
                b_s = tl.dot(q_low_even, tl.trans(k_low_even), input_precision="ieee")
                b_s = tl.dot(q_low_odd, tl.trans(k_low_odd), b_s, input_precision="ieee")
                if FORMAT == FP8:
                    b_s = tl.dot(q_high_even, tl.trans(k_high_even), b_s, input_precision="ieee")
                    b_s = tl.dot(q_high_odd, tl.trans(k_high_odd), b_s, input_precision="ieee") * (scale * UNIT_LOW)
                else:
                    b_t = tl.dot(q_high_even, tl.trans(k_high_even), input_precision="ieee")
                    b_t = tl.dot(q_high_odd, tl.trans(k_high_odd), b_t, input_precision="ieee")
                    p_meta = i_page * meta_stride + i_kv * PAGE_SIZE_ + o_slot
                    k_scale_low, k_min_low, k_scale_high, k_min_high = unpacked_meta(
                        tl.load(key_meta + p_meta, mask=m_slot, other=0)
                    )
                    b_s = b_s * (k_scale_low * (scale * UNIT_LOW))[None, :] + sum_low[:, None] * k_min_low[None, :]
                    b_s += b_t * (k_scale_high * (scale * UNIT_HIGH))[None, :] + sum_high[:, None] * k_min_high[None, :]
            b_p, b_max, shrink = attended(tl.where(m_seen, b_s, float("-inf")), b_max)
            b_low *= shrink[:, None]
            b_high *= shrink[:, None]
            if FORMAT < INT8:
                b_sum = b_sum * shrink + tl.sum(b_p, 1)
            if FORMAT == FULL:
                o_value = i_page * page_values_stride + (i_kv * PAGE_SIZE_ + o_slot) * WIDTH
                p_values = page_values + o_value[:, None] + o_dim[None, :]
                v_low = tl.load(p_values, mask=m_slot[:, None], other=0.0)
                v_high = tl.load(p_values + HALF, mask=m_slot[:, None], other=0.0)
                b_low = tl.dot(b_p.to(COMPUTE), v_low, b_low, input_precision="ieee")
                b_high = tl.dot(b_p.to(COMPUTE), v_high, b_high, input_precision="ieee")
            else:
                o_pair = i_slot + 2 * tl.arange(0, BLOCK // 2)
                p_page = table + i_row * table_stride + o_pair // PAGE_SIZE_
                i_pair_page = tl.load(p_page, mask=o_pair < prefix_len, other=0).to(tl.int64)
                o_value = i_pair_page * page_values_stride + i_kv * (PAGE_SIZE_ * WIDTH) + (o_pair % PAGE_SIZE_) // 2
                o_value = tl.max_contiguous(tl.multiple_of(o_value, PAGE_PAIRS), PAGE_PAIRS)
                p_values = page_values + o_value[None, :] + (o_dim * PAGE_PAIRS)[:, None]
                v_low_even, v_low_odd, v_high_even, v_high_odd = code_planes(
                    p_values, p_values + HALF * PAGE_PAIRS, FORMAT, COMPUTE, PACKED
                )
                if FORMAT == FP8:
                    p_low = b_p.to(COMPUTE)
                    p_high = p_low
                else:
                    v_scale_low, v_min_low, v_scale_high, v_min_high = unpacked_meta(
                        tl.load(value_meta + p_meta, mask=m_slot, other=0)
                    )
                    p_low = (b_p * v_scale_low[None, :]).to(COMPUTE)
                    p_high = (b_p * v_scale_high[None, :]).to(COMPUTE)
                    more = tl.reduce((b_p, b_p * v_min_low[None, :], b_p * v_min_high[None, :]), 1, triple_sum)
                    b_sum = b_sum * shrink + more[0]
                    min_low = min_low * shrink + more[1]
                    min_high = min_high * shrink + more[2]
                p_low_even, p_low_odd = tl.split(tl.reshape(p_low, [ROWS, BLOCK // 2, 2]))
                p_high_even, p_high_odd = tl.split(tl.reshape(p_high, [ROWS, BLOCK // 2, 2]))
                b_low = tl.dot(p_low_even, tl.trans(v_low_even), b_low, input_precision="ieee")
                b_low = tl.dot(p_low_odd, tl.trans(v_low_odd), b_low, input_precision="ieee")
                b_high = tl.dot(p_high_even, tl.trans(v_high_even), b_high, input_precision="ieee")
                b_high = tl.dot(p_high_odd, tl.trans(v_high_odd), b_high, input_precision="ieee")
        b_low = b_low * UNIT_LOW + min_low[:, None]
        b_high = b_high * UNIT_HIGH + min_high[:, None]
    p_q = q + i_head * q_head_stride + (start + o_query)[:, None] * q_stride + o_dim[None, :]
    q_low = tl.load(p_q, mask=m_query, other=0.0)
    q_high = tl.load(p_q + HALF, mask=m_query, other=0.0)
    p_keys = keys + start * keys_stride + i_kv * keys_head_stride
    p_values = values + start * values_stride + i_kv * values_head_stride
    begin = 0
    inner = first // BLOCK * BLOCK
    if HAS_WINDOW:
        begin = tl.maximum(first - window + 1, 0) // BLOCK * BLOCK
        # Blocks behind the window's edge of the last query are masked, too.
        inner = tl.minimum(inner, begin)
    for i_key in tl.range(begin, inner, BLOCK, num_stages=STAGES):
        b_low, b_high, b_max, b_sum = own_tile(b_low, b_high, b_max, b_sum, q_low, q_high, p_keys, p_values,
                                               keys_stride, values_stride, o_query, i_key + tl.arange(0, BLOCK),
                                               length, scale, window, HALF, HAS_WINDOW, False)  # fmt: skip
    for i_key in tl.range(inner, tl.minimum(first + ROWS, length), BLOCK, num_stages=STAGES):
        b_low, b_high, b_max, b_sum = own_tile(b_low, b_high, b_max, b_sum, q_low, q_high, p_keys, p_values,
                                               keys_stride, values_stride, o_query, i_key + tl.arange(0, BLOCK),
                                               length, scale, window, HALF, HAS_WINDOW, True)  # fmt: skip
    o_out = (start + o_query) * num_heads + i_head
    tl.store(lse + o_out, (b_max + tl.log2(b_sum)) * LN_2, mask=o_query < length)
    p_out = out + o_out[:, None] * (2 * HALF) + o_dim[None, :]
    tl.store(p_out, (b_low / b_sum[:, None]).to(out.dtype.element_ty), mask=m_query)
    tl.store(p_out + HALF, (b_high / b_sum[:, None]).to(out.dtype.element_ty), mask=m_query)


@dataclass(frozen=True, slots=True)
class PrefillConfig:
    """How many queries and keys a tile has, and what a program is given (the lab book in `benchmarks/results/`)."""

    rows: int
    block: int
    num_warps: int
    num_stages: int


def prefill_config(*, has_prefix: bool, head_dim: int = 128) -> PrefillConfig:
    """Return what was found fastest; for heads over 128 what fits into shared memory."""
    if head_dim > MAX_CODE_DIM:
        return PrefillConfig(64, 32, 8, 2)
    return PrefillConfig(64, 64, 4, 2 if has_prefix else 3)


def launch_attention_prefill(
    step: PrefillStep,
    q: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    cache: LayerCache | None = None,
    *,
    out: torch.Tensor | None = None,
    config: PrefillConfig | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attended values and the log-sum-exp by the kernel."""
    check(step, q, keys, values, cache)
    prefix = cache if step.table is not None else None
    config = config or prefill_config(has_prefix=prefix is not None, head_dim=q.shape[2])
    num_tokens, num_heads, head_dim = q.shape
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device) if out is None else checked_out(out, q)
    lse = torch.empty(num_tokens, num_heads, dtype=torch.float32, device=q.device)
    if not num_tokens or step.max_len <= 0:
        return out, lse
    pages, ranks = (prefix.pages, prefix.ranks) if prefix else (None, None)
    planes = pages.planes() if pages else {}
    page_keys, page_values = (code_words(planes.get(name)) for name in ("keys", "values"))
    key_meta, value_meta = (meta_words(planes.get(name)) for name in ("key_meta", "value_meta"))
    q_prefix = hadamard(q) if pages and pages.is_rotated else q
    attention_prefill_kernel[(triton.cdiv(step.max_len, config.rows), num_heads, step.num_rows)](
        out=out,
        lse=lse,
        q=q,
        q_prefix=q_prefix,
        keys=keys,
        values=values,
        starts=step.starts,
        page_keys=page_keys,
        page_values=page_values,
        key_meta=key_meta,
        value_meta=value_meta,
        table=step.table,
        prefix_lens=step.prefix_lens,
        ranks=ranks.ranks if ranks else None,
        cos_sin=ranks.cos_sin if ranks else None,
        q_stride=q.stride(0),
        q_head_stride=q.stride(1),
        q_prefix_stride=q_prefix.stride(0),
        q_prefix_head_stride=q_prefix.stride(1),
        keys_stride=keys.stride(0),
        keys_head_stride=keys.stride(1),
        values_stride=values.stride(0),
        values_head_stride=values.stride(1),
        page_keys_stride=page_stride(page_keys),
        page_values_stride=page_stride(page_values),
        meta_stride=page_stride(key_meta),
        ranks_stride=page_stride(ranks.ranks if ranks else None),
        table_stride=step.table.stride(0) if step.table is not None else 0,
        scale=step.scale * LOG2_E,
        window=step.window,
        num_heads=num_heads,
        GROUP=num_heads // keys.shape[1],
        HALF=head_dim // 2,
        HAS_PREFIX=prefix is not None,
        HAS_RANKS=ranks is not None,
        FORMAT=pages.format_id if pages else 0,
        COMPUTE=operand_type(pages.format if pages else "full", q.dtype),
        PACKED=q.is_cuda,
        HAS_WINDOW=step.window > 0,
        ROWS=config.rows,
        BLOCK=config.block,
        STAGES=config.num_stages,
        num_warps=config.num_warps,
    )
    return out, lse


def check(
    step: PrefillStep, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, cache: LayerCache | None
) -> None:
    """Raise ValueError where a layer's tokens do not fit each other, or its cache."""
    num_tokens, num_heads, head_dim = q.shape
    if keys.shape != values.shape or len(keys) != num_tokens or keys.shape[2] != head_dim or num_heads % keys.shape[1]:
        raise ValueError(
            f"keys and values, got {tuple(keys.shape)} and {tuple(values.shape)}, expected to fit the query"
        )
    if not q.dtype == keys.dtype == values.dtype or any(each.stride(2) != 1 for each in (q, keys, values)):
        raise ValueError(f"keys and values, got {keys.dtype} and {values.dtype}, expected contiguous rows of {q.dtype}")
    if head_dim not in HEAD_DIMS:
        raise ValueError(f"head_dim, got {head_dim}, expected 32, 64, 128 or 256")
    if step.table is None:
        return
    if cache is None:
        raise ValueError("cache, got none, expected that of the layer for rows with prefixes")
    pages = cache.pages
    if (pages.num_kv_heads, pages.head_dim) != tuple(keys.shape[1:]):
        raise ValueError(f"cache, got {pages.num_kv_heads} heads of {pages.head_dim}, expected the keys'")
    if pages.format == "full" and pages.keys.dtype != q.dtype:
        raise ValueError(f"cache, got {pages.keys.dtype}, expected {q.dtype}")
