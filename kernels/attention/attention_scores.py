"""Accumulate the attention that each cached key got from a chunk of prompt tokens: the second pass of prefill.

Semantics, for row b with queries t = starts[b] .. starts[b + 1], of which the last is at slot context_lens[b] - 1:
    p[t, j] = exp(scale * q[t] . key[j] - lse[t])  for slots j no later than t (and within its window), else 0
    scores[j] += sum over t of the mean of p[t, j] over the query group
of the queries t that are among the last `last` of the row, all if 0

step           `ScoresStep`: starts, table, context_lens, scale, window, last
q              [num_tokens, num_heads, head_dim], last dim contiguous, rotated as the keys are
lse            fp32 [num_tokens, num_heads], natural, from `attention_prefill`
pages          `KVPages` with scores, in any format; they hold the chunk's own keys, too

One program owns a block of keys of one head and runs over all queries that can see it, so scores need no atomics and a
chunk of a prompt only adds to what earlier chunks gave. Keys are read once, and values not at all (as in MiniKV, Sharma
et al., 2024).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import triton
import triton.language as tl

from ..cache.kv_pages import (
    FULL,
    INT4,
    INT8,
    PAGE_SIZE,
    PAGE_SIZE_,
    KVPages,
    meta_words,
    operand_type,
    page_stride,
    read_pages,
)
from ..cache.kv_quantize import fp8_numbers, unpacked_meta
from .attention_prefill import visible
from .online_softmax import LOG2_E, LOG2_E_
from .prefill_step import ScoresStep


def attention_scores(step: ScoresStep, q: torch.Tensor, lse: torch.Tensor, pages: KVPages) -> None:
    """Add to the pages' scores; see the module's semantics."""
    (launch_attention_scores if q.is_cuda else attention_scores_reference)(step, q, lse, pages)


def attention_scores_reference(step: ScoresStep, q: torch.Tensor, lse: torch.Tensor, pages: KVPages) -> None:
    """Add to the pages' scores; see the module's semantics. A loop over rows, not over tokens."""
    scores, _, _ = pages.side_planes()
    check(q, lse, pages)
    for i, (start, end) in enumerate(pairwise(step.starts.tolist())):
        if end <= start:
            continue
        context = int(step.context_lens[i])
        keys = read_pages(pages, step.table[i, None])[0][0, :, :context]
        grouped = q[start:end].float().reshape(end - start, pages.num_kv_heads, -1, q.shape[2])
        logits = torch.einsum("thgd,hsd->thgs", grouped, keys) * step.scale
        weights = torch.exp(logits - lse[start:end].reshape(*logits.shape[:3], 1))
        seen = visible(end - start, context - (end - start), step.window, q.device)
        weights = weights.masked_fill(~seen[:, None, None], 0.0)[-step.last if step.last else 0 :].mean(2).sum(0)
        o_slot = torch.arange(context, device=q.device)
        i_page = step.table[i].long()[o_slot // PAGE_SIZE]
        scores[i_page, :, o_slot % PAGE_SIZE] += weights.T


@triton.jit(do_not_specialize=["num_tokens"])
def attention_scores_kernel(
    scores,
    q,
    lse,
    starts,
    page_keys,
    key_meta,
    table,
    context_lens,
    q_stride,
    q_head_stride,
    page_keys_stride,
    meta_stride,
    scores_stride,
    table_stride,
    scale,
    window,
    last,
    num_tokens,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    FORMAT: tl.constexpr,
    COMPUTE: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    KEYS: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
):
    i_block, i_kv, i_row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    start = tl.load(starts + i_row).to(tl.int64)
    length = (tl.load(starts + i_row + 1) - start).to(tl.int32)
    context = tl.load(context_lens + i_row)
    # Slots are counted from the first query from here on: the prefix has negative ones.
    before = context - length
    first = i_block * KEYS
    if (first >= context) | (length <= 0):
        return
    o_slot = first + tl.arange(0, KEYS)
    m_slot = o_slot < context
    o_dim = tl.arange(0, HALF)
    i_page = tl.load(table + i_row * table_stride + o_slot // PAGE_SIZE_, mask=m_slot, other=0).to(tl.int64)
    o_offset = o_slot % PAGE_SIZE_
    WIDTH: tl.constexpr = HALF if FORMAT == INT4 else 2 * HALF
    p_keys = page_keys + (i_page * page_keys_stride + (i_kv * PAGE_SIZE_ + o_offset) * WIDTH)[:, None] + o_dim[None, :]
    if FORMAT == FULL:
        k_low = tl.load(p_keys, mask=m_slot[:, None], other=0.0)
        k_high = tl.load(p_keys + HALF, mask=m_slot[:, None], other=0.0)
    else:
        codes = tl.load(p_keys, mask=m_slot[:, None], other=0)
        if FORMAT == INT4:
            k_low, k_high = (codes & 0xF).to(tl.float32), (codes >> 4).to(tl.float32)
        else:
            others = tl.load(p_keys + HALF, mask=m_slot[:, None], other=0)
            if FORMAT == INT8:
                k_low, k_high = codes.to(tl.float32), others.to(tl.float32)
            else:
                k_low, k_high = fp8_numbers(codes), fp8_numbers(others)
        if FORMAT >= INT8:
            p_meta = key_meta + i_page * meta_stride + i_kv * PAGE_SIZE_ + o_offset
            scale_low, min_low, scale_high, min_high = unpacked_meta(tl.load(p_meta, mask=m_slot, other=0))
            k_low = k_low * scale_low[:, None] + min_low[:, None]
            k_high = k_high * scale_high[:, None] + min_high[:, None]
        k_low, k_high = k_low.to(COMPUTE), k_high.to(COMPUTE)
    o_key = o_slot - before
    # Summed over queries once, at the end: until then each place of a block of queries has a sum of its own.
    b_weights = tl.zeros([BLOCK, KEYS], tl.float32)
    begin = tl.maximum(first - before, 0)
    if last > 0:
        begin = tl.maximum(begin, length - last)
    end = length
    if HAS_WINDOW:
        end = tl.minimum(length, first - before + KEYS - 1 + window)
    # Queries inner .. whole see all of these keys; the blocks before and after them are masked.
    edge = begin // BLOCK * BLOCK
    whole = end // BLOCK * BLOCK
    inner = tl.minimum(tl.cdiv(tl.maximum(first - before + KEYS - 1, begin), BLOCK) * BLOCK, tl.maximum(whole, edge))
    if HAS_WINDOW:
        inner = tl.maximum(whole, edge)
    whole = tl.maximum(whole, inner)
    num_before = (inner - edge) // BLOCK
    num_masked = num_before + tl.cdiv(tl.maximum(end - whole, 0), BLOCK)
    o_block = tl.arange(0, BLOCK)
    for i_group in range(GROUP):
        p_q = q + (i_kv * GROUP + i_group) * q_head_stride + start * q_stride
        p_lse = lse + (i_kv * GROUP + i_group) * num_tokens.to(tl.int64) + start
        for i_masked in range(num_masked):
            i_query = tl.where(i_masked < num_before, edge + i_masked * BLOCK, whole + (i_masked - num_before) * BLOCK)
            o_query = i_query + o_block
            m_query = (o_query >= begin) & (o_query < end)
            p_block = p_q + o_query.to(tl.int64)[:, None] * q_stride + o_dim[None, :]
            q_low = tl.load(p_block, mask=m_query[:, None], other=0.0).to(COMPUTE)
            q_high = tl.load(p_block + HALF, mask=m_query[:, None], other=0.0).to(COMPUTE)
            b_lse = tl.load(p_lse + o_query, mask=m_query, other=float("inf")) * LOG2_E_
            b_s = tl.dot(q_low, tl.trans(k_low), input_precision="ieee")
            b_s = tl.dot(q_high, tl.trans(k_high), b_s, input_precision="ieee")
            m_seen = o_key[None, :] <= o_query[:, None]
            if HAS_WINDOW:
                m_seen = m_seen & (o_key[None, :] > o_query[:, None] - window)
            b_weights += tl.where(m_seen, tl.exp2(b_s * scale - b_lse[:, None]), 0.0)
        # Loads that feed no product are not pipelined, so each block's is made while the block before is computed.
        next_lse = tl.load(p_lse + inner + o_block, mask=inner + o_block < whole, other=float("inf"))
        for i_query in tl.range(inner, whole, BLOCK, num_stages=STAGES):
            o_query = i_query + o_block
            b_lse = next_lse * LOG2_E_
            next_lse = tl.load(p_lse + o_query + BLOCK, mask=o_query + BLOCK < whole, other=float("inf"))
            p_block = p_q + o_query.to(tl.int64)[:, None] * q_stride + o_dim[None, :]
            b_s = tl.dot(tl.load(p_block).to(COMPUTE), tl.trans(k_low), input_precision="ieee")
            b_s = tl.dot(tl.load(p_block + HALF).to(COMPUTE), tl.trans(k_high), b_s, input_precision="ieee")
            b_weights += tl.exp2(b_s * scale - b_lse[:, None])
    p_scores = scores + i_page * scores_stride + i_kv * PAGE_SIZE_ + o_offset
    b_scores = tl.load(p_scores, mask=m_slot, other=0.0) + tl.sum(b_weights, 0) / GROUP
    tl.store(p_scores, b_scores, mask=m_slot)


@dataclass(frozen=True, slots=True)
class ScoresConfig:
    """How many keys and queries a tile has, and what a program is given (the lab book in `benchmarks/results/`)."""

    keys: int = 64
    block: int = 64
    num_warps: int = 4
    num_stages: int = 3


SCORES_CONFIG = ScoresConfig()


def launch_attention_scores(
    step: ScoresStep, q: torch.Tensor, lse: torch.Tensor, pages: KVPages, *, config: ScoresConfig = SCORES_CONFIG
) -> None:
    """Add to the pages' scores by the kernel."""
    num_tokens, num_heads, head_dim = q.shape
    scores, _, _ = pages.side_planes()
    check(q, lse, pages)
    if not num_tokens:
        return
    key_meta = meta_words(pages.key_meta)
    grid = (triton.cdiv(step.table.shape[1] * PAGE_SIZE, config.keys), pages.num_kv_heads, step.num_rows)
    attention_scores_kernel[grid](
        scores=scores,
        q=q,
        # Heads first, so that a block of queries reads one line.
        lse=lse.T.contiguous(),
        starts=step.starts,
        page_keys=pages.keys,
        key_meta=key_meta,
        table=step.table,
        context_lens=step.context_lens,
        q_stride=q.stride(0),
        q_head_stride=q.stride(1),
        page_keys_stride=page_stride(pages.keys),
        meta_stride=page_stride(key_meta),
        scores_stride=page_stride(scores),
        table_stride=step.table.stride(0),
        scale=step.scale * LOG2_E,
        window=step.window,
        last=step.last,
        num_tokens=num_tokens,
        GROUP=num_heads // pages.num_kv_heads,
        HALF=head_dim // 2,
        FORMAT=pages.format_id,
        COMPUTE=operand_type(pages.format, q.dtype),
        HAS_WINDOW=step.window > 0,
        KEYS=config.keys,
        BLOCK=config.block,
        STAGES=config.num_stages,
        num_warps=config.num_warps,
    )


def check(q: torch.Tensor, lse: torch.Tensor, pages: KVPages) -> None:
    """Raise ValueError where queries and pages do not fit each other."""
    num_tokens, num_heads, head_dim = q.shape
    if head_dim != pages.head_dim or num_heads % pages.num_kv_heads or q.stride(2) != 1:
        raise ValueError(f"q, got {tuple(q.shape)}, expected contiguous rows of {pages.head_dim}")
    if lse.shape != (num_tokens, num_heads):
        raise ValueError(f"lse, got {tuple(lse.shape)}, expected {num_tokens, num_heads}")
    if pages.format == "full" and pages.keys.dtype != q.dtype:
        raise ValueError(f"pages, got {pages.keys.dtype}, expected {q.dtype}")
