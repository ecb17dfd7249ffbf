"""LoRA weights in PEFT's shape to tiled pages and back, an exact round trip.

Weights map (layer, projection) to the pair A [rank, in], B [out, rank], as PEFT keeps them. Pages are uint8
[num_pages, page_bytes] in the order of the adapter's page table; `page_layout` says where what stands.
"""

from collections.abc import Mapping

import torch

from .page_layout import AdapterLayout, PageLayout
from .peft_names import Place, places_of

Weights = Mapping[Place, tuple[torch.Tensor, torch.Tensor]]


def read_peft(state: Mapping[str, torch.Tensor]) -> dict[Place, tuple[torch.Tensor, torch.Tensor]]:
    """Return the weights of a PEFT state dict by layer and projection; anything but linear projections is refused.

    It holds one adapter: raises ValueError for weights of two.
    """
    return {place: (state[down], state[up]) for place, (down, up) in places_of(state).items()}


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


def pack(layout: AdapterLayout, weights: Weights, *, is_pinned: bool = True) -> torch.Tensor:
    """Return the pages of an adapter, in pinned memory if a GPU is there and it is asked for; padding is zero."""
    page_bytes, pin = layout.pages.page_bytes, is_pinned and torch.cuda.is_available()
    packed = torch.zeros(layout.num_pages, page_bytes, dtype=torch.uint8, pin_memory=pin)
    stacks = stacks_of(layout, packed)
    for (layer, name), pair in weights.items():
        expected = tuple((layout.rank, width) for width in layout.widths[name])
        rows = pair[0], pair[1].T
        if tuple(map(tuple, (half.shape for half in rows))) != expected:
            raise ValueError(
                f"layer {layer} {name}, got {tuple(pair[0].shape)} and {tuple(pair[1].shape)}, expected"
                f" {expected[0]} and {expected[1][::-1]}"
            )
        for cuts, half in zip(layout.cuts(layer, name), rows, strict=True):
            padded = torch.nn.functional.pad(half, (0, -half.shape[1] % layout.pages.tile_width)).contiguous()
            tiles = padded.view(layout.rank, -1, layout.pages.tile_width).transpose(0, 1)
            for (block, _, _), stack in zip(layout.blocks, stacks, strict=True):
                stack[cuts, : block.stop - block.start].copy_(tiles[:, block])
    return packed


def unpack(layout: AdapterLayout, packed: torch.Tensor) -> dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]:
    """Return the weights that the pages hold, as copies."""
    stacks = stacks_of(layout, packed.contiguous())
    weights = {}
    for layer in range(layout.num_layers):
        for name, widths in layout.widths.items():
            down, up = (
                torch.cat([stack[cuts] for stack in stacks], 1)[:, : layout.rank].transpose(0, 1).flatten(1)[:, :width]
                for cuts, width in zip(layout.cuts(layer, name), widths, strict=True)
            )
            weights[layer, name] = down.contiguous(), up.T.contiguous()
    return weights


def stacks_of(layout: AdapterLayout, packed: torch.Tensor) -> list[torch.Tensor]:
    """Return each block's pages as a view [num_cuts, rows of a stack, tile_width]."""
    tiles = packed.view(layout.pages.dtype).view(len(packed), -1, layout.pages.tile_width)
    return [
        tiles[pages].flatten(0, 1)[: layout.num_cuts * num_rows].view(layout.num_cuts, num_rows, -1)
        for _, num_rows, pages in layout.blocks
    ]
