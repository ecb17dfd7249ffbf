"""What a step reads on the device: where its tokens lie and what they are, in buffers that stay where they are.

Rows that decode come first, a token each, then the tokens of chunks of prompts. Rows and chunks that do nothing fill a
step up to the shape that it is computed in.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch

from ...kernels.cache.kv_pages import PAGE_SIZE
from ..kv.paged import PagedCache
from ..memory.device_adapters import FusedSets
from ..memory.upload import on_device
from ..schedule.plan import DRAWN, Blocks, Work
from .states import InFlight

# The rows of numbers before those of slots: token, place among those in flight, position, adapter.
NUM_NAMED = 4


class StepShape(NamedTuple):
    """How much a step has room for.

    rows, tokens     that decode, and of chunks
    chunks, longest  how many chunks, and the tokens of one
    width            blocks in the table
    sets             fused projections that adapters change
    """

    rows: int
    tokens: int
    chunks: int
    longest: int
    width: int
    sets: FusedSets


class StepBuffers:
    """The buffers. A sequence that decodes keeps its row as long as it can; where that changes the table is written."""

    def __init__(self, cache: PagedCache, max_rows: int, max_tokens: int, max_blocks: int) -> None:
        self._device, self._num_groups = cache.pool.device, cache.num_groups
        self.max_rows, self.max_blocks = max_rows, max_blocks

        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=self._device)

        self._numbers = zeros((NUM_NAMED + self._num_groups) * (max_rows + max_tokens), dtype=torch.int64)
        self._drawn = zeros(max_rows, dtype=torch.int64)
        self._table = zeros(max_rows, self._num_groups, max_blocks)
        # As the table on the device is, whose rows they are, and in which order.
        self._host_table = torch.zeros(max_rows, self._num_groups, max_blocks, dtype=torch.int32)
        self._blocks: list[Blocks] = [()] * max_rows
        self._sequences: list[int] = []
        # Of chunks, of which a sequence has one: adapter, length of the prefix and start; the starts have an end.
        self._chunks = zeros(3 * (max_rows + 1))
        self._chunk_table = zeros(max_rows * self._num_groups * max_blocks)

    def reset(self) -> None:
        """Forget which rows are written, after a step that was cut off."""
        self._blocks = [()] * self.max_rows
        self._sequences = []

    def in_order(self, decoding: Sequence[Work]) -> list[Work]:
        """Return the rows that decode, each where it was in the step before if that is one of them."""
        by_sequence = {one.sequence: one for one in decoding}
        rows = [by_sequence.pop(sequence, None) for sequence in self._sequences[: len(decoding)]]
        others = iter(by_sequence.values())
        ordered = [next(others) if one is None else one for one in rows]
        ordered.extend(others)
        self._sequences = [one.sequence for one in ordered]
        return ordered

    def fill(
        self, decoding: Sequence[Work], chunks: Sequence[Work], shape: StepShape, in_flight: InFlight | None = None
    ) -> None:
        """Write the rows that decode and the chunks of a step."""
        numbers = torch.full((NUM_NAMED + self._num_groups, shape.rows + shape.tokens), -1, dtype=torch.int64)
        if decoding:
            self._write_table(decoding, shape.width)
            self._write_rows(numbers[:, : len(decoding)], decoding, in_flight)
        if shape.tokens:
            self._write_chunks(numbers[:, shape.rows :], chunks, shape)
        self.numbers(shape).copy_(on_device(numbers, self._device))

    def numbers(self, shape: StepShape) -> torch.Tensor:
        """Return int64 [4 + num_groups, rows + tokens]: token, place in flight, position, adapter, and slots."""
        num_rows = NUM_NAMED + self._num_groups
        return self._numbers[: num_rows * (shape.rows + shape.tokens)].view(num_rows, -1)

    def token_ids(self, shape: StepShape) -> torch.Tensor:
        """Return int64 [rows + tokens], those in flight included; what does nothing has token 0."""
        tokens, places = self.numbers(shape)[:2]
        return torch.where(places >= 0, self._drawn[places.clamp(min=0)], tokens.clamp(min=0))

    def table(self, shape: StepShape) -> torch.Tensor:
        """Return int32 [num_groups, rows, width], the blocks of rows that decode."""
        return self._table[: shape.rows, :, : shape.width].transpose(0, 1)

    def chunks(self, shape: StepShape) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return int32 [chunks] adapters and lengths of prefixes, and [chunks + 1] starts among the chunks' tokens."""
        adapters, prefix_lens, starts = self._chunks[: 3 * (shape.chunks + 1)].view(3, -1)
        return adapters[: shape.chunks], prefix_lens[: shape.chunks], starts

    def chunk_table(self, shape: StepShape) -> torch.Tensor:
        """Return int32 [num_groups, chunks, width], the blocks of chunks."""
        measures = shape.chunks, self._num_groups, shape.width
        return self._chunk_table[: measures[0] * measures[1] * measures[2]].view(measures).transpose(0, 1)

    def _write_table(self, decoding: Sequence[Work], width: int) -> None:
        changed = [row for row, one in enumerate(decoding) if one.blocks != self._blocks[row]]
        for row in changed:
            old, new = self._blocks[row], decoding[row].blocks
            self._blocks[row] = new
            # Nearly always the sequence is the same and has a block more.
            kept = len(old) if new[: len(old)] == old else 0
            self._host_table[row, :, kept : len(new)] = torch.tensor(new[kept:], dtype=torch.int32).T
        if changed:
            rows = torch.tensor(changed)
            written = on_device(self._host_table[rows, :, :width], self._device)
            self._table[on_device(rows, self._device), :, :width] = written

    def _write_rows(self, numbers: torch.Tensor, decoding: Sequence[Work], in_flight: InFlight | None) -> None:
        positions = torch.tensor([one.start for one in decoding])
        numbers[0] = torch.tensor([one.token_ids[0] for one in decoding])
        numbers[1] = torch.tensor(self._places(decoding, in_flight))
        numbers[2] = positions
        numbers[3] = torch.tensor([one.adapter for one in decoding])
        pages = self._host_table[torch.arange(len(decoding)), :, positions // PAGE_SIZE].T
        numbers[NUM_NAMED:] = pages * PAGE_SIZE + positions % PAGE_SIZE

    def _places(self, decoding: Sequence[Work], in_flight: InFlight | None) -> list[int]:
        """Return where each row's token is among those in flight, -1 for one that is known."""
        if in_flight is None:
            return [-1] * len(decoding)
        self._drawn[: len(in_flight.tokens)] = in_flight.tokens
        places = {sequence: place for place, sequence in enumerate(in_flight.sequences)}
        return [places[one.sequence] if one.token_ids[0] == DRAWN else -1 for one in decoding]

    def _write_chunks(self, numbers: torch.Tensor, chunks: Sequence[Work], shape: StepShape) -> None:
        table = torch.full((shape.chunks, self._num_groups, shape.width), -1, dtype=torch.int32)
        ends = [*accumulate(len(one.token_ids) for one in chunks)]
        for chunk, (one, end) in enumerate(zip(chunks, ends, strict=True)):
            own = numbers[:, end - len(one.token_ids) : end]
            blocks = torch.tensor(one.blocks, dtype=torch.int32).T
            table[chunk, :, : blocks.shape[1]] = blocks
            positions = torch.arange(one.start, one.start + len(one.token_ids))
            own[0], own[2] = torch.tensor(one.token_ids), positions
            own[NUM_NAMED:] = blocks[:, positions // PAGE_SIZE].long() * PAGE_SIZE + positions % PAGE_SIZE
        missing = shape.chunks - len(chunks)
        told = [
            [one.adapter for one in chunks] + [-1] * (missing + 1),
            [one.start for one in chunks] + [0] * (missing + 1),
            [0, *ends] + [ends[-1] if ends else 0] * missing,
        ]
        self._chunks[: 3 * (shape.chunks + 1)] = on_device(
            torch.tensor(told, dtype=torch.int32).flatten(), self._device
        )
        self._chunk_table[: table.numel()] = on_device(table.flatten(), self._device)
