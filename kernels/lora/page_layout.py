"""How adapter weights lie in the byte pages that they share with KV blocks (S-LoRA, section 5.1, made for GQA).

The pool is one uint8 tensor [num_pages, page_bytes]; what a page holds is the business of whoever has its id. A KV
block of one layer is one page, so `page_bytes` follows the model: `kv_page_bytes` of `kv_pages`.

An adapter's weights are rows: those of A [rank, in] and of B transposed [rank, out]. Rows are cut along their wide
dimension into *tiles* of `tile_width` numbers, and taken in blocks of 16 (the last of 8, if no more than 8 are left). A
block's tiles of one cut stand together, a *stack*. Each block has pages of its own, in which its stacks follow each
other:

    cut = layer * layer_cuts + offset(projection) + number of the cut, those of A first and then those of B
    page of the stack = block * block_pages + cut * rows // tiles_per_page, behind cut * rows % tiles_per_page tiles

so no stack straddles a page, and a program finds 16 rows of a cut behind one page id. What is wasted is the end of each
block's last page, and rows that fill up a rank that is no multiple of 8; those are never read. Offsets count cuts, so
they do not depend on the rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

import torch

PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")
BLOCK_ROWS = 16


def tile_width_for(*widths: int) -> int:
    """Return the widest tile, at most 256 numbers, that divides all widths (at least 16, then with padded cuts)."""
    return next((tile for tile in (256, 128, 64, 32) if not any(width % tile for width in widths)), 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLayout:
    """The measures of a pool: bytes of a page, numbers in a tile, type of the weights."""

    page_bytes: int
    tile_width: int = 256
    dtype: torch.dtype = torch.bfloat16

    def __post_init__(self) -> None:
        if self.tile_width < 16 or self.tile_width & (self.tile_width - 1):
            raise ValueError(f"tile_width, got {self.tile_width}, expected a power of two of at least 16")
        if self.page_bytes <= 0 or self.page_bytes % (BLOCK_ROWS * self.tile_bytes):
            raise ValueError(
                f"page_bytes, got {self.page_bytes}, expected a multiple of {BLOCK_ROWS} tiles of {self.tile_bytes}"
            )

    @property
    def tile_bytes(self) -> int:
        return self.tile_width * self.dtype.itemsize

    @property
    def tiles_per_page(self) -> int:
        return self.page_bytes // self.tile_bytes

    def num_cuts(self, width: int) -> int:
        return ceil(width / self.tile_width)


def check_widths(widths: Mapping[str, tuple[int, int]]) -> None:
    """Raise ValueError for other projections than PROJECTIONS, for none, and for widths that are no pairs (in, out)."""
    if set(widths) - set(PROJECTIONS) or not widths:
        raise ValueError(f"projections, got {sorted(widths)}, expected some of {PROJECTIONS}")
    for name, both in widths.items():
        if len(both) != 2 or min(both) < 1:
            raise ValueError(f"widths of {name}, got {both}, expected (in, out) of at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLayout:
    """Where the tiles of one adapter stand; `widths` gives (in, out) of each projection that it has."""

    pages: PageLayout
    rank: int
    num_layers: int
    widths: Mapping[str, tuple[int, int]]
    # Cuts before each of PROJECTIONS within a layer, -1 where the adapter lacks it.
    offsets: tuple[int, ...] = field(init=False)
    layer_cuts: int = field(init=False)

    def __post_init__(self) -> None:
        check_widths(self.widths)
        if self.rank < 1 or self.num_layers < 1:
            raise ValueError(f"rank and layers, got {self.rank} and {self.num_layers}, expected at least 1")
        offsets, cuts = [], 0
        for name in PROJECTIONS:
            offsets.append(cuts if name in self.widths else -1)
            cuts += sum(self.pages.num_cuts(width) for width in self.widths.get(name, ()))
        object.__setattr__(self, "offsets", tuple(offsets))
        object.__setattr__(self, "layer_cuts", cuts)

    @property
    def num_cuts(self) -> int:
        return self.num_layers * self.layer_cuts

    @property
    def block_pages(self) -> int:
        """Pages of a block of 16 rows."""
        return ceil(self.num_cuts * BLOCK_ROWS / self.pages.tiles_per_page)

    @property
    def blocks(self) -> list[tuple[slice, int, slice]]:
        """The rank rows of each block, how many rows its stacks have, and its pages."""
        blocks = []
        for first in range(0, self.rank, BLOCK_ROWS):
            num_rows = BLOCK_ROWS if self.rank - first > BLOCK_ROWS // 2 else BLOCK_ROWS // 2
            page = first // BLOCK_ROWS * self.block_pages
            num_pages = ceil(self.num_cuts * num_rows / self.pages.tiles_per_page)
            blocks.append((slice(first, min(first + BLOCK_ROWS, self.rank)), num_rows, slice(page, page + num_pages)))
        return blocks

    @property
    def num_pages(self) -> int:
        return int(self.blocks[-1][2].stop)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights alone, without padding."""
        numbers = sum(sum(both) for both in self.widths.values()) * self.rank * self.num_layers
        return numbers * self.pages.dtype.itemsize

    def cuts(self, layer: int, name: str) -> tuple[slice, slice]:
        """Return the cuts of A and of B."""
        if name not in self.widths or not 0 <= layer < self.num_layers:
            raise ValueError(f"weights, got layer {layer} {name!r}, expected one that the adapter has")
        first = layer * self.layer_cuts + self.offsets[PROJECTIONS.index(name)]
        middle, end = (first + sum(map(self.pages.num_cuts, self.widths[name][:n])) for n in (1, 2))
        return slice(first, middle), slice(middle, end)
