"""The KV cache on a CPU: contiguous rows, held by length.

A row holds one sequence: keys and values of all its tokens, side by side, so attention reads them as they lie. Rows of
equal capacity, a whole number of blocks, form a *shelf*; a sequence that outgrows its row moves to the next shelf, and
one that leaves hands its place to the last row of its shelf. So a decode step is one call of attention a shelf, every
row is read up to its own capacity whatever its neighbours are, and its bits follow from itself alone.

The pool counts what a row takes as if it lay in pages (`capacity_blocks`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ...kernels.cache.kv_pages import PAGE_SIZE
from ..models.architecture import Architecture

# Up to this many blocks each number has a shelf of its own; above, one is an eighth larger than the last.
EXACT_BLOCKS = 8


def capacity_blocks(num_tokens: int) -> int:
    """Return how many blocks of 32 tokens the row of a sequence of that many tokens has."""
    needed = -(-num_tokens // PAGE_SIZE)
    capacity = EXACT_BLOCKS
    if needed <= capacity:
        return max(needed, 1)
    while capacity < needed:
        capacity += capacity // EXACT_BLOCKS
    return capacity


@dataclass(slots=True)
class _Shelf:
    """Rows of one capacity: [num_layers, rows, 2, num_kv_heads, capacity, head_dim], of which the first are in use."""

    rows: torch.Tensor
    sequences: list[int] = field(default_factory=list)
    lens: list[int] = field(default_factory=list)


class ContiguousCache:
    """Keys and values of sequences, which are known by numbers."""

    def __init__(self, architecture: Architecture, dtype: torch.dtype = torch.float32) -> None:
        self._shape = (architecture.num_layers, 2, architecture.num_kv_heads, architecture.head_dim)
        self._dtype = dtype
        self._shelves: dict[int, _Shelf] = {}
        # Where a sequence that decodes stands: its shelf and its row.
        self._places: dict[int, tuple[int, int]] = {}
        # Sequences whose prompt is read: [num_layers, 2, num_kv_heads, capacity, head_dim] each.
        self._open: dict[int, torch.Tensor] = {}

    def open(self, sequence: int, num_tokens: int, known: Sequence[torch.Tensor] = ()) -> None:
        """Take in a sequence with a prompt of that many tokens; `known` are the parts that its first tokens have left.

        A part is [num_layers, 2, num_kv_heads, its tokens, head_dim].
        """
        layers, two, heads, dim = self._shape
        room = torch.empty(layers, two, heads, capacity_blocks(num_tokens) * PAGE_SIZE, dim, dtype=self._dtype)
        start = 0
        for part in known:
            room[:, :, :, start : start + part.shape[3]] = part
            start += part.shape[3]
        room[:, :, :, start:] = 0
        self._open[sequence] = room

    def part(self, sequence: int, start: int, end: int) -> torch.Tensor:
        """Return a copy of some tokens of a sequence whose prompt is read."""
        return self._open[sequence][:, :, :, start:end].clone()

    def prompt(self, sequence: int) -> torch.Tensor:
        """Return the row of a sequence whose prompt is read."""
        return self._open[sequence]

    def join(self, sequence: int, num_tokens: int) -> None:
        """Let a sequence decode, whose tokens so far are all there."""
        row = self._open.pop(sequence)
        self._place(sequence, row, num_tokens)

    def leave(self, sequence: int) -> torch.Tensor:
        """Let go of a sequence that decodes; return [num_layers, 2, num_kv_heads, its tokens, head_dim]."""
        capacity, row = self._places[sequence]
        shelf = self._shelves[capacity]
        content = shelf.rows[:, row, :, :, : shelf.lens[row]].clone()
        self._remove(sequence)
        return content

    def close(self, sequence: int) -> None:
        """Let go of a sequence."""
        self._open.pop(sequence, None)
        if sequence in self._places:
            self._remove(sequence)

    def advance(self, sequences: Sequence[int]) -> list[int]:
        """Make room for one more token of each sequence that decodes, and return them in the order of their rows."""
        for sequence in sequences:
            capacity, row = self._places[sequence]
            shelf = self._shelves[capacity]
            if shelf.lens[row] == capacity * PAGE_SIZE:
                num_tokens = shelf.lens[row]
                self._place(sequence, self.leave(sequence), num_tokens, room=num_tokens + 1)
        order = []
        for capacity in sorted(self._shelves):
            shelf = self._shelves[capacity]
            shelf.lens = [length + 1 for length in shelf.lens]
            order += shelf.sequences
        return order

    def shelves(self) -> list["Rows"]:
        """Return the rows that decode, in order, with their lengths."""
        return [
            Rows(shelf.rows[:, : len(shelf.sequences)], torch.tensor(shelf.lens))
            for _, shelf in sorted(self._shelves.items())
            if shelf.sequences
        ]

    def _place(self, sequence: int, content: torch.Tensor, num_tokens: int, room: int | None = None) -> None:
        capacity = capacity_blocks(num_tokens if room is None else room)
        shelf = self._shelves.get(capacity) or self._shelves.setdefault(capacity, _Shelf(self._rows(4, capacity)))
        number = len(shelf.sequences)
        if number == shelf.rows.shape[1]:
            larger = self._rows(2 * number, capacity)
            larger[:, :number] = shelf.rows
            shelf.rows = larger
        shelf.rows[:, number, :, :, :num_tokens] = content[:, :, :, :num_tokens]
        # Who stood here before may have left what is no number, and what is weighed with 0 must be one.
        shelf.rows[:, number, :, :, num_tokens:] = 0
        shelf.sequences.append(sequence)
        shelf.lens.append(num_tokens)
        self._places[sequence] = (capacity, number)

    def _remove(self, sequence: int) -> None:
        capacity, row = self._places.pop(sequence)
        shelf = self._shelves[capacity]
        last, last_len = shelf.sequences.pop(), shelf.lens.pop()
        if last != sequence:
            # With the zeros behind it.
            shelf.rows[:, row] = shelf.rows[:, len(shelf.sequences)]
            shelf.sequences[row], shelf.lens[row] = last, last_len
            self._places[last] = (capacity, row)
        if not shelf.sequences:
            del self._shelves[capacity]

    def _rows(self, num_rows: int, capacity: int) -> torch.Tensor:
        layers, two, heads, dim = self._shape
        # Zeros, not whatever lies there: what stands behind a row's length is read and then weighed with 0.
        return torch.zeros(layers, num_rows, two, heads, capacity * PAGE_SIZE, dim, dtype=self._dtype)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one capacity that decode: [num_layers, rows, 2, num_kv_heads, capacity, head_dim], and their lengths."""

    content: torch.Tensor
    lens: torch.Tensor
