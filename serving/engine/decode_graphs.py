"""CUDA graphs of steps that decode: all launches of a step as one, over buffers that stay where they are.

There is a graph for each bucket of rows and of the table's width, with adapters and without. A step takes the smallest
that holds it and fills it up with rows that do nothing, so its launches are those of what it has to do: a context of
131,072 tokens costs a sequence of 500 nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...kernels.cache.kv_pages import PAGE_SIZE
from ..kv.paged import PagedCache
from ..kv.paged_attention import PagedAttention, decode_steps, write_steps
from ..memory.device_adapters import DeviceAdapters
from ..models.decoder import Decoder
from ..schedule.plan import Blocks, Work

# The narrowest table, in blocks; each further one is four times as wide.
LEAST_WIDTH, WIDER = 64, 4


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
    """What a graph reads: one row a sequence, on the device, and the same in pinned memory of the host."""

    def __init__(self, cache: PagedCache, max_rows: int, max_blocks: int) -> None:
        device = cache.pool.device

        def pair(*shape: int, dtype: torch.dtype = torch.int64) -> tuple[torch.Tensor, torch.Tensor]:
            pin = device.type == "cuda"
            return torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, pin_memory=pin)

        # Token, position and adapter of each row.
        self.numbers, self._numbers = pair(3, max_rows)
        self.lens, self._lens = pair(max_rows, dtype=torch.int32)
        self.slots, self._slots = pair(cache.num_groups, max_rows)
        self.table, self._table = pair(cache.num_groups, max_rows, max_blocks, dtype=torch.int32)
        self._blocks: list[Blocks] = [()] * max_rows

    def fill(self, work: Sequence[Work], num_rows: int, width: int) -> None:
        """Write a step's rows, and rows that do nothing behind them up to `num_rows`."""
        num_real = len(work)
        positions = [one.start for one in work]
        self._numbers[0, :num_real] = torch.tensor([one.token_ids[0] for one in work], dtype=torch.int64)
        self._numbers[1, :num_real] = torch.tensor(positions, dtype=torch.int64)
        self._numbers[2, :num_real] = torch.tensor([one.adapter for one in work], dtype=torch.int64)
        self._numbers[0, num_real:num_rows] = 0
        self._numbers[1:, num_real:num_rows] = -1
        self._lens[:num_real] = torch.tensor(positions, dtype=torch.int32) + 1
        self._lens[num_real:num_rows] = 0
        for row, one in enumerate(work):
            if one.blocks != self._blocks[row]:
                self._blocks[row] = one.blocks
                self._table[:, row, : len(one.blocks)] = torch.tensor(one.blocks, dtype=torch.int32).T
        own = self._numbers[1, :num_real]
        pages = self._table[:, torch.arange(num_real), own // PAGE_SIZE]
        self._slots[:, :num_real] = pages * PAGE_SIZE + own % PAGE_SIZE
        self._slots[:, num_real:num_rows] = -1
        for device, host in (
            (self.numbers[:, :num_rows], self._numbers[:, :num_rows]),
            (self.lens[:num_rows], self._lens[:num_rows]),
            (self.slots[:, :num_rows], self._slots[:, :num_rows]),
            (self.table[:, :num_rows, :width], self._table[:, :num_rows, :width]),
        ):
            device.copy_(host, non_blocking=True)


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
        self._graphs: dict[tuple[int, int, bool], _Graph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    @torch.inference_mode()
    def capture(self) -> None:
        """Capture all graphs, the largest first, whose memory the others then use."""
        for width in reversed(self._widths):
            for num_rows in reversed(self._rows):
                for has_adapters in (True, False):
                    self._graphs[num_rows, width, has_adapters] = self._captured(num_rows, width, has_adapters)

    def run(self, work: Sequence[Work]) -> torch.Tensor:
        """Return the states [num_rows, hidden_size] of a step in which all rows decode, until the next run."""
        num_rows = self._rows[bisect_left(self._rows, len(work))]
        width = self._widths[bisect_left(self._widths, max(len(one.blocks) for one in work))]
        self._buffers.fill(work, num_rows, width)
        found = self._graphs[num_rows, width, any(one.adapter >= 0 for one in work)]
        found.graph.replay()
        return found.states[: len(work)]

    def _captured(self, num_rows: int, width: int, has_adapters: bool) -> _Graph:
        buffers, device = self._buffers, self._cache.pool.device
        # Rows that do nothing; what compiles does so now.
        buffers.fill([], num_rows, width)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            self._forward(num_rows, width, has_adapters)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            states = self._forward(num_rows, width, has_adapters)
        return _Graph(graph, states)

    def _forward(self, num_rows: int, width: int, has_adapters: bool) -> torch.Tensor:
        buffers = self._buffers
        token_ids, positions, adapter_ids = buffers.numbers[:, :num_rows]
        attention = PagedAttention(
            self._cache,
            num_rows,
            write_steps(buffers.slots[:, :num_rows]),
            decode_steps(self._cache, buffers.table[:, :num_rows, :width], buffers.lens[:num_rows]),
            {},
        )
        adapters = self._adapters.decoding(adapter_ids) if has_adapters else None
        return self._decoder.forward(token_ids, positions, attention, adapters)
