"""Choose the slots whose tokens a sparse cache gives up, head by head, by the rule of Q-Hitter or of H2O.

Semantics, for row b and KV head h over its slots 0 .. lens[b], with A = scores, Q = friendliness:
    A^ = min-max over all heads and tokens of the row of A, or of log(A / age + 1e-6) where `is_log`
    recent: positions >= seen[b] - recent[b];  pinned: positions < num_pinned
    heavy: the heavy[b] tokens with the largest A^ that are neither
    victims = the `count` remaining tokens with the least S = alpha * A^ + (1 - alpha) * Q, empty slots before all

step    `EvictionStep`: table, lens, seen, heavy, recent, the rule and the count
pages   `KVPages` with side planes
victims int32 [num_rows, num_kv_heads, count]: page * 32 + offset, in the order of the slots, -1 where none is left and
in rows with lens 0, as it is for padding and for rows that are not due

alpha = 1 is H2O (Zhang et al., 2023), with or without heavy; alpha = 0.5 without `is_log` is Q-Hitter as published
(Zhang et al., 2024). Ties go to the lower slot. The shapes are those of the capacity, and nothing waits for the host:
the n-th largest of a row is found two bits at a time, in registers, by counting.
"""

import torch
import triton
import triton.language as tl

from .eviction_step import EvictionRule, EvictionStep
from .kv_pages import PAGE_SIZE_, KVPages, page_slots, read_plane


def eviction(step: EvictionStep, pages: KVPages) -> torch.Tensor:
    """Return the victims; see the module's semantics."""
    return (launch_eviction if step.table.is_cuda else eviction_reference)(step, pages)


def eviction_reference(step: EvictionStep, pages: KVPages) -> torch.Tensor:
    """Return the victims; see the module's semantics."""
    table, rule = step.table, step.rule
    pages.side_planes()
    if not step.num_rows or not step.num_slots:
        return no_victims(step, pages)
    scores, friendliness, positions = (read_plane(plane, table) for plane in pages.side_planes())
    o_slot = torch.arange(scores.shape[2], device=scores.device)
    in_use = (o_slot < step.lens[:, None])[:, None].expand_as(positions)
    is_live = in_use & (positions >= 0)
    seen, heavy, recent = (each[:, None, None] for each in (step.seen, step.heavy, step.recent))
    attention = normalised_attention(scores, seen - positions, is_live, rule)
    is_open = is_live & (positions < seen - recent) & (positions >= rule.num_pinned)
    by_attention = torch.argsort(attention.masked_fill(~is_open, -1.0), dim=-1, descending=True, stable=True)
    place = torch.empty_like(by_attention)
    place.scatter_(2, by_attention, o_slot.expand_as(by_attention))
    combined = rule.alpha * attention + (1 - rule.alpha) * friendliness.float()
    combined = combined.masked_fill(~(is_open & (place >= heavy)), torch.inf)
    combined = combined.masked_fill(in_use & (positions < 0), -1.0)
    order = torch.argsort(combined, dim=-1, stable=True)[..., : step.count]
    chosen, _ = order.masked_fill(combined.gather(2, order) == torch.inf, o_slot.shape[0]).sort(dim=-1)
    slots = page_slots(table.long())
    slots = torch.cat([slots, slots.new_full((len(slots), 1), -1)], 1)[:, None].expand(-1, chosen.shape[1], -1)
    victims = torch.full((*chosen.shape[:2], step.count), -1, dtype=torch.int32, device=table.device)
    victims[..., : chosen.shape[2]] = slots.gather(2, chosen).int()
    return victims


def normalised_attention(
    scores: torch.Tensor, ages: torch.Tensor, is_live: torch.Tensor, rule: EvictionRule
) -> torch.Tensor:
    """Return A^ of scores [.., num_kv_heads, num_slots], normalised over the last two dims; 0 where nothing lives."""
    measured = torch.log(scores / ages.clamp(min=1) + EPSILON.value) if rule.is_log else scores
    lowest = measured.masked_fill(~is_live, torch.inf).amin((-2, -1), keepdim=True)
    highest = measured.masked_fill(~is_live, -torch.inf).amax((-2, -1), keepdim=True)
    return ((measured - lowest) / (highest - lowest).clamp(min=1e-30)).masked_fill(~is_live, 0.0)


EPSILON = tl.constexpr(1e-6)
# Above the bits of 1.0, to which all keys are confined: keys have 30 bits, pairs of which begin at bits 28, 26, .. 0.
NEVER = tl.constexpr(2**30 - 1)
# Three counts of slots share one 64-bit sum; none reaches 2 ** COUNT_BITS, as there are at most MAX_SLOTS.
COUNT_BITS, COUNT_MASK = tl.constexpr(20), tl.constexpr(2**20 - 1)
# Slots that a warp holds in registers, eight a thread, as far as 16 warps reach.
WARP_SLOTS = 256


@triton.jit
def attention_of(b_scores, b_age, IS_LOG: tl.constexpr):
    if IS_LOG:
        b_scores = tl.log(b_scores / tl.maximum(b_age, 1).to(tl.float32) + EPSILON)
    return b_scores


@triton.jit
def chosen_ties(m_more, m_tie, wanted):
    """Return m_more and as many of the first of m_tie as it lacks to the number wanted."""
    lacking = wanted - tl.sum(m_more.to(tl.int32), 0)
    return m_more | (m_tie & (tl.cumsum(m_tie.to(tl.int32), 0) <= lacking))


@triton.jit
def counts_from(b_key, m_open, threshold, i_step):
    """Return how many open keys are at least the threshold with its next two bits set to 1, 2 and 3, side by side."""
    one = 1 << (28 - 2 * i_step)
    packed = (m_open & (b_key >= threshold + one)).to(tl.int64)
    packed += (m_open & (b_key >= threshold + 2 * one)).to(tl.int64) << COUNT_BITS
    packed += (m_open & (b_key >= threshold + 3 * one)).to(tl.int64) << (2 * COUNT_BITS)
    return tl.sum(packed, 0)


@triton.jit
def passed(counts, wanted, i_step):
    """Return what to add to a threshold so that at least the wanted number of keys is still from it on."""
    # A higher threshold leaves fewer keys, so how many of the three leave enough is the two bits to set.
    steps = ((counts & COUNT_MASK) >= wanted).to(tl.int32)
    steps += (((counts >> COUNT_BITS) & COUNT_MASK) >= wanted).to(tl.int32)
    steps += ((counts >> (2 * COUNT_BITS)) >= wanted).to(tl.int32)
    return steps * (1 << (28 - 2 * i_step))


@triton.jit
def largest(b_key, m_open, wanted):
    """Return a mask of the wanted largest keys, ints from 0 below NEVER, among those open."""
    # A sort in registers would exchange keys between warps about log2(SLOTS) ** 2 / 2 times. Instead the wanted-th
    # largest key is found from its highest bits down: a threshold grows as long as enough keys are not below it. Two
    # bits a step make 15 sums over the row of 30, each of three counts in one word.
    threshold = 0
    for i_step in range(15):
        threshold += passed(counts_from(b_key, m_open, threshold, i_step), wanted, i_step)
    return chosen_ties(m_open & (b_key > threshold), m_open & (b_key == threshold), wanted)


@triton.jit
def smallest(b_key, m_open, wanted):
    """Return a mask of the wanted smallest keys among those open."""
    return largest(NEVER - b_key, m_open, wanted)


@triton.jit
def attention_range_kernel(
    ranges,
    scores,
    positions,
    table,
    lens,
    seen,
    side_stride,
    table_stride,
    NUM_KV_HEADS: tl.constexpr,
    IS_LOG: tl.constexpr,
    SLOTS: tl.constexpr,
):
    """Write the least and the largest attention of each head of each row."""
    i_head, i_row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    length = tl.load(lens + i_row)
    if length <= 0:
        return
    o_slot = tl.arange(0, SLOTS)
    m_slot = o_slot < length
    i_page = tl.load(table + i_row * table_stride + o_slot // PAGE_SIZE_, mask=m_slot, other=0).to(tl.int64)
    o_side = i_page * side_stride + i_head * PAGE_SIZE_ + o_slot % PAGE_SIZE_
    b_position = tl.load(positions + o_side, mask=m_slot, other=-1)
    b_scores = tl.load(scores + o_side, mask=m_slot, other=0.0)
    b_attention = attention_of(b_scores, tl.load(seen + i_row) - b_position, IS_LOG)
    p_range = ranges + (i_row * NUM_KV_HEADS + i_head) * 2
    tl.store(p_range, tl.min(tl.where(b_position >= 0, b_attention, float("inf")), 0))
    tl.store(p_range + 1, tl.max(tl.where(b_position >= 0, b_attention, float("-inf")), 0))


@triton.jit
def eviction_kernel(
    victims,
    ranges,
    scores,
    friendliness,
    positions,
    table,
    lens,
    seen,
    heavy,
    recent,
    side_stride,
    friendliness_stride,
    table_stride,
    alpha,
    num_pinned,
    NUM_KV_HEADS: tl.constexpr,
    HEADS: tl.constexpr,
    COUNT: tl.constexpr,
    COUNT_BLOCK: tl.constexpr,
    IS_LOG: tl.constexpr,
    SLOTS: tl.constexpr,
):
    i_head, i_row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    p_victims = victims + (i_row * NUM_KV_HEADS + i_head) * COUNT
    o_count = tl.arange(0, COUNT_BLOCK)
    length = tl.load(lens + i_row)
    if length <= 0:
        tl.store(p_victims + o_count, tl.full([COUNT_BLOCK], -1, tl.int32), mask=o_count < COUNT)
        return
    num_seen = tl.load(seen + i_row)
    o_slot = tl.arange(0, SLOTS)
    m_slot = o_slot < length
    i_page = tl.load(table + i_row * table_stride + o_slot // PAGE_SIZE_, mask=m_slot, other=0).to(tl.int64)
    o_side = i_page * side_stride + o_slot % PAGE_SIZE_
    o_head = tl.arange(0, HEADS)
    p_range = ranges + (i_row * NUM_KV_HEADS + o_head) * 2
    lowest = tl.min(tl.load(p_range, mask=o_head < NUM_KV_HEADS, other=float("inf")), 0)
    highest = tl.max(tl.load(p_range + 1, mask=o_head < NUM_KV_HEADS, other=float("-inf")), 0)
    b_position = tl.load(positions + o_side + i_head * PAGE_SIZE_, mask=m_slot, other=-1)
    b_scores = tl.load(scores + o_side + i_head * PAGE_SIZE_, mask=m_slot, other=0.0)
    o_friendly = i_page * friendliness_stride + i_head * PAGE_SIZE_ + o_slot % PAGE_SIZE_
    b_friendly = tl.load(friendliness + o_friendly, mask=m_slot, other=0.0).to(tl.float32)
    b_attention = attention_of(b_scores, num_seen - b_position, IS_LOG)
    spread = tl.full([SLOTS], 1e-30, tl.float32)
    b_attention = tl.div_rn(b_attention - lowest, tl.maximum(spread, highest - lowest))
    b_attention = tl.where(b_position >= 0, b_attention, 0.0)
    m_open = (b_position >= num_pinned) & (b_position >= 0) & (b_position < num_seen - tl.load(recent + i_row))
    m_heavy = largest(b_attention.to(tl.int32, bitcast=True), m_open, tl.load(heavy + i_row))
    b_combined = alpha * b_attention + (1 - alpha) * b_friendly
    # Numbers from 0 to 1 are ordered as their bits are; 0 is left for empty slots.
    m_empty = m_slot & (b_position < 0)
    b_key = tl.where(m_empty, 0, b_combined.to(tl.int32, bitcast=True) + 1)
    m_victim = smallest(b_key, m_empty | (m_open & (m_heavy == 0)), COUNT)
    place = tl.cumsum(m_victim.to(tl.int32), 0) - 1
    tl.store(p_victims + place, (i_page * PAGE_SIZE_ + o_slot % PAGE_SIZE_).to(tl.int32), mask=m_victim)
    none = tl.full([COUNT_BLOCK], -1, tl.int32)
    tl.store(p_victims + o_count, none, mask=(o_count < COUNT) & (o_count >= tl.sum(m_victim.to(tl.int32), 0)))


def launch_eviction(step: EvictionStep, pages: KVPages) -> torch.Tensor:
    """Return the victims by the kernel."""
    scores, friendliness, positions = pages.side_planes()
    if not step.num_rows or not step.num_slots:
        return no_victims(step, pages)
    table, num_rows, num_kv_heads = step.table, step.num_rows, pages.num_kv_heads
    victims = torch.empty(num_rows, num_kv_heads, step.count, dtype=torch.int32, device=table.device)
    ranges = torch.empty(num_rows, num_kv_heads, 2, dtype=torch.float32, device=table.device)
    slots = triton.next_power_of_2(step.num_slots)
    shared = {
        "ranges": ranges,
        "scores": scores,
        "positions": positions,
        "table": table,
        "lens": step.lens,
        "seen": step.seen,
        "side_stride": scores.stride(0),
        "table_stride": table.stride(0),
        "NUM_KV_HEADS": num_kv_heads,
        "IS_LOG": step.rule.is_log,
        "SLOTS": slots,
        "num_warps": max(4, min(16, slots // WARP_SLOTS)),
    }
    attention_range_kernel[(num_kv_heads, num_rows)](**shared)
    eviction_kernel[(num_kv_heads, num_rows)](
        victims=victims,
        friendliness=friendliness,
        heavy=step.heavy,
        recent=step.recent,
        friendliness_stride=friendliness.stride(0),
        alpha=step.rule.alpha,
        num_pinned=step.rule.num_pinned,
        HEADS=triton.next_power_of_2(num_kv_heads),
        COUNT=step.count,
        COUNT_BLOCK=triton.next_power_of_2(step.count),
        **shared,
    )
    return victims


def no_victims(step: EvictionStep, pages: KVPages) -> torch.Tensor:
    """Return what rows without slots give up, and no rows."""
    shape = (step.num_rows, pages.num_kv_heads, step.count)
    return torch.full(shape, -1, dtype=torch.int32, device=step.table.device)
