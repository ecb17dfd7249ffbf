"""Forbid tokens by packed bits, as xgrammar packs them: one bit a token, 32 a word, the lowest bit first.

Semantics: for i: if mask_ids[i] >= 0: logits[i, j] = -inf where not bitmask[mask_ids[i], j // 32] >> (j % 32) & 1

logits    [num_rows, vocab_size], changed in place; rows contiguous, their stride free
bitmask   int32 [num_masks, ceil(vocab_size / 32)]
mask_ids  int32 [num_rows] on the device; a row of mask -1 (unconstrained, or padding) stays as it is
"""

import torch
import triton
import triton.language as tl


def apply_token_bitmask(logits: torch.Tensor, bitmask: torch.Tensor, mask_ids: torch.Tensor) -> torch.Tensor:
    """Return the logits, changed in place; see the module's semantics."""
    return (launch_apply_token_bitmask if logits.is_cuda else apply_token_bitmask_reference)(logits, bitmask, mask_ids)


def apply_token_bitmask_reference(logits: torch.Tensor, bitmask: torch.Tensor, mask_ids: torch.Tensor) -> torch.Tensor:
    """Return the logits, changed in place; see the module's semantics."""
    check(logits, bitmask, mask_ids)
    if not len(bitmask):
        return logits
    allowed = unpack_bitmask(bitmask, logits.shape[1])[mask_ids.long().clamp(min=0)]
    return logits.masked_fill_(~allowed & (mask_ids >= 0)[:, None], float("-inf"))


# Bits in a word of a mask, for Python and for kernels.
WORD_BITS = 32
WORD_BITS_ = tl.constexpr(WORD_BITS)
BLOCK = 4096


def pack_bitmask(allowed: torch.Tensor) -> torch.Tensor:
    """Return int32 [num_masks, ceil(vocab_size / 32)] of bool [num_masks, vocab_size]."""
    padded = torch.nn.functional.pad(allowed, (0, -allowed.shape[1] % WORD_BITS))
    bits = padded.view(len(allowed), -1, WORD_BITS).long()
    return (bits << torch.arange(WORD_BITS, device=allowed.device)).sum(-1).to(torch.int32)


def unpack_bitmask(bitmask: torch.Tensor, vocab_size: int) -> torch.Tensor:
    """Return bool [num_masks, vocab_size] of int32 [num_masks, ceil(vocab_size / 32)]."""
    bits = bitmask[:, :, None] >> torch.arange(WORD_BITS, dtype=torch.int32, device=bitmask.device) & 1
    return bits.view(len(bitmask), -1)[:, :vocab_size].bool()


@triton.jit
def apply_token_bitmask_kernel(
    logits, bitmask, mask_ids, vocab_size, logits_stride, bitmask_stride, BLOCK: tl.constexpr
):
    i_row = tl.program_id(0).to(tl.int64)
    i_mask = tl.load(mask_ids + i_row).to(tl.int64)
    if i_mask < 0:
        return
    o_token = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    m_token = o_token < vocab_size
    b_word = tl.load(bitmask + i_mask * bitmask_stride + o_token // WORD_BITS_, mask=m_token, other=-1)
    is_forbidden = ((b_word >> (o_token % WORD_BITS_)) & 1) == 0
    tl.store(logits + i_row * logits_stride + o_token, float("-inf"), mask=m_token & is_forbidden)


def launch_apply_token_bitmask(logits: torch.Tensor, bitmask: torch.Tensor, mask_ids: torch.Tensor) -> torch.Tensor:
    """Return the logits, changed in place by the kernel."""
    check(logits, bitmask, mask_ids)
    num_rows, vocab_size = logits.shape
    if num_rows:
        apply_token_bitmask_kernel[(num_rows, triton.cdiv(vocab_size, BLOCK))](
            logits=logits,
            bitmask=bitmask,
            mask_ids=mask_ids,
            vocab_size=vocab_size,
            logits_stride=logits.stride(0),
            bitmask_stride=bitmask.stride(0),
            BLOCK=BLOCK,
            num_warps=8,
        )
    return logits


def check(logits: torch.Tensor, bitmask: torch.Tensor, mask_ids: torch.Tensor) -> None:
    """Raise ValueError where rows, masks and their ids do not fit each other."""
    num_rows, vocab_size = logits.shape
    num_words = triton.cdiv(vocab_size, WORD_BITS)
    if bitmask.dtype != torch.int32 or bitmask.shape[1:] != (num_words,) or bitmask.stride(1) != 1:
        raise ValueError(
            f"bitmask, got {bitmask.dtype} {tuple(bitmask.shape)}, expected int32 [num_masks, {num_words}] with"
            " contiguous rows"
        )
    if logits.stride(1) != 1:
        raise ValueError(f"logits, got strides {logits.stride()}, expected contiguous rows")
    if mask_ids.shape != (num_rows,) or not mask_ids.is_contiguous():
        raise ValueError(f"mask_ids, got {tuple(mask_ids.shape)}, expected contiguous [{num_rows}]")
