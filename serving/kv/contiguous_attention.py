"""Attention of one step over the contiguous cache: rows that decode, shelf by shelf, then each prompt's chunk."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from ...kernels.layers.rotation import HeadNorms, Rotation, turn_heads
from ..models.architecture import Architecture
from .contiguous import Rows


@dataclass(frozen=True, slots=True)
class Chunk:
    """New tokens `start` .. `end` of a prompt, whose row is [num_layers, 2, num_kv_heads, capacity, head_dim]."""

    row: torch.Tensor
    start: int
    end: int


class ContiguousAttention:
    """Attention of a step whose rows are those of the shelves, in order, and then the tokens of each chunk."""

    def __init__(self, architecture: Architecture, shelves: Sequence[Rows], chunks: Sequence[Chunk]) -> None:
        self._measures = architecture
        windows, group = set(architecture.windows), architecture.group
        self._steps: list[_ShelfStep | _ChunkStep] = [
            *(_ShelfStep(shelf, windows, group) for shelf in shelves),
            *(_ChunkStep(chunk, windows, group) for chunk in chunks),
        ]

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation, norms: HeadNorms | None) -> torch.Tensor:
        """Return what the rows attend to, [num_rows, num_heads, head_dim]; see `Attention`."""
        measures, window = self._measures, self._measures.windows[layer]
        query, _, _ = turn_heads(rotation, qkv, measures.num_kv_heads, norms)
        pairs = torch.unflatten(qkv[:, measures.num_heads :], 1, (2, measures.num_kv_heads))
        out = torch.empty_like(query)
        first = 0
        for step in self._steps:
            rows = slice(first, first + step.num_rows)
            out[rows] = step.attend(layer, window, query[rows], pairs[rows])
            first = rows.stop
        return out


class _ShelfStep:
    """One new token a row."""

    def __init__(self, shelf: Rows, windows: Iterable[int], group: int) -> None:
        self._content, self._group = shelf.content, group
        self.num_rows = len(shelf.lens)
        self._row = torch.arange(self.num_rows)
        self._slot = shelf.lens - 1
        slots = torch.arange(shelf.content.shape[4])
        behind = slots >= shelf.lens[:, None]
        self._masks = {window: _mask(behind | _forgotten(slots, self._slot[:, None], window)) for window in windows}

    def attend(self, layer: int, window: int, query: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        rows = self._content[layer]
        rows[self._row, :, :, self._slot] = pairs
        # The heads that share keys are queries of one sequence, which all attend to the same slots.
        heads = torch.unflatten(query, 1, (-1, self._group))
        mixed = scaled_dot_product_attention(
            heads, rows[:, 0], rows[:, 1], attn_mask=self._masks[window][:, None, None]
        )
        return mixed.flatten(1, 2)


class _ChunkStep:
    """Some tokens of one prompt."""

    def __init__(self, chunk: Chunk, windows: Iterable[int], group: int) -> None:
        self._row, self._start, self._end, self._group = chunk.row, chunk.start, chunk.end, group
        self.num_rows = chunk.end - chunk.start
        slots, positions = torch.arange(chunk.end), torch.arange(chunk.start, chunk.end)[:, None]
        later = slots > positions
        self._masks = {window: _mask(later | _forgotten(slots, positions, window)) for window in windows}

    def attend(self, layer: int, window: int, query: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        self._row[layer, :, :, self._start : self._end] = pairs.permute(1, 2, 0, 3)
        keys, values = self._row[layer, :, :, : self._end].repeat_interleave(self._group, 1)[:, None]
        mixed = scaled_dot_product_attention(query.transpose(0, 1)[None], keys, values, attn_mask=self._masks[window])
        return mixed[0].transpose(0, 1)


def _forgotten(slots: torch.Tensor, positions: torch.Tensor, window: int) -> torch.Tensor:
    """Return which slots lie before the window of each position."""
    return slots <= positions - window if window else torch.zeros((), dtype=torch.bool)


def _mask(is_hidden: torch.Tensor) -> torch.Tensor:
    return torch.zeros(is_hidden.shape).masked_fill_(is_hidden, -torch.inf)
