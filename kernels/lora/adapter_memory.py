"""Where the kernels find adapters: the pool, the page tables and the measures of both."""

from dataclasses import dataclass

import torch

from .lora_batch import BLOCK_PAGES, RANK, SLOT
from .page_layout import BLOCK_ROWS, PageLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterMemory:
    """Where adapters lie: `pool` uint8 [num_pages, page_bytes], `page_table` int32 [num_slots, max_pages]."""

    pool: torch.Tensor
    page_table: torch.Tensor
    pages: PageLayout
    max_rank: int

    def __post_init__(self) -> None:
        if self.pool.dtype != torch.uint8 or self.pool.shape[1:] != (self.pages.page_bytes,):
            raise ValueError(
                f"pool, got {self.pool.dtype} {tuple(self.pool.shape)}, expected uint8 [pages, {self.pages.page_bytes}]"
            )
        if not self.pool.is_contiguous():
            raise ValueError(f"pool, got strides {self.pool.stride()}, expected contiguous pages")
        table = self.page_table
        if table.dtype != torch.int32 or table.ndim != 2 or table.stride(1) != 1:
            raise ValueError(
                f"page_table, got {table.dtype} with strides {table.stride()}, expected int32 with contiguous rows"
            )

    def rows(self, record: list[int], first_cut: int, width: int) -> torch.Tensor:
        """Return an adapter's rows [rank, width] whose cuts start at `first_cut`, gathered from its pages."""
        per_page, tile_width = self.pages.tiles_per_page, self.pages.tile_width
        tiles = self.pool.view(self.pages.dtype).view(-1, per_page, tile_width)
        cuts = torch.arange(first_cut, first_cut + self.pages.num_cuts(width), device=self.pool.device)
        row = torch.arange(record[RANK], device=self.pool.device)[:, None]
        block, within = row // BLOCK_ROWS, row % BLOCK_ROWS
        is_short = record[RANK] - block * BLOCK_ROWS <= BLOCK_ROWS // 2
        tile = cuts * torch.where(is_short, BLOCK_ROWS // 2, BLOCK_ROWS) + within
        page = self.page_table[record[SLOT], block * record[BLOCK_PAGES] + tile // per_page].long()
        return tiles[page, tile % per_page].flatten(1)[:, :width]
