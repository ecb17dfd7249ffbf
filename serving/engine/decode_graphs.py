"""CUDA graphs of steps that decode: all launches of a step as one, over buffers that stay where they are.

There is a graph for each bucket of rows and of the table's width, and for what adapters change. A step takes the
smallest that holds it and fills it up with rows that do nothing, so its launches are those of what it has to do: a
context of 131,072 tokens costs a sequence of 500 nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...kernels.cache.kv_pages import PAGE_SIZE
from ..kv.paged import PagedCache
from ..kv.paged_attention import PagedAttention, decode_steps, write_steps
from ..memory.device_adapters import DeviceAdapters, FusedSets
from ..memory.upload import on_device
from ..models.decoder import Decoder
from ..models.host_adapters import FUSED
from ..schedule.plan import DRAWN, Blocks, Work
from .states import InFlight

# The narrowest table, in blocks; each further one is four times as wide. The narrowest is one split of attention, whose
# parts then need not be combined.
LEAST_WIDTH, WIDER = 32, 4
# What the adapters of a step may change: nothing, attention, all.
VARIETIES: tuple[FusedSets, ...] = (frozenset(), frozenset({("q", "k", "v"), ("o",)}), frozenset(FUSED))


def row_buckets(max_rows: int) -> list[int]:
    """Return the numbers of rows that graphs have: powers of two up to 16, then each 16 more."""
    small = [rows for rows in (1, 2, 4, 8) if rows < max_rows]
    return [*small, *range(16, max_rows, 16), max_rows]


def width_buckets(max_blocks: int) -> list[int]:
    """Return the widths of tables that graphs have, in blocks."""
    widths = []
    width = LEAST_WIDTH
    while width < max_blocks:
        widths.append(width)
        width *= WIDER
    return [*widths, max_blocks]


class DecodeBuffers:
    """What a graph reads, on the device: a row a sequence, which keeps its row as long as it can.

    The table of pages stays from step to step, and rows are written that have changed. Where a token is still in
    flight, the row says which of those that were drawn it is.
    """

    def __init__(self, cache: PagedCache, max_rows: int, max_blocks: int) -> None:
        self._device, self._num_groups = cache.pool.device, cache.num_groups
        # Token, place among those in flight, position, adapter, and the slots of all groups.
        self._numbers = torch.zeros((4 + self._num_groups) * max_rows, dtype=torch.int64, device=self._device)
        self._drawn = torch.zeros(max_rows, dtype=torch.int64, device=self._device)
        self._table = torch.zeros(max_rows, self._num_groups, max_blocks, dtype=torch.int32, device=self._device)
        self._host_table = torch.zeros(max_rows, self._num_groups, max_blocks, dtype=torch.int32)
        self._blocks: list[Blocks] = [()] * max_rows
        self._sequences: list[int] = []

    def in_order(self, work: Sequence[Work]) -> list[Work]:
        """Return a step's rows, each where it was in the step before if that is one of them."""
        by_sequence = {one.sequence: one for one in work}
        rows = [by_sequence.pop(sequence, None) for sequence in self._sequences[: len(work)]]
        others = iter(by_sequence.values())
        ordered = [next(others) if one is None else one for one in rows]
        ordered.extend(others)
        self._sequences = [one.sequence for one in ordered]
        return ordered

    def fill(self, work: Sequence[Work], num_rows: int, width: int, in_flight: InFlight | None = None) -> None:
        """Write a step's rows, and rows that do nothing behind them up to `num_rows`."""
        numbers = torch.full((4 + self._num_groups, num_rows), -1, dtype=torch.int64)
        if work:
            self._write_table(work, width)
            num_real, positions = len(work), torch.tensor([one.start for one in work])
            pages = self._host_table[torch.arange(num_real), :, positions // PAGE_SIZE].T
            numbers[:4, :num_real] = torch.tensor(
                [
                    [one.token_ids[0] for one in work],
                    self._places(work, in_flight),
                    positions.tolist(),
                    [one.adapter for one in work],
                ]
            )
            numbers[4:, :num_real] = pages * PAGE_SIZE + positions % PAGE_SIZE
        self.numbers(num_rows).copy_(on_device(numbers, self._device))

    def numbers(self, num_rows: int) -> torch.Tensor:
        """Return int64 [4 + num_groups, num_rows]: token, place in flight, position, adapter, and slots."""
        return self._numbers[: (4 + self._num_groups) * num_rows].view(-1, num_rows)

    def token_ids(self, num_rows: int) -> torch.Tensor:
        """Return int64 [num_rows], those in flight included; a row that does nothing has token 0."""
        tokens, places = self.numbers(num_rows)[:2]
        return torch.where(places >= 0, self._drawn[places.clamp(min=0)], tokens.clamp(min=0))

    def table(self, num_rows: int, width: int) -> torch.Tensor:
        """Return int32 [num_groups, num_rows, width]."""
        return self._table[:num_rows, :, :width].transpose(0, 1)

    def _places(self, work: Sequence[Work], in_flight: InFlight | None) -> list[int]:
        """Return where each row's token is among those in flight, -1 for one that is known."""
        if in_flight is None:
            return [-1] * len(work)
        self._drawn[: len(in_flight.tokens)] = in_flight.tokens
        places = {sequence: place for place, sequence in enumerate(in_flight.sequences)}
        return [places[one.sequence] if one.token_ids[0] == DRAWN else -1 for one in work]

    def _write_table(self, work: Sequence[Work], width: int) -> None:
        changed = [row for row, one in enumerate(work) if one.blocks != self._blocks[row]]
        for row in changed:
            old, self._blocks[row] = self._blocks[row], work[row].blocks
            new = work[row].blocks
            # Nearly always the sequence is the same and has a block more.
            kept = len(old) if new[: len(old)] == old else 0
            self._host_table[row, :, kept : len(new)] = torch.tensor(new[kept:], dtype=torch.int32).T
        if changed:
            rows = torch.tensor(changed)
            self._table[on_device(rows, self._device), :, :width] = on_device(
                self._host_table[rows, :, :width], self._device
            )


@dataclass(frozen=True, slots=True)
class _Graph:
    graph: torch.cuda.CUDAGraph
    states: torch.Tensor


class DecodeGraphs:
    """The graphs of an engine, captured when it is made."""

    def __init__(self, decoder: Decoder, cache: PagedCache, adapters: DeviceAdapters, max_rows: int) -> None:
        self._decoder = decoder
        self._cache = cache
        self._adapters = adapters
        max_blocks = -(-decoder.architecture.context_len // PAGE_SIZE)
        self._buffers = DecodeBuffers(cache, max_rows, max_blocks)
        self._rows, self._widths = row_buckets(max_rows), width_buckets(max_blocks)
        self._graphs: dict[tuple[int, int, FusedSets], _Graph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    @torch.inference_mode()
    def capture(self) -> None:
        """Capture all graphs, the largest first, whose memory the others then use."""
        for width in reversed(self._widths):
            for num_rows in reversed(self._rows):
                for sets in reversed(VARIETIES):
                    self._graphs[num_rows, width, sets] = self._captured(num_rows, width, sets)

    def in_order(self, work: Sequence[Work]) -> list[Work]:
        """Return the rows of a step in the order in which they run."""
        return self._buffers.in_order(work)

    def run(self, work: Sequence[Work], in_flight: InFlight | None) -> torch.Tensor:
        """Return the states [num_rows, hidden_size] of a step in which all rows decode, until the next run."""
        num_rows = self._rows[bisect_left(self._rows, len(work))]
        width = self._widths[bisect_left(self._widths, max(len(one.blocks) for one in work))]
        self._buffers.fill(work, num_rows, width, in_flight)
        changed = self._adapters.sets_of(one.adapter for one in work)
        found = self._graphs[num_rows, width, next(sets for sets in VARIETIES if changed <= sets)]
        found.graph.replay()
        return found.states[: len(work)]

    def _captured(self, num_rows: int, width: int, sets: FusedSets) -> _Graph:
        buffers, device = self._buffers, self._cache.pool.device
        # Rows that do nothing; what compiles does so now.
        buffers.fill([], num_rows, width)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            self._forward(num_rows, width, sets)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            states = self._forward(num_rows, width, sets)
        return _Graph(graph, states)

    def _forward(self, num_rows: int, width: int, sets: FusedSets) -> torch.Tensor:
        buffers = self._buffers
        _, _, positions, adapter_ids, *slots = buffers.numbers(num_rows)
        attention = PagedAttention(
            self._cache,
            num_rows,
            write_steps(slots),
            decode_steps(self._cache, buffers.table(num_rows, width), (positions + 1).int()),
            {},
        )
        adapters = self._adapters.decoding(adapter_ids, sets) if sets else None
        return self._decoder.forward(buffers.token_ids(num_rows), positions, attention, adapters)
