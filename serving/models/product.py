"""The products of a decoder with its weights, and with those of an adapter."""

from dataclasses import dataclass
from typing import Self

import torch

from ...kernels.layers.invariant_matmul import invariant_matmul


@dataclass(frozen=True, slots=True)
class Product:
    """x @ weight + bias. On a CPU the weight is kept [in, out], on a GPU [out, in], whichever its library is best at.

    On a CPU and one thread a row has the same bits whatever other rows there are: MKL sums up a row of x @ [in, out] in
    one order for any number of rows but one, which takes another routine, so a row that is alone gets company. So does
    a single column, which no model has, and an adapter of rank 1 (`host_adapter`) has company for.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    # Whether on a GPU, too, a row has the same bits whatever other rows there are.
    is_invariant: bool = False

    @classmethod
    def of(cls, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Self:
        """Return the product with a weight [out, in], as model files have it; a view on a GPU, a copy on a CPU."""
        return cls(weight if weight.is_cuda else weight.T.contiguous(), bias)

    @property
    def in_files(self) -> torch.Tensor:
        """The weight [out, in], as model files have it, without a copy."""
        return self.weight if self.weight.is_cuda else self.weight.T

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return [num_rows, out] of x [num_rows, in]."""
        if x.is_cuda and self.is_invariant:
            return invariant_matmul(x, self.weight, self.bias)
        if x.is_cuda:
            return torch.nn.functional.linear(x, self.weight, self.bias)
        if len(x) == 1:
            return self(x.repeat(2, 1))[:1]
        return torch.mm(x, self.weight) if self.bias is None else torch.addmm(self.bias, x, self.weight)

    def add(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Add the product of x to a total [num_rows, out], in place, and return it."""
        if self.bias is not None or (x.is_cuda and self.is_invariant):
            return total.add_(self(x))
        if x.is_cuda:
            # One launch, not two.
            return total.addmm_(x, self.weight.T)
        if len(x) == 1:
            # Not the product first and then the sum: from some width on its parts are added to the total one by one.
            return total.copy_(torch.addmm(total.repeat(2, 1), x.repeat(2, 1), self.weight)[:1])
        return total.addmm_(x, self.weight)
