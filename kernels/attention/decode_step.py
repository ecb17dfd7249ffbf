"""What decode attention needs that is the same in every layer of a step."""

from dataclasses import dataclass

import torch

from ..cache.kv_pages import check_rows

SPLIT_LEN = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeStep:
    """Rows of one new token each, and where their caches lie; tensors are held, never copied, so graphs see changes.

    table, lens            int32 [num_rows, max_pages] and [num_rows]: pages, and how many of their slots are in use
    ring_table, ring_lens  int32 [num_rows]: the ring page of each row and its slots in use, or none without rings
    window                 how many of the newest slots are attended to, all if 0
    has_scores             whether attention is added to the scores of the pages
    split_len              a power of two that a policy fixes, since a row's bits depend on it; caches with a budget do
                           best with one split
    """

    table: torch.Tensor
    lens: torch.Tensor
    scale: float
    window: int = 0
    has_scores: bool = False
    ring_table: torch.Tensor | None = None
    ring_lens: torch.Tensor | None = None
    split_len: int = SPLIT_LEN

    def __post_init__(self) -> None:
        check_rows("lens", self.table, self.lens, self.num_rows)
        if self.split_len < 1 or self.split_len & (self.split_len - 1):
            raise ValueError(f"split_len, got {self.split_len}, expected a power of two")
        if self.window < 0:
            raise ValueError(f"window, got {self.window}, expected 0 or more")
        if self.ring_table is None or self.ring_lens is None:
            if self.ring_table is not self.ring_lens:
                raise ValueError("ring_table and ring_lens, got one, expected both or none")
            return
        if self.window:
            raise ValueError(f"window, got {self.window}, expected 0 for rows with rings")
        if not self.ring_table.is_contiguous():
            raise ValueError(f"ring_table, got strides {self.ring_table.stride()}, expected contiguous [num_rows]")
        check_rows("ring_lens", self.ring_table[:, None], self.ring_lens, self.num_rows)

    @property
    def num_rows(self) -> int:
        return self.table.shape[0]
