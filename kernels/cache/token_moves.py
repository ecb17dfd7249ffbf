"""Which tokens go where: what `cache_move` does to each head of a cache."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMoves:
    """Slots to read and slots to write; no slot may be a target twice, nor both a source and a target.

    source_slots, target_slots  int32 or int64 [num_entries, num_kv_heads]: page * 32 + offset, -1 moves nothing
    error_ranges                fp32 [num_ranges, 4]: lowest and highest error of keys, of values; entry i is judged by
                                range i // entries_per_range. Needed where the source has side planes
    """

    source_slots: torch.Tensor
    target_slots: torch.Tensor
    error_ranges: torch.Tensor | None = None
    entries_per_range: int = 1

    def __post_init__(self) -> None:
        if self.source_slots.ndim != 2 or self.target_slots.shape != self.source_slots.shape:
            raise ValueError(
                f"slots, got {tuple(self.source_slots.shape)} and {tuple(self.target_slots.shape)}, expected twice"
                " [num_entries, num_kv_heads]"
            )
        if self.entries_per_range < 1:
            raise ValueError(f"entries_per_range, got {self.entries_per_range}, expected at least 1")
        num_ranges, ranges = -(-len(self.source_slots) // self.entries_per_range), self.error_ranges
        if ranges is not None and not (
            len(ranges) >= num_ranges and ranges.shape[1:] == (4,) and ranges.is_contiguous()
        ):
            raise ValueError(f"error_ranges, got {tuple(ranges.shape)}, expected contiguous [{num_ranges}, 4]")
