"""An adapter's weights as the products that a CPU computes with."""

import torch

from ..models.architecture import Architecture
from ..models.host_adapters import FUSED, HostAdapter, LowRankProduct
from .adapter_weights import AdapterWeights, LowRank


class HostCopy:
    """An adapter as the products that a CPU computes with; see `AdapterCopy`."""

    def __init__(self, num_bytes: int, architecture: Architecture, dtype: torch.dtype) -> None:
        self.num_bytes = num_bytes
        self._architecture = architecture
        self._dtype = dtype

    def fill(self, weights: AdapterWeights) -> None:
        """Make the products of an adapter."""
        self.adapter = host_adapter(weights, self._architecture, self._dtype)

    def free(self) -> None:
        """Do nothing: who computes with it keeps it."""


def host_adapter(weights: AdapterWeights, architecture: Architecture, dtype: torch.dtype) -> HostAdapter:
    """Return an adapter that is ready for products, at the true rank of each projection."""
    products: dict[tuple[int, tuple[str, ...]], LowRankProduct] = {}
    for layer in range(architecture.num_layers):
        for names in FUSED:
            pairs = {name: weights.places[layer, name] for name in names if (layer, name) in weights.places}
            if pairs:
                products[layer, names] = _fused(names, pairs, architecture, dtype)
    return HostAdapter(products)


def _fused(
    names: tuple[str, ...], pairs: dict[str, LowRank], architecture: Architecture, dtype: torch.dtype
) -> LowRankProduct:
    downs, ups = [], []
    rank = column = 0
    for name in names:
        width = architecture.widths[name][1]
        if name in pairs:
            pair = pairs[name]
            downs.append(pair.down.to(dtype))
            up = (pair.up.to(dtype) * pair.scale).T.contiguous()
            ups.append((slice(rank, rank + pair.rank), slice(column, column + width), up))
            rank += pair.rank
        column += width
    if rank == 1:
        # A single column would take another routine, by the number of rows: its bits would depend on the neighbours.
        downs.append(torch.zeros_like(downs[0]))
    return LowRankProduct(torch.cat(downs).T.contiguous(), tuple(ups))
