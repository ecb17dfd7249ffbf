"""How adapter weights lie in the byte pages that they share with KV blocks (S-LoRA, section 5.1, made for GQA).

The pool is one uint8 tensor [num_pages, page_bytes]; what a page holds is the business of whoever has its id. A KV
block of one layer is one page, so `page_bytes` follows the model: `kv_page_bytes` of `kv_pages`.

An adapter is a sequence of *tiles*: `tile_width` consecutive numbers of one row of A [rank, in] or of B transposed
[rank, out]. Rows are cut along their wide dimension, and the rank rows of one cut stand together:

    tile(row j of cut c) = (layer * layer_tiles + offset(projection) + c) * rank + j

with the cuts of A first and then those of B, projection by projection, layer by layer. Tile i lies in the adapter's
page number i // tiles_per_page. A page holds a whole number of tiles, so nothing straddles a page, any rank packs
without gaps, and only the adapter's last page is partly empty. Offsets count cuts, so they do not depend on the rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

import torch

PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")


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
        if self.page_bytes <= 0 or self.page_bytes % self.tile_bytes:
            raise ValueError(f"page_bytes, got {self.page_bytes}, expected a multiple of the tile's {self.tile_bytes}")

    @property
    def tile_bytes(self) -> int:
        return self.tile_width * self.dtype.itemsize

    @property
    def tiles_per_page(self) -> int:
        return self.page_bytes // self.tile_bytes

    def num_cuts(self, width: int) -> int:
        return ceil(width / self.tile_width)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLayout:
    """Where the tiles of one adapter stand; `widths` gives (in, out) of each projection that it has."""

    pages: PageLayout
    rank: int
    num_layers: int
    widths: Mapping[str, tuple[int, int]]
    # Cuts before each of PROJECTIONS within a layer, -1 where the adapter lacks it.
    offsets: tuple[int, ...] = field(init=False)
    layer_tiles: int = field(init=False)

    def __post_init__(self) -> None:
        unknown = set(self.widths) - set(PROJECTIONS)
        if unknown or not self.widths:
            raise ValueError(f"projections, got {sorted(self.widths)}, expected some of {PROJECTIONS}")
        if self.rank < 1 or self.num_layers < 1:
            raise ValueError(f"rank and layers, got {self.rank} and {self.num_layers}, expected at least 1")
        offsets, cuts = [], 0
        for name in PROJECTIONS:
            offsets.append(cuts if name in self.widths else -1)
            cuts += sum(self.pages.num_cuts(width) for width in self.widths.get(name, ()))
        object.__setattr__(self, "offsets", tuple(offsets))
        object.__setattr__(self, "layer_tiles", cuts)

    @property
    def num_tiles(self) -> int:
        return self.num_layers * self.layer_tiles * self.rank

    @property
    def num_pages(self) -> int:
        return ceil(self.num_tiles / self.pages.tiles_per_page)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights alone, without padding."""
        numbers = sum(sum(both) for both in self.widths.values()) * self.rank * self.num_layers
        return numbers * self.pages.dtype.itemsize

    def first_tiles(self, layer: int, name: str) -> tuple[int, int]:
        """Return the first tile of A and of B."""
        if name not in self.widths or not 0 <= layer < self.num_layers:
            raise ValueError(f"weights, got layer {layer} {name!r}, expected one that the adapter has")
        cut = layer * self.layer_tiles + self.offsets[PROJECTIONS.index(name)]
        return cut * self.rank, (cut + self.pages.num_cuts(self.widths[name][0])) * self.rank
