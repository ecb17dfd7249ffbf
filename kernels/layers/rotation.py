"""How heads are prepared for attention: what of it is the same for a whole step, and for a layer in every step."""

from dataclasses import dataclass

import torch

from .rms_norm import rms_norm
from .rope import rope


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The positions of a step's tokens, and the table that turns queries and keys by them.

    positions  int32 or int64 [num_tokens], -1 for padding, whose heads stay as they are
    table      fp32 [max_position, 2 * half] of `rotary_table`
    """

    positions: torch.Tensor
    table: torch.Tensor

    def __post_init__(self) -> None:
        given = self.positions
        if given.dtype not in (torch.int32, torch.int64) or given.ndim != 1 or not given.is_contiguous():
            raise ValueError(
                f"positions, got {given.dtype} {tuple(given.shape)}, expected contiguous int32 or int64 [num_tokens]"
            )
        table = self.table
        if table.dtype != torch.float32 or table.ndim != 2 or table.shape[1] % 2 or not table.is_contiguous():
            raise ValueError(
                f"table, got {table.dtype} {tuple(table.shape)}, expected contiguous fp32 [max_position, even]"
            )

    @property
    def half(self) -> int:
        """How many pairs of a head's dims are turned."""
        return self.table.shape[1] // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNorms:
    """The RMS norms of a layer's query and key heads, [head_dim] each, as Qwen3 has them."""

    query: torch.Tensor
    key: torch.Tensor
    eps: float

    def __post_init__(self) -> None:
        query, key = self.query, self.key
        is_fitting = query.ndim == 1 and (query.shape, query.dtype) == (key.shape, key.dtype)
        if not is_fitting or not query.is_contiguous() or not key.is_contiguous():
            raise ValueError(
                f"head norms, got {query.dtype} {tuple(query.shape)} and {key.dtype} {tuple(key.shape)}, expected"
                " contiguous [head_dim] of one type"
            )


def turn_heads(
    rotation: Rotation, qkv: torch.Tensor, num_kv_heads: int, norms: HeadNorms | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return queries, keys and values of a fused projection as slices of it, the first two turned in place.

    qkv  [num_tokens, num_heads + 2 * num_kv_heads, head_dim]
    """
    num_heads = qkv.shape[1] - 2 * num_kv_heads
    query, keys, values = torch.split(qkv, [num_heads, num_kv_heads, num_kv_heads], 1)
    if norms is not None:
        rms_norm(query, norms.query, norms.eps, out=query)
        rms_norm(keys, norms.key, norms.eps, out=keys)
    # Both at once: queries and keys lie side by side.
    rope(qkv[:, : num_heads + num_kv_heads], query[:, :0], rotation.positions, rotation.table)
    return query, keys, values
