"""From which rows `eviction` chooses, and by which rule: the same in every layer of a step."""

from dataclasses import dataclass

import torch

from .kv_pages import PAGE_SIZE

# A program holds what it knows of all slots of a head in registers; beyond this they would not do.
MAX_SLOTS = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionRule:
    """How attention and friendliness make a score, and what is never given up."""

    alpha: float = 0.5
    is_log: bool = False
    num_pinned: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha, got {self.alpha}, expected between 0 and 1")
        if self.num_pinned < 0:
            raise ValueError(f"num_pinned, got {self.num_pinned}, expected 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionStep:
    """Rows of sparse caches, the parts of their budgets, and how many victims each head has.

    table                      int32 [num_rows, max_pages] of at most MAX_SLOTS slots
    lens, seen, heavy, recent  int32 [num_rows]: slots in use, tokens seen so far (their positions are below it), tokens
                               kept for their attention and as the newest; a row of length 0 is padding or not due
    """

    table: torch.Tensor
    lens: torch.Tensor
    seen: torch.Tensor
    heavy: torch.Tensor
    recent: torch.Tensor
    rule: EvictionRule
    count: int = 1

    def __post_init__(self) -> None:
        if self.table.dtype != torch.int32 or self.table.ndim != 2 or self.table.stride(1) != 1:
            raise ValueError(
                f"table, got {self.table.dtype} with strides {self.table.stride()}, expected int32 with contiguous rows"
            )
        if self.num_slots > MAX_SLOTS:
            raise ValueError(f"table, got {self.num_slots} slots, expected at most {MAX_SLOTS}")
        for name in ("lens", "seen", "heavy", "recent"):
            each: torch.Tensor = getattr(self, name)
            if each.dtype != torch.int32 or each.shape != (self.num_rows,) or not each.is_contiguous():
                raise ValueError(
                    f"{name}, got {each.dtype} {tuple(each.shape)}, expected contiguous int32 [{self.num_rows}]"
                )
        if self.count < 1:
            raise ValueError(f"count, got {self.count}, expected at least 1")

    @property
    def num_rows(self) -> int:
        return self.table.shape[0]

    @property
    def num_slots(self) -> int:
        return self.table.shape[1] * PAGE_SIZE
