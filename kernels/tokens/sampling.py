"""Draw one token a row: penalties, temperature, top-k, top-p, min-p, then a draw that its seed and position fix.

Semantics: z = logits; tokens of prompt or output: z / repetition if z > 0 else z * repetition
           z -= frequency * count; z -= presence * (count > 0)
           p = exp((z - max(z)) / temperature); w = floor(p * 2 ** 40)
           kept = the k largest p; of those the fewest largest with sum(w) >= top_p of their sum; of those p >= min_p
           token = first j with sum(kept w[:j + 1]) > philox(seed, position) * sum(kept w); output_counts[token] += 1
           at temperature 0: token = argmax(z), the first of equals

logits     [num_rows, vocab_size], fp32, fp16 or bf16; rows contiguous, their stride free; NaN counts as -inf
slots      int32 [num_rows] on the device, each slot once: rows of the table; -1 (padding) writes nothing
positions  int64 [num_rows] on the device: of the token that is drawn, in its sequence
table      SamplingTable
tokens     int64 [num_rows]; -1 where every token is forbidden

The order of the filters is that of transformers, and like there the equals of the last token that is kept are kept.

Reference and kernel return the same tokens, on any device and in any batch: `draw_arithmetic` says why. What is lost to
rounding weights down is below vocab_size * 2 ** -40 of the probability.

The kernel sorts nothing. It halves an interval of the bits of `p`, first over the row, then, once few enough tokens lie
inside, over those alone.
"""

import torch
import triton
import triton.language as tl

from .draw_arithmetic import WEIGHT_ONE, below, exp_of, fixed_exp, philox, random_below, weight_of
from .sampling_table import SamplingTable
from .token_bitmask import WORD_BITS_, unpack_bitmask


def sample(
    logits: torch.Tensor,
    slots: torch.Tensor,
    positions: torch.Tensor,
    table: SamplingTable,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the tokens drawn; see the module's semantics."""
    return (launch_sample if logits.is_cuda else sample_reference)(logits, slots, positions, table, out=out)


def sample_reference(
    logits: torch.Tensor,
    slots: torch.Tensor,
    positions: torch.Tensor,
    table: SamplingTable,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the tokens drawn; see the module's semantics."""
    check(logits, slots, positions, table, out)
    out = torch.full((len(logits),), -1, dtype=torch.int64, device=logits.device) if out is None else out
    is_live = slots >= 0
    if not is_live.any():
        return out
    rows = slots[is_live].long()
    z = penalised_reference(logits[is_live], rows, table)
    sums = kept_weights_reference(z, rows, table).cumsum(-1)
    drawn = below(sums[:, -1], *philox(table.seed[rows], positions[is_live].long()))
    maximum = z.amax(-1, keepdim=True)
    # argmax may return any of several equal ones; the first is meant.
    greedy = torch.where(z == maximum, torch.arange(table.vocab_size, device=z.device), table.vocab_size).amin(-1)
    tokens = torch.where(table.temperature[rows] > 0, (sums <= drawn[:, None]).sum(-1), greedy)
    tokens = tokens.clamp(max=table.vocab_size - 1)
    is_possible = maximum[:, 0] > float("-inf")
    table.output_counts[rows[is_possible], tokens[is_possible]] += 1
    out[is_live] = torch.where(is_possible, tokens, -1)
    return out


BLOCK = 4096
NUM_CANDIDATES = 4096
# One program reads a whole row again and again; blocks on their way hide how long each takes.
NUM_STAGES = tl.constexpr(3)
# The least p that has a weight, 2 ** -40, and the largest, 1, as bits.
LEAST_KEY, LARGEST_KEY = tl.constexpr(0x2B800000), tl.constexpr(0x3F800000)
# An infinite logit counts as this one, so that differences are numbers.
LARGEST_LOGIT = tl.constexpr(1e30)


def penalised_reference(logits: torch.Tensor, slots: torch.Tensor, table: SamplingTable) -> torch.Tensor:
    """Return the logits in fp32 after all penalties."""
    z = logits.float()
    z = z.masked_fill(z.isnan(), float("-inf")).clamp(max=LARGEST_LOGIT.value)
    repetition, presence, frequency = (
        values[slots][:, None] for values in (table.repetition_penalty, table.presence_penalty, table.frequency_penalty)
    )
    if not bool(((repetition != 1) | (presence != 0) | (frequency != 0)).any()):
        return z
    counts = table.output_counts[slots]
    is_seen = unpack_bitmask(table.prompt_tokens[slots], table.vocab_size) | (counts > 0)
    z = torch.where(is_seen, torch.where(z > 0, z / repetition, z * repetition), z)
    return z - frequency * counts - presence * (counts > 0)


def prefix_threshold_reference(p: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Return [num_rows, 1]: the least p that top-k and then top-p keep."""
    vocab_size = p.shape[1]
    falling = p.sort(-1, descending=True).values
    last = torch.where(top_k > 0, top_k, vocab_size).clamp(max=vocab_size) - 1
    threshold = falling.gather(1, last.long())
    sums = ((falling * WEIGHT_ONE.value).long() * (falling >= threshold)).cumsum(-1)
    goal = (top_p.double() * sums[:, -1:].double()).long().clamp(min=1)
    # In a row where all is forbidden no sum reaches the goal.
    end = torch.where(top_p < 1, (sums < goal).sum(-1, keepdim=True), vocab_size).clamp(max=vocab_size - 1)
    return torch.maximum(threshold, falling.gather(1, end))


def kept_weights_reference(z: torch.Tensor, slots: torch.Tensor, table: SamplingTable) -> torch.Tensor:
    """Return int64 [num_rows, vocab_size]: the weights of the tokens that the filters keep, 0 elsewhere."""
    temperature, top_k, top_p, min_p = (
        values[slots][:, None] for values in (table.temperature, table.top_k, table.top_p, table.min_p)
    )
    p = fixed_exp((z - z.amax(-1, keepdim=True)) / torch.where(temperature > 0, temperature, 1.0))
    threshold = min_p
    if bool(((top_k > 0) | (top_p < 1)).any()):
        threshold = torch.maximum(min_p, prefix_threshold_reference(p, top_k, top_p))
    weights: torch.Tensor = (p * WEIGHT_ONE.value).long()
    return weights * (p >= threshold)


@triton.jit
def load_key(p_row, start, vocab_size, BLOCK: tl.constexpr):
    # The bits of numbers that are not negative order them; -1 is below all.
    o_token = start + tl.arange(0, BLOCK)
    return tl.load(p_row + o_token, mask=o_token < vocab_size, other=-1.0).to(tl.int32, bitcast=True)


@triton.jit
def weight_from(b_key, threshold):
    return tl.where(b_key >= threshold, weight_of(b_key.to(tl.float32, bitcast=True)), 0)


@triton.jit
def find_threshold(
    p_row,
    p_candidate,
    vocab_size,
    low,
    count_low,
    weight_low,
    goal,
    BY_WEIGHT: tl.constexpr,
    BLOCK: tl.constexpr,
    NUM_CANDIDATES: tl.constexpr,
):
    """Return the largest key from `low` on whose count or weight reaches the goal, with its count and weight.

    A key's count and weight are those of all keys of the row that are at least as large; those of `low` are given, and
    reach the goal.
    """
    high = tl.full((), LARGEST_KEY + 1, tl.int32)
    count_high = tl.full((), 0, tl.int32)
    weight_high = tl.full((), 0, tl.int64)
    while (high - low > 1) & (count_low - count_high > NUM_CANDIDATES):
        middle = low + (high - low) // 2
        b_count = tl.zeros((BLOCK,), tl.int32)
        b_weight = tl.zeros((BLOCK,), tl.int64)
        for start in tl.range(0, vocab_size, BLOCK, num_stages=NUM_STAGES):
            b_key = load_key(p_row, start, vocab_size, BLOCK)
            b_count += (b_key >= middle).to(tl.int32)
            b_weight += weight_from(b_key, middle)
        count = tl.sum(b_count, axis=0)
        weight = tl.sum(b_weight, axis=0)
        is_reached = (weight if BY_WEIGHT else count) >= goal
        low = tl.where(is_reached, middle, low)
        count_low = tl.where(is_reached, count, count_low)
        weight_low = tl.where(is_reached, weight, weight_low)
        high = tl.where(is_reached, high, middle)
        count_high = tl.where(is_reached, count_high, count)
        weight_high = tl.where(is_reached, weight_high, weight)
    if high - low > 1:
        num_found = tl.full((), 0, tl.int32)
        for start in tl.range(0, vocab_size, BLOCK, num_stages=NUM_STAGES):
            b_key = load_key(p_row, start, vocab_size, BLOCK)
            m_inside = (b_key >= low) & (b_key < high)
            o_found = num_found + tl.cumsum(m_inside.to(tl.int32), axis=0) - 1
            tl.store(p_candidate + o_found, b_key, mask=m_inside)
            num_found += tl.sum(m_inside.to(tl.int32), axis=0)
        tl.debug_barrier()
        o_candidate = tl.arange(0, NUM_CANDIDATES)
        b_key = tl.load(p_candidate + o_candidate, mask=o_candidate < num_found, other=0)
        while high - low > 1:
            middle = low + (high - low) // 2
            if BY_WEIGHT:
                is_reached = weight_high + tl.sum(weight_from(b_key, middle), axis=0) >= goal
            else:
                is_reached = count_high + tl.sum((b_key >= middle).to(tl.int32), axis=0) >= goal
            low = tl.where(is_reached, middle, low)
            high = tl.where(is_reached, high, middle)
        count_low = count_high + tl.sum((b_key >= low).to(tl.int32), axis=0)
        weight_low = weight_high + tl.sum(weight_from(b_key, low), axis=0)
        # Before the next search writes its own.
        tl.debug_barrier()
    return low, count_low, weight_low


@triton.jit
def penalised(b_z, o_token, m_token, p_prompt, p_count, repetition, presence, frequency):
    b_word = tl.load(p_prompt + o_token // WORD_BITS_, mask=m_token, other=0)
    b_count = tl.load(p_count + o_token, mask=m_token, other=0)
    is_seen = (((b_word >> (o_token % WORD_BITS_)) & 1) > 0) | (b_count > 0)
    b_scaled = tl.where(b_z > 0, tl.div_rn(b_z, repetition), b_z * repetition)
    b_z = tl.where(is_seen, b_scaled, b_z)
    b_z = b_z - frequency * b_count.to(tl.float32)
    return b_z - presence * (b_count > 0).to(tl.float32)


@triton.jit
def sample_kernel(
    out,
    logits,
    slots,
    positions,
    temperatures,
    top_ks,
    top_ps,
    min_ps,
    repetition_penalties,
    presence_penalties,
    frequency_penalties,
    seeds,
    prompt_tokens,
    output_counts,
    probabilities,
    candidates,
    vocab_size,
    logits_stride,
    BLOCK: tl.constexpr,
    NUM_CANDIDATES: tl.constexpr,
):
    i_row = tl.program_id(0).to(tl.int64)
    i_slot = tl.load(slots + i_row).to(tl.int64)
    if i_slot < 0:
        return
    repetition = tl.load(repetition_penalties + i_slot)
    presence = tl.load(presence_penalties + i_slot)
    frequency = tl.load(frequency_penalties + i_slot)
    is_penalised = (repetition != 1.0) | (presence != 0.0) | (frequency != 0.0)
    p_logit = logits + i_row * logits_stride
    p_row = probabilities + i_row * vocab_size
    p_candidate = candidates + i_row * NUM_CANDIDATES
    p_prompt = prompt_tokens + i_slot * tl.cdiv(vocab_size, WORD_BITS_)
    p_count = output_counts + i_slot * vocab_size

    b_best = tl.full((BLOCK,), float("-inf"), tl.float32)
    b_best_token = tl.zeros((BLOCK,), tl.int32)
    for start in tl.range(0, vocab_size, BLOCK, num_stages=NUM_STAGES):
        o_token = start + tl.arange(0, BLOCK)
        m_token = o_token < vocab_size
        b_z = tl.load(p_logit + o_token, mask=m_token, other=float("-inf")).to(tl.float32)
        b_z = tl.where(b_z == b_z, tl.minimum(b_z, LARGEST_LOGIT), float("-inf"))
        if is_penalised:
            b_z = penalised(b_z, o_token, m_token, p_prompt, p_count, repetition, presence, frequency)
        tl.store(p_row + o_token, b_z, mask=m_token)
        is_better = b_z > b_best
        b_best_token = tl.where(is_better, o_token, b_best_token)
        b_best = tl.where(is_better, b_z, b_best)
    maximum = tl.max(b_best, axis=0)
    if maximum == float("-inf"):
        tl.store(out + i_row, -1)
        return
    token = tl.min(tl.where(b_best == maximum, b_best_token, vocab_size), axis=0)
    tl.debug_barrier()

    temperature = tl.load(temperatures + i_slot)
    if temperature > 0:
        b_weight = tl.zeros((BLOCK,), tl.int64)
        b_count = tl.zeros((BLOCK,), tl.int32)
        for start in tl.range(0, vocab_size, BLOCK, num_stages=NUM_STAGES):
            o_token = start + tl.arange(0, BLOCK)
            m_token = o_token < vocab_size
            b_z = tl.load(p_row + o_token, mask=m_token, other=float("-inf"))
            b_p = exp_of(tl.div_rn(b_z - maximum, temperature))
            tl.store(p_row + o_token, b_p, mask=m_token)
            b_weight += weight_of(b_p)
            b_count += (b_p.to(tl.int32, bitcast=True) >= LEAST_KEY).to(tl.int32)
        # All that have weight are kept at first.
        threshold = tl.full((), LEAST_KEY, tl.int32)
        count = tl.sum(b_count, axis=0)
        weight = tl.sum(b_weight, axis=0)
        tl.debug_barrier()

        top_k = tl.load(top_ks + i_slot)
        if (top_k > 0) & (top_k < count):
            threshold, count, weight = find_threshold(
                p_row, p_candidate, vocab_size, threshold, count, weight, top_k, False, BLOCK, NUM_CANDIDATES
            )
        top_p = tl.load(top_ps + i_slot)
        if top_p < 1:
            goal = tl.maximum((top_p.to(tl.float64) * weight.to(tl.float64)).to(tl.int64), 1)
            threshold, count, weight = find_threshold(
                p_row, p_candidate, vocab_size, threshold, count, weight, goal, True, BLOCK, NUM_CANDIDATES
            )
        min_key = tl.load(min_ps + i_slot).to(tl.int32, bitcast=True)
        if min_key > threshold:
            threshold = min_key
            b_weight = tl.zeros((BLOCK,), tl.int64)
            for start in tl.range(0, vocab_size, BLOCK, num_stages=NUM_STAGES):
                b_weight += weight_from(load_key(p_row, start, vocab_size, BLOCK), threshold)
            weight = tl.sum(b_weight, axis=0)

        rest = random_below(weight, tl.load(seeds + i_slot), tl.load(positions + i_row).to(tl.int64))
        start = tl.full((), 0, tl.int32)
        b_weight = weight_from(load_key(p_row, start, vocab_size, BLOCK), threshold)
        block_weight = tl.sum(b_weight, axis=0)
        while (block_weight <= rest) & (start + BLOCK < vocab_size):
            rest -= block_weight
            start += BLOCK
            b_weight = weight_from(load_key(p_row, start, vocab_size, BLOCK), threshold)
            block_weight = tl.sum(b_weight, axis=0)
        token = start + tl.sum((tl.cumsum(b_weight, axis=0) <= rest).to(tl.int32), axis=0)

    # Where a table's values leave no token any weight.
    token = tl.minimum(token, vocab_size - 1)
    tl.store(out + i_row, token.to(tl.int64))
    tl.store(p_count + token, tl.load(p_count + token) + 1)


def launch_sample(
    logits: torch.Tensor,
    slots: torch.Tensor,
    positions: torch.Tensor,
    table: SamplingTable,
    *,
    out: torch.Tensor | None = None,
    block: int = BLOCK,
    num_candidates: int = NUM_CANDIDATES,
) -> torch.Tensor:
    """Return the tokens drawn by the kernel."""
    num_rows, vocab_size = logits.shape
    device = logits.device
    check(logits, slots, positions, table, out)
    out = torch.full((num_rows,), -1, dtype=torch.int64, device=device) if out is None else out
    if num_rows:
        sample_kernel[(num_rows,)](
            out=out,
            logits=logits,
            slots=slots,
            positions=positions,
            temperatures=table.temperature,
            top_ks=table.top_k,
            top_ps=table.top_p,
            min_ps=table.min_p,
            repetition_penalties=table.repetition_penalty,
            presence_penalties=table.presence_penalty,
            frequency_penalties=table.frequency_penalty,
            seeds=table.seed,
            prompt_tokens=table.prompt_tokens,
            output_counts=table.output_counts,
            probabilities=torch.empty(num_rows, vocab_size, dtype=torch.float32, device=device),
            candidates=torch.empty(num_rows, num_candidates, dtype=torch.int32, device=device),
            vocab_size=vocab_size,
            logits_stride=logits.stride(0),
            BLOCK=block,
            NUM_CANDIDATES=num_candidates,
            num_warps=16,
            # A fused multiply-add rounds once where the reference rounds twice.
            enable_fp_fusion=False,
        )
    return out


def check(
    logits: torch.Tensor, slots: torch.Tensor, positions: torch.Tensor, table: SamplingTable, out: torch.Tensor | None
) -> None:
    """Raise ValueError where rows, requests and the table do not fit each other."""
    num_rows, vocab_size = logits.shape
    if vocab_size != table.vocab_size or logits.stride(1) != 1:
        raise ValueError(
            f"logits, got {tuple(logits.shape)} with strides {logits.stride()}, expected [num_rows, {table.vocab_size}]"
            " with contiguous rows"
        )
    for name, each in (("slots", slots), ("positions", positions), ("out", out)):
        if each is not None and (each.shape != (num_rows,) or not each.is_contiguous()):
            raise ValueError(f"{name}, got {tuple(each.shape)}, expected contiguous [{num_rows}]")
