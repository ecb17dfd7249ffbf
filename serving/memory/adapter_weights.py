"""The weights of one version of a LoRA adapter, each projection at its own rank, and the digest that names them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch

from ...kernels.lora.peft_names import Place
from ..models.architecture import Architecture


@dataclass(frozen=True, slots=True)
class LowRank:
    """What an adapter adds to one projection: scale * (x @ down.T) @ up.T, down [rank, in], up [out, rank]."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]


@dataclass(frozen=True)
class AdapterWeights:
    """All that an adapter changes. Two with one digest are the same adapter, wherever they came from."""

    places: Mapping[Place, LowRank] = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over places, shapes, scales and numbers."""
        digest = hashlib.sha256()
        for (layer, name), pair in sorted(self.places.items()):
            digest.update(f"{layer} {name} {tuple(pair.down.shape)} {tuple(pair.up.shape)} {pair.scale!r}\n".encode())
            for half in (pair.down, pair.up):
                digest.update(half.detach().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def max_rank(self) -> int:
        return max(pair.rank for pair in self.places.values())

    @property
    def num_bytes(self) -> int:
        """Bytes of the numbers alone."""
        return sum(half.numel() * half.itemsize for pair in self.places.values() for half in (pair.down, pair.up))


def check_fits(adapter: AdapterWeights, architecture: Architecture) -> None:
    """Raise ValueError unless each place is one of the base model's and its halves have that projection's widths."""
    for (layer, name), pair in adapter.places.items():
        if not (0 <= layer < architecture.num_layers and name in architecture.widths):
            expected = f"layers 0 to {architecture.num_layers - 1} and {', '.join(architecture.widths)}"
            raise ValueError(f"layer {layer} {name}, got weights, expected {expected}")
        width, out = architecture.widths[name]
        shapes, expected_shapes = (tuple(pair.down.shape), tuple(pair.up.shape)), ((pair.rank, width), (out, pair.rank))
        if shapes != expected_shapes:
            raise ValueError(f"layer {layer} {name}, got shapes {shapes}, expected {expected_shapes}")
