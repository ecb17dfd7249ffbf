"""Where the kernels find adapters: the pool, the page tables and the measures of both."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .lora_batch import BLOCK_PAGES, ITEM_WIDTH, RANK, SLOT
from .page_layout import BLOCK_ROWS, AdapterLayout, PageLayout, check_widths


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterMemory:
    """Where adapters lie, and what an adapter may be at most.

    pool                uint8 [num_pages, page_bytes]
    page_table          int32 [num_slots, max_pages]
    max_rank            the highest rank that kernels have room for
    num_layers, widths  those of the model: adapters have all its layers and any of its projections, (in, out) each
    """

    pool: torch.Tensor
    page_table: torch.Tensor
    pages: PageLayout
    max_rank: int
    num_layers: int
    widths: Mapping[str, tuple[int, int]]

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
        if table.device != self.pool.device:
            raise ValueError(f"page_table, got it on {table.device}, expected it on {self.pool.device} with the pool")
        if self.max_rank < 1 or self.num_layers < 1:
            raise ValueError(f"max_rank and num_layers, got {self.max_rank} and {self.num_layers}, expected at least 1")
        check_widths(self.widths)

    def record(self, layout: AdapterLayout, slot: int, scale: float, page_ids: Sequence[int]) -> list[int]:
        """Return the record of an adapter that lies in these pages, as row `slot` of the page table names them.

        `scale` multiplies what it adds. Raises ValueError for an adapter that kernels would read or write amiss; it
        does not wait for the device.
        """
        num_slots, max_pages = self.page_table.shape
        if layout.pages != self.pages:
            raise ValueError(f"pages of an adapter, got {layout.pages}, expected {self.pages}")
        if layout.rank > self.max_rank:
            raise ValueError(f"rank of an adapter, got {layout.rank}, expected at most {self.max_rank}")
        if layout.num_layers != self.num_layers:
            raise ValueError(f"layers of an adapter, got {layout.num_layers}, expected {self.num_layers}")
        for name, both in layout.widths.items():
            if tuple(both) != tuple(self.widths.get(name, ())):
                expected = self.widths.get(name, f"one of {', '.join(self.widths)}")
                raise ValueError(f"widths of an adapter's {name}, got {both}, expected {expected}")
        if not 0 <= slot < num_slots:
            raise ValueError(f"slot of an adapter, got {slot}, expected 0 to {num_slots - 1}")
        if not layout.num_pages == len(set(page_ids)) == len(page_ids) <= max_pages:
            raise ValueError(
                f"page_ids, got {len(page_ids)}, {len(set(page_ids))} of them different, expected {layout.num_pages}"
                f" different ones and at most {max_pages}"
            )
        if not 0 <= min(page_ids) <= max(page_ids) < len(self.pool):
            raise ValueError(f"page_ids, got {min(page_ids)} to {max(page_ids)}, expected 0 to {len(self.pool) - 1}")
        if not abs(scale) <= torch.finfo(torch.float32).max:
            raise ValueError(f"scale of an adapter, got {scale}, expected a finite fp32")
        bits = struct.unpack("i", struct.pack("f", scale))[0]
        numbers = [0, 0, slot, layout.rank, bits, layout.layer_cuts, layout.block_pages, *layout.offsets]
        return numbers + [0] * (ITEM_WIDTH - len(numbers))

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
