"""Log-probabilities of the chosen token and of the most probable ones.

Semantics: logprobs = log_softmax(logits); chosen = logprobs[i, tokens[i]]; top, top_ids = topk(logprobs[i], num_top)

logits   [num_rows, vocab_size], fp32, fp16 or bf16; rows contiguous, their stride free; NaN counts as -inf
tokens   int64 [num_rows] on the device; a row of token -1 (padding) is not written
chosen   fp32 [num_rows]
top      fp32 [num_rows, num_top], falling; equal ones in the order of their ids
top_ids  int64 [num_rows, num_top]

Sums are in fp32, in one order per vocabulary size: a row's bits depend on that row alone. A forbidden token (-inf) has
-inf, also where all are.

The kernel orders tokens by integer keys, logit above, id below, all distinct. It keeps the largest key of each block
and takes the next one `num_top` times, which reads one block again each time instead of the row.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl


def logprobs(logits: torch.Tensor, tokens: torch.Tensor, num_top: int, *, out: "Logprobs | None" = None) -> "Logprobs":
    """Return the log-probabilities; see the module's semantics."""
    return (launch_logprobs if logits.is_cuda else logprobs_reference)(logits, tokens, num_top, out=out)


def logprobs_reference(
    logits: torch.Tensor, tokens: torch.Tensor, num_top: int, *, out: "Logprobs | None" = None
) -> "Logprobs":
    """Return the log-probabilities; see the module's semantics."""
    check(logits, tokens, num_top, out)
    out = empty_logprobs(len(logits), num_top, logits.device) if out is None else out
    wide = logits.float().masked_fill(logits.isnan(), float("-inf"))
    all_logprobs = (wide - wide.logsumexp(-1, keepdim=True)).masked_fill(wide == float("-inf"), float("-inf"))
    ids = torch.arange(logits.shape[1], device=logits.device)
    bits = (wide + 0.0).view(torch.int32)
    keys = ((bits ^ (bits >> 31 & 0x7FFFFFFF)).long() << 32) + (0x7FFFFFFF - ids)
    top_ids = 0x7FFFFFFF - (keys.topk(num_top).values & 0xFFFFFFFF)
    is_live = (tokens >= 0)[:, None]
    chosen = all_logprobs.gather(1, tokens.long().clamp(min=0)[:, None])
    out.chosen.copy_(torch.where(is_live, chosen, out.chosen[:, None])[:, 0])
    out.top.copy_(torch.where(is_live, all_logprobs.gather(1, top_ids), out.top))
    out.top_ids.copy_(torch.where(is_live, top_ids, out.top_ids))
    return out


BLOCK = 4096
NUM_STAGES = tl.constexpr(3)


class Logprobs(NamedTuple):
    """Log-probabilities; see the module's shapes."""

    chosen: torch.Tensor
    top: torch.Tensor
    top_ids: torch.Tensor


def empty_logprobs(num_rows: int, num_top: int, device: torch.device) -> Logprobs:
    """Return what unwritten rows look like: NaN, and ids of -1."""
    chosen = torch.full((num_rows,), float("nan"), device=device)
    top = torch.full((num_rows, num_top), float("nan"), device=device)
    return Logprobs(chosen, top, torch.full((num_rows, num_top), -1, dtype=torch.int64, device=device))


@triton.jit
def load_logits(p_row, start, vocab_size, BLOCK: tl.constexpr):
    o_token = start + tl.arange(0, BLOCK)
    b_logit = tl.load(p_row + o_token, mask=o_token < vocab_size, other=float("-inf")).to(tl.float32)
    return tl.where(b_logit == b_logit, b_logit, float("-inf"))


@triton.jit
def load_keys(p_row, start, vocab_size, BLOCK: tl.constexpr):
    # Bits of floats are ordered as integers are, once those of negative ones but the sign are flipped. Adding 0.0 makes
    # -0.0, whose bits would come behind those of 0.0, its equal.
    b_bits = (load_logits(p_row, start, vocab_size, BLOCK) + 0.0).to(tl.int32, bitcast=True)
    b_order = b_bits ^ ((b_bits >> 31) & 0x7FFFFFFF)
    return (b_order.to(tl.int64) << 32) + (0x7FFFFFFF - start - tl.arange(0, BLOCK)).to(tl.int64)


@triton.jit
def logprob_of(logit, logsumexp):
    return tl.where(logit == float("-inf"), logit, logit - logsumexp)


@triton.jit(do_not_specialize=["num_top"])
def logprobs_kernel(
    chosen,
    top,
    top_ids,
    logits,
    tokens,
    vocab_size,
    logits_stride,
    num_top,
    NUM_BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i_row = tl.program_id(0).to(tl.int64)
    token = tl.load(tokens + i_row)
    if token < 0:
        return
    p_row = logits + i_row * logits_stride
    o_block = tl.arange(0, NUM_BLOCKS)
    lowest: tl.constexpr = -0x8000000000000000
    b_largest = tl.full((NUM_BLOCKS,), lowest, tl.int64)
    for start in tl.range(0, vocab_size, BLOCK, num_stages=NUM_STAGES):
        largest = tl.max(load_keys(p_row, start, vocab_size, BLOCK), axis=0)
        b_largest = tl.where(o_block == start // BLOCK, largest, b_largest)
    order = (tl.max(b_largest, axis=0) >> 32).to(tl.int32)
    maximum = (order ^ ((order >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
    maximum = tl.where(maximum == float("-inf"), 0.0, maximum)
    b_sum = tl.zeros((BLOCK,), tl.float32)
    for start in tl.range(0, vocab_size, BLOCK, num_stages=NUM_STAGES):
        b_sum += tl.exp(load_logits(p_row, start, vocab_size, BLOCK) - maximum)
    logsumexp = maximum + tl.log(tl.sum(b_sum, axis=0))
    logit = tl.load(p_row + token).to(tl.float32)
    tl.store(chosen + i_row, logprob_of(tl.where(logit == logit, logit, float("-inf")), logsumexp))
    for i_top in range(num_top):
        taken = tl.max(b_largest, axis=0)
        i_token = 0x7FFFFFFF - (taken & 0xFFFFFFFF)
        order = (taken >> 32).to(tl.int32)
        logit = (order ^ ((order >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
        tl.store(top + i_row * num_top + i_top, logprob_of(logit, logsumexp))
        tl.store(top_ids + i_row * num_top + i_top, i_token)
        i_block = (i_token // BLOCK).to(tl.int32)
        b_key = load_keys(p_row, i_block * BLOCK, vocab_size, BLOCK)
        b_largest = tl.where(o_block == i_block, tl.max(tl.where(b_key < taken, b_key, lowest), axis=0), b_largest)


def launch_logprobs(
    logits: torch.Tensor, tokens: torch.Tensor, num_top: int, *, out: Logprobs | None = None, block: int = BLOCK
) -> Logprobs:
    """Return the log-probabilities found by the kernel."""
    check(logits, tokens, num_top, out)
    num_rows, vocab_size = logits.shape
    out = empty_logprobs(num_rows, num_top, logits.device) if out is None else out
    if num_rows:
        logprobs_kernel[(num_rows,)](
            chosen=out.chosen,
            top=out.top,
            top_ids=out.top_ids,
            logits=logits,
            tokens=tokens,
            vocab_size=vocab_size,
            logits_stride=logits.stride(0),
            num_top=num_top,
            NUM_BLOCKS=triton.next_power_of_2(triton.cdiv(vocab_size, block)),
            BLOCK=block,
            num_warps=8,
        )
    return out


def check(logits: torch.Tensor, tokens: torch.Tensor, num_top: int, out: Logprobs | None) -> None:
    """Raise ValueError where rows, tokens and what is written do not fit each other."""
    num_rows, vocab_size = logits.shape
    if logits.stride(1) != 1:
        raise ValueError(f"logits, got strides {logits.stride()}, expected contiguous rows")
    if tokens.shape != (num_rows,) or not tokens.is_contiguous():
        raise ValueError(f"tokens, got {tuple(tokens.shape)}, expected contiguous [{num_rows}]")
    if not 0 <= num_top <= vocab_size:
        raise ValueError(f"num_top, got {num_top}, expected 0 to {vocab_size}")
    if out is None:
        return
    shapes = [tuple(part.shape) for part in out]
    if shapes != [(num_rows,), *2 * [(num_rows, num_top)]] or not all(part.is_contiguous() for part in out):
        raise ValueError(f"out, got {shapes}, expected contiguous [{num_rows}] and twice [{num_rows}, {num_top}]")
