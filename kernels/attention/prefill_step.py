"""What prefill attention and the scores of a prompt need that is the same in every layer of a step."""

from dataclasses import dataclass

import torch

from ..cache.kv_pages import check_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillStep:
    """Chunks of new tokens, row after row, and the prefixes that are cached before them.

    starts              int32 [num_rows + 1]: the first token of each row, and the end of the last
    max_len             at least the longest row; a number of the host, which bounds the grid
    table, prefix_lens  int32 [num_rows, max_pages] and [num_rows], or none where no row has a prefix
    window              how many of the newest tokens are attended to, all if 0
    """

    starts: torch.Tensor
    max_len: int
    scale: float
    window: int = 0
    table: torch.Tensor | None = None
    prefix_lens: torch.Tensor | None = None

    def __post_init__(self) -> None:
        check_starts(self.starts, self.window)
        if self.table is not None and self.prefix_lens is not None:
            check_rows("prefix_lens", self.table, self.prefix_lens, self.num_rows)
        elif self.table is not self.prefix_lens:
            raise ValueError("table and prefix_lens, got one, expected both or none")

    @property
    def num_rows(self) -> int:
        return self.starts.shape[0] - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresStep:
    """Chunks of new tokens whose attention is added to the scores of all that is cached, the chunks included.

    starts               int32 [num_rows + 1], as in prefill
    table, context_lens  int32 [num_rows, max_pages] and [num_rows]: prefixes and chunks
    last                 how many of each row's last queries count, all if 0
    """

    starts: torch.Tensor
    table: torch.Tensor
    context_lens: torch.Tensor
    scale: float
    window: int = 0
    last: int = 0

    def __post_init__(self) -> None:
        check_starts(self.starts, self.window)
        check_rows("context_lens", self.table, self.context_lens, self.num_rows)
        if self.last < 0:
            raise ValueError(f"last, got {self.last}, expected 0 or more")

    @property
    def num_rows(self) -> int:
        return self.starts.shape[0] - 1


def check_starts(starts: torch.Tensor, window: int) -> None:
    """Raise ValueError where rows are not bounded as kernels need it."""
    if starts.dtype != torch.int32 or starts.ndim != 1 or not len(starts) or not starts.is_contiguous():
        raise ValueError(f"starts, got {starts.dtype} {tuple(starts.shape)}, expected contiguous int32 [num_rows + 1]")
    if window < 0:
        raise ValueError(f"window, got {window}, expected 0 or more")
