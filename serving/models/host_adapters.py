"""Adapters on a CPU: an adapter's weights as products, and the rows of a step that take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

FUSED: tuple[tuple[str, ...], ...] = (("q", "k", "v"), ("o",), ("gate", "up"), ("down",))
"""The projections that a decoder computes in one product."""


@dataclass(frozen=True, slots=True)
class LowRankProduct:
    """What an adapter adds to projections side by side.

    down  [in, sum of ranks], of all of them, and never a single column
    ups   for each: its ranks, its columns of the output, and [rank, out] with the scale in it
    """

    down: torch.Tensor
    ups: tuple[tuple[slice, slice, torch.Tensor], ...]

    def add(self, output: torch.Tensor, x: torch.Tensor) -> None:
        """Add to the output, in place."""
        narrow = torch.mm(x, self.down)
        for ranks, columns, up in self.ups:
            output[:, columns].addmm_(narrow[:, ranks], up)


class HostAdapter:
    """One adapter, ready for products: those of (layer, fused projections) where it has any."""

    def __init__(self, products: Mapping[tuple[int, tuple[str, ...]], LowRankProduct]) -> None:
        self._products = products

    def product(self, layer: int, names: tuple[str, ...]) -> LowRankProduct | None:
        return self._products.get((layer, names))


class HostAdapters:
    """The adapters of a step, each with the rows that take it. Rows of the base model are in none of them."""

    def __init__(self, taken: Sequence[tuple[HostAdapter, Sequence[int]]]) -> None:
        self._taken = [(adapter, _rows(rows)) for adapter, rows in taken]

    def add(self, layer: int, names: tuple[str, ...], output: torch.Tensor, x: torch.Tensor) -> None:
        """Add what the rows' adapters make of x to the output; see `Adapters`."""
        for adapter, rows in self._taken:
            product = adapter.product(layer, names)
            if product is None:
                continue
            if isinstance(rows, slice):
                product.add(output[rows], x[rows])
            else:
                own = output[rows]
                product.add(own, x[rows])
                # A row that stands twice, for company, is written twice, the same.
                output[rows] = own


def _rows(rows: Sequence[int]) -> slice | torch.Tensor:
    """Return rows to take: a slice where they follow each other, and never one alone, which would have other bits."""
    if len(rows) == 1:
        return torch.tensor([rows[0]] * 2)
    if rows[-1] - rows[0] == len(rows) - 1:
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor(rows)
