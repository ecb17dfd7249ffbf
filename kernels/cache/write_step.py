"""Where new tokens go: what `cache_write` needs that is the same for a whole step."""

from dataclasses import dataclass

import torch

from .kv_quantize import BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStep:
    """The slots of a step's new tokens; where heads of a layer have slots of their own, those of that layer.

    slots       int32 or int64 [num_tokens] or, where heads overwrite different slots, [num_tokens, num_kv_heads]:
                page * 32 + offset; a slot of -1 writes nothing
    positions   int32 [num_tokens], needed where the pages have side planes
    error_bits  the codes whose error counts where full precision is kept
    """

    slots: torch.Tensor
    positions: torch.Tensor | None = None
    error_bits: int = 4

    def __post_init__(self) -> None:
        if self.slots.dtype not in (torch.int32, torch.int64) or self.slots.ndim not in (1, 2):
            raise ValueError(
                f"slots, got {self.slots.dtype} {tuple(self.slots.shape)}, expected int32 or int64 [num_tokens] or"
                " [num_tokens, num_kv_heads]"
            )
        given = self.positions
        if given is not None and (
            given.dtype != torch.int32 or given.shape != (self.num_tokens,) or not given.is_contiguous()
        ):
            raise ValueError(
                f"positions, got {given.dtype} {tuple(given.shape)}, expected contiguous int32 [{self.num_tokens}]"
            )
        if self.error_bits not in BITS:
            raise ValueError(f"error_bits, got {self.error_bits}, expected 2, 4 or 8")

    @property
    def num_tokens(self) -> int:
        return self.slots.shape[0]
