"""The decoder: Llama, Mistral, Qwen2 and Qwen3 as one forward pass over any mix of tokens.

A token is a row, whichever sequence it belongs to. What mixes rows, attention, and what differs from row to row,
adapters, are handed in; all else treats all rows alike.
"""

from dataclasses import replace
from typing import Protocol

import torch
from torch.nn import functional

from ...kernels.layers.rms_norm import rms_norm
from ...kernels.layers.rope import rotary_table
from ...kernels.layers.rotation import HeadNorms, Rotation
from ...kernels.layers.silu_mul import silu_mul
from .architecture import Architecture
from .weights import DecoderWeights, LayerWeights


class Attention(Protocol):
    """How the rows of one step attend to what is cached; it caches their own keys and values first."""

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation, norms: HeadNorms | None) -> torch.Tensor:
        """Return [num_rows, num_heads, head_dim] of what a layer's projection made of the rows.

        `qkv` [num_rows, num_heads + 2 * num_kv_heads, head_dim] has queries, keys and values side by side, the first
        two neither normalised nor rotated yet. It may be overwritten.
        """


class Adapters(Protocol):
    """Which rows of one step take which adapter."""

    def add(self, layer: int, names: tuple[str, ...], output: torch.Tensor, x: torch.Tensor) -> None:
        """Add what the rows' adapters make of x [num_rows, in] to the output of the projections, side by side."""


class Decoder:
    """A decoder on a device. It keeps no state: caches and adapters belong to the engine."""

    def __init__(self, architecture: Architecture, weights: DecoderWeights) -> None:
        self.architecture = architecture
        self.weights = weights
        table = rotary_table(architecture.frequencies, architecture.context_len, scale=architecture.rope_scale)
        self._rotary = table.to(weights.device)
        self._head_norms = [_head_norms(layer, architecture.norm_eps) for layer in weights.layers]

    def shortened(self, context_len: int) -> "Decoder":
        """Return the same decoder for contexts of at most so many tokens, for which less is kept ready."""
        context_len = min(context_len, self.architecture.context_len)
        return Decoder(replace(self.architecture, context_len=context_len), self.weights)

    def beginning(self) -> "Decoder":
        """Return the fewest layers, from the first on, that run all the kernels that all layers do."""
        windows = self.architecture.windows
        num_layers = 1 + max(windows.index(window) for window in set(windows))
        return Decoder(self.architecture, replace(self.weights, layers=self.weights.layers[:num_layers]))

    def forward(
        self, token_ids: torch.Tensor, positions: torch.Tensor, attention: Attention, adapters: Adapters | None
    ) -> torch.Tensor:
        """Return the normalised state [num_rows, hidden_size] of each token, from which `logits` follow.

        token_ids, positions  int64 [num_rows] on the weights' device
        """
        hidden = functional.embedding(token_ids, self.weights.embedding)
        rotation = Rotation(positions=positions, table=self._rotary)
        for number, layer in enumerate(self.weights.layers):
            hidden = self._attend(number, layer, hidden, rotation, attention, adapters)
            hidden = self._mix(number, layer, hidden, adapters)
        return rms_norm(hidden, self.weights.norm, self.architecture.norm_eps)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return fp32 [num_rows, vocab_size] of states that `forward` returned."""
        return self.weights.head(states).float()

    def _attend(
        self,
        number: int,
        layer: LayerWeights,
        hidden: torch.Tensor,
        rotation: Rotation,
        attention: Attention,
        adapters: Adapters | None,
    ) -> torch.Tensor:
        measures = self.architecture
        x = rms_norm(hidden, layer.input_norm, measures.norm_eps)
        qkv = layer.qkv(x)
        if adapters is not None:
            adapters.add(number, ("q", "k", "v"), qkv, x)
        heads = qkv.view(len(x), -1, measures.head_dim)
        mixed = attention.attend(number, heads, rotation, self._head_norms[number]).reshape(len(x), -1)
        hidden = layer.o.add(hidden, mixed)
        if adapters is not None:
            adapters.add(number, ("o",), hidden, mixed)
        return hidden

    def _mix(self, number: int, layer: LayerWeights, hidden: torch.Tensor, adapters: Adapters | None) -> torch.Tensor:
        x = rms_norm(hidden, layer.mlp_norm, self.architecture.norm_eps)
        gate_up = layer.gate_up(x)
        if adapters is not None:
            adapters.add(number, ("gate", "up"), gate_up, x)
        wide = silu_mul(gate_up)
        hidden = layer.down.add(hidden, wide)
        if adapters is not None:
            adapters.add(number, ("down",), hidden, wide)
        return hidden


def _head_norms(layer: LayerWeights, eps: float) -> HeadNorms | None:
    """Return the norms of a layer's query and key heads, None where it has none."""
    if layer.query_norm is None or layer.key_norm is None:
        return None
    return HeadNorms(query=layer.query_norm, key=layer.key_norm, eps=eps)
