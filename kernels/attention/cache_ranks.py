"""Keys that a streaming cache keeps before RoPE, turned by their rank in the cache when they are read."""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ..cache.kv_pages import PAGE_SIZE, read_plane


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRanks:
    """Where each slot's key stands in its cache, and the rotation of each rank."""

    ranks: torch.Tensor
    cos_sin: torch.Tensor

    def __post_init__(self) -> None:
        if self.ranks.dtype != torch.int32 or self.ranks.shape[2:] != (PAGE_SIZE,) or not self.ranks[0].is_contiguous():
            raise ValueError(
                f"ranks, got {self.ranks.dtype} {tuple(self.ranks.shape)}, expected int32 [pages, heads, {PAGE_SIZE}], "
                "each page contiguous"
            )
        if self.cos_sin.dtype != torch.float32 or self.cos_sin.ndim != 2 or not self.cos_sin.is_contiguous():
            raise ValueError(
                f"cos_sin, got {self.cos_sin.dtype} {tuple(self.cos_sin.shape)}, expected contiguous fp32 [ranks, dim]"
            )


def rotated(keys: torch.Tensor, ranks: CacheRanks, table: torch.Tensor) -> torch.Tensor:
    """Return keys turned by the rotation of their rank."""
    rank = read_plane(ranks.ranks, table).long().clamp(0, ranks.cos_sin.shape[0] - 1)
    cos, sin = ranks.cos_sin[rank].chunk(2, dim=-1)
    low, high = keys.chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)


@triton.jit
def turned(k_low, k_high, p_rank, m_slot, cos_sin, HALF: tl.constexpr, COMPUTE: tl.constexpr):
    """Return both halves of keys turned by the rotation of their rank."""
    i_rank = tl.load(p_rank, mask=m_slot, other=0)
    p_cos = cos_sin + i_rank[:, None] * (2 * HALF) + tl.arange(0, HALF)[None, :]
    b_cos, b_sin = tl.load(p_cos), tl.load(p_cos + HALF)
    return (k_low * b_cos - k_high * b_sin).to(COMPUTE), (k_high * b_cos + k_low * b_sin).to(COMPUTE)
