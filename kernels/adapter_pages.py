"""LoRA weights in PEFT's shape to tiled pages and back, an exact round trip.

Weights map (layer, projection) to the pair A [rank, in], B [out, rank], as PEFT keeps them. Pages are uint8
[num_pages, page_bytes] in the order of the adapter's page table; `page_layout` says where what stands.
"""

import re
from collections.abc import Mapping

import torch

from .page_layout import AdapterLayout, PageLayout

Weights = Mapping[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]

_PEFT_NAME = re.compile(r"layers\.(\d+)\.(self_attn|mlp)\.(\w+)_proj\.lora_([AB])\.(?:\w+\.)?weight$")


def read_peft(state: Mapping[str, torch.Tensor]) -> dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]:
    """Return the weights of a PEFT state dict by layer and projection; anything but linear projections is refused."""
    halves: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        found = _PEFT_NAME.search(name)
        if found is None:
            raise ValueError(f"adapter weight, got {name!r}, expected lora_A or lora_B of a decoder layer's projection")
        halves.setdefault((int(found[1]), found[3]), {})[found[4]] = tensor
    for place, pair in halves.items():
        if pair.keys() != {"A", "B"}:
            raise ValueError(f"adapter weights of {place}, got {sorted(pair)}, expected A and B")
    return {place: (pair["A"], pair["B"]) for place, pair in sorted(halves.items())}


def layout_of(weights: Weights, pages: PageLayout, num_layers: int) -> AdapterLayout:
    """Return the layout that fits the weights; every layer must have the same projections, all of one rank."""
    widths, ranks = {}, set()
    for (_, name), (down, up) in weights.items():
        widths[name] = (down.shape[1], up.shape[0])
        ranks |= {down.shape[0], up.shape[1]}
    if len(ranks) != 1 or len(weights) != num_layers * len(widths):
        raise ValueError(
            f"adapter, got ranks {sorted(ranks)} and {len(weights)} pairs for {len(widths)} projections,"
            f" expected one rank and {num_layers} pairs for each"
        )
    return AdapterLayout(pages=pages, rank=ranks.pop(), num_layers=num_layers, widths=widths)


def pack(layout: AdapterLayout, weights: Weights) -> torch.Tensor:
    """Return the pages of an adapter, in pinned memory if a GPU is there; padding is zero."""
    pages, pin = layout.pages, torch.cuda.is_available()
    packed = torch.zeros(layout.num_pages, pages.page_bytes, dtype=torch.uint8, pin_memory=pin)
    tiles = packed.view(pages.dtype).view(-1, pages.tile_width)
    for (layer, name), (down, up) in weights.items():
        width_in, width_out = layout.widths[name]
        if down.shape != (layout.rank, width_in) or up.shape != (width_out, layout.rank):
            raise ValueError(
                f"layer {layer} {name}, got {tuple(down.shape)} and {tuple(up.shape)},"
                f" expected {(layout.rank, width_in)} and {(width_out, layout.rank)}"
            )
        for first, rows in zip(layout.first_tiles(layer, name), (down, up.T), strict=True):
            _write_rows(tiles[first:], rows, pages.tile_width)
    return packed


def _write_rows(tiles: torch.Tensor, rows: torch.Tensor, tile_width: int) -> None:
    rank, width = rows.shape
    whole = width // tile_width
    cuts = rows[:, : whole * tile_width].reshape(rank, whole, tile_width).transpose(0, 1)
    tiles[: whole * rank].view(whole, rank, tile_width).copy_(cuts)
    if width % tile_width:
        tiles[whole * rank : (whole + 1) * rank, : width % tile_width].copy_(rows[:, whole * tile_width :])


def unpack(layout: AdapterLayout, packed: torch.Tensor) -> dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]:
    """Return the weights that the pages hold, as copies."""
    tiles = packed.contiguous().view(layout.pages.dtype).view(-1, layout.pages.tile_width)
    weights = {}
    for layer in range(layout.num_layers):
        for name, widths in layout.widths.items():
            down, up = (
                _read_rows(tiles[first:], layout, width)
                for first, width in zip(layout.first_tiles(layer, name), widths, strict=True)
            )
            weights[layer, name] = down.contiguous(), up.T.contiguous()
    return weights


def _read_rows(tiles: torch.Tensor, layout: AdapterLayout, width: int) -> torch.Tensor:
    num_cuts = layout.pages.num_cuts(width)
    cuts = tiles[: num_cuts * layout.rank].view(num_cuts, layout.rank, layout.pages.tile_width)
    return cuts.transpose(0, 1).reshape(layout.rank, -1)[:, :width]
