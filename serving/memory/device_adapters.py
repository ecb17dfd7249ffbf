"""Adapters on a GPU: their pages in the pool, and the items of a step that take them."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import torch

from ...kernels.cache.page_copy import copy_pages
from ...kernels.lora.adapter_memory import AdapterMemory
from ...kernels.lora.adapter_pages import Weights, pack
from ...kernels.lora.fused_projections import FusedProjections
from ...kernels.lora.lora import sgmv
from ...kernels.lora.lora_batch import decode_items, empty_records, prefill_items
from ...kernels.lora.lora_step import LoraStep
from ...kernels.lora.page_layout import AdapterLayout, PageLayout
from ..models.architecture import Architecture
from ..models.host_adapters import FUSED
from .adapter_store import AdapterLoad
from .adapter_weights import AdapterWeights
from .host_arena import HostArena
from .upload import on_device, recorded

ARENA_BYTES_ON_CPU = 2**20
FusedSets = frozenset[tuple[str, ...]]
"""Fused sets of projections, such as ("q", "k", "v")."""


def adapter_layout(adapter: AdapterWeights, pages: PageLayout, num_layers: int) -> AdapterLayout:
    """Return where an adapter's tiles stand: at its largest rank, in all layers, for any projection that it changes."""
    widths = {name: (pair.down.shape[1], pair.up.shape[0]) for (_, name), pair in adapter.places.items()}
    return AdapterLayout(pages=pages, rank=adapter.max_rank, num_layers=num_layers, widths=widths)


class PackedAdapter:
    """An adapter as its pages hold it, in pages of an arena, or in memory of its own where that is full.

    An adapter has one rank and one scale for the kernels: smaller ranks are filled up with zeros, whose bytes the pool
    counts, and where scales differ they are multiplied into the weights.
    """

    def __init__(self, layout: AdapterLayout, arena: HostArena) -> None:
        self.layout = layout
        self.scale = 1.0
        # Behind the last copy to the device.
        self.is_read: torch.cuda.Event | None = None
        self._arena = arena
        self._ids = arena.allocate(layout.num_pages)
        self._own: torch.Tensor | None = None

    @property
    def num_bytes(self) -> int:
        return self.layout.num_pages * self.layout.pages.page_bytes

    @property
    def pages(self) -> tuple[torch.Tensor, list[int]]:
        """The memory that it lies in, and its pages there."""
        if self._ids is not None:
            return self._arena.pages, self._ids
        assert self._own is not None, "it is filled before it is read"
        return self._own, list(range(self.layout.num_pages))

    def fill(self, weights: AdapterWeights) -> None:
        """Pack an adapter."""
        scales = {pair.scale for pair in weights.places.values()}
        if len(scales) == 1:
            (self.scale,) = scales
        filled = _filled(weights, self.layout, self.layout.pages.dtype, folds_scale=len(scales) > 1)
        # The arena is pinned itself.
        packed = pack(self.layout, filled, is_pinned=self._ids is None)
        if self._ids is None:
            self._own = packed
        else:
            self._arena.pages[self._ids] = packed

    def free(self) -> None:
        """Let go of the memory, behind the last copy from it."""
        if self.is_read is not None:
            self.is_read.synchronize()
        if self._ids is not None:
            self._arena.free(self._ids)
            self._ids = None


class DeviceAdapters:
    """The adapters that have pages, by their slots in the kernels' tables.

    On a GPU their pages are copied on a stream of their own, behind the last step that may touch what those held, and
    the next step computes behind the copy. So it goes on beside the steps that were launched before.
    """

    def __init__(
        self,
        pool: torch.Tensor,
        pages: PageLayout,
        architecture: Architecture,
        *,
        num_slots: int,
        max_rank: int,
        host_bytes: int,
    ) -> None:
        self._pages = pages
        self._num_layers = architecture.num_layers
        largest = AdapterLayout(
            pages=pages, rank=max_rank, num_layers=architecture.num_layers, widths=architecture.widths
        )
        table = torch.zeros(num_slots, largest.num_pages, dtype=torch.int32, device=pool.device)
        self._memory = AdapterMemory(
            pool=pool,
            page_table=table,
            pages=pages,
            max_rank=max_rank,
            num_layers=architecture.num_layers,
            widths=architecture.widths,
        )
        self._records = empty_records(num_slots, pool.device)
        # The fused sets of projections that the adapter of a slot changes.
        self._sets: list[FusedSets] = [frozenset()] * num_slots
        self._fused = {
            names: FusedProjections(names, tuple(architecture.widths[name][1] for name in names)) for names in FUSED
        }
        # Without a GPU nothing is pinned, and memory that nobody uses would only keep the process from forking.
        arena_bytes = host_bytes if pool.is_cuda else min(host_bytes, ARENA_BYTES_ON_CPU)
        self._arena = HostArena(arena_bytes, pages.page_bytes, is_pinned=pool.is_cuda)
        # What the next step loads.
        self._staged: dict[str, PackedAdapter] = {}
        self._stream = torch.cuda.Stream(pool.device) if pool.is_cuda else None  # type: ignore[no-untyped-call]
        # Behind the newest steps, by their numbers.
        self._ends: deque[tuple[int, torch.cuda.Event]] = deque(maxlen=2)

    def warm_up(self) -> None:
        """Compile what loads run."""
        nothing = torch.full((1,), -1, dtype=torch.int32, device=self._memory.pool.device)
        copy_pages(self._memory.pool, nothing, self._arena.pages, nothing)

    def room_for(self, weights: AdapterWeights) -> PackedAdapter:
        """Return room for an adapter in host memory, which is not filled yet."""
        return PackedAdapter(adapter_layout(weights, self._pages, self._num_layers), self._arena)

    def stage(self, digest: str, packed: PackedAdapter) -> None:
        """Take note of an adapter that the next step loads."""
        self._staged[digest] = packed

    def load_all(self, loads: Sequence[AdapterLoad]) -> None:
        """Copy adapters that were staged into their pages, beside what the device does. Others are let go."""
        found = [(load, self._staged[load.digest]) for load in loads]
        self._staged.clear()
        if not found:
            return
        if self._stream is None:
            for load, packed in found:
                self._copy(load, packed)
        else:
            steps = torch.cuda.current_stream(self._stream.device)
            with torch.cuda.stream(self._stream):
                for load, packed in found:
                    for number, end in self._ends:
                        if number <= load.last_use:
                            self._stream.wait_event(end)
                    self._copy(load, packed)
                    packed.is_read = recorded(self._stream)
            steps.wait_stream(self._stream)
        for load, packed in found:
            self._write_tables(load, packed)

    def has_run(self, number: int) -> None:
        """Take note of the end of a step."""
        if self._stream is not None:
            self._ends.append((number, recorded(torch.cuda.current_stream(self._stream.device))))

    def reset(self) -> None:
        """Let go of what was staged."""
        self._staged.clear()

    def sets_of(self, slots: Iterable[int]) -> FusedSets:
        """Return the fused sets of projections that the adapters of some slots change; -1 is the base model."""
        return frozenset[tuple[str, ...]]().union(*(self._sets[slot] for slot in {*slots} if slot >= 0))

    def _copy(self, load: AdapterLoad, packed: PackedAdapter) -> None:
        memory, ids = packed.pages
        pool = self._memory.pool
        targets, sources = (
            on_device(torch.tensor(pages, dtype=torch.int32), pool.device) for pages in (load.pages, ids)
        )
        copy_pages(pool, targets, memory, sources)

    def _write_tables(self, load: AdapterLoad, packed: PackedAdapter) -> None:
        """Name the pages of an adapter, in the order of the steps: those before may read the slot's old ones."""
        device = self._memory.pool.device
        record = self._memory.record(packed.layout, load.slot, packed.scale, load.pages)
        table = self._memory.page_table
        table[load.slot, : len(load.pages)] = on_device(torch.tensor(load.pages, dtype=torch.int32), device)
        self._records[load.slot] = on_device(torch.tensor(record, dtype=torch.int32), device)
        self._sets[load.slot] = frozenset(names for names in FUSED if not packed.layout.widths.keys().isdisjoint(names))

    def step(
        self, rows: torch.Tensor, chunks: torch.Tensor, starts: torch.Tensor, num_tokens: int, sets: FusedSets
    ) -> "DeviceAdapterStep":
        """Return the adapters of a step, for slots on the device, where a graph sees them change; -1 is the base model.

        rows    [num_rows] of rows that decode
        chunks  [num_chunks] of chunks behind them, which have `num_tokens` at most
        starts  [num_chunks + 1], the first token of each chunk and the end of the last
        sets    all that these adapters change
        """
        steps = []
        if len(rows):
            items = decode_items(self._records, rows)
            steps.append(LoraStep(items=items, memory=self._memory, phase="decode"))
        if num_tokens:
            items = prefill_items(self._records, chunks, starts, num_tokens)
            steps.append(LoraStep(items=items, memory=self._memory, phase="prefill"))
        return DeviceAdapterStep(steps, self._fused, sets)


class DeviceAdapterStep:
    """The adapters of one step; see `Adapters`."""

    def __init__(
        self, steps: Sequence[LoraStep], fused: Mapping[tuple[str, ...], FusedProjections], sets: FusedSets
    ) -> None:
        self._steps = steps
        self._fused = fused
        self._sets = sets

    def add(self, layer: int, names: tuple[str, ...], output: torch.Tensor, x: torch.Tensor) -> None:
        """Add what the rows' adapters make of x to the output."""
        if names not in self._sets:
            return
        for step in self._steps:
            sgmv(step, output, x, layer=layer, projections=self._fused[names])


def _filled(adapter: AdapterWeights, layout: AdapterLayout, dtype: torch.dtype, *, folds_scale: bool) -> Weights:
    """Return A and B of every layer and projection at one rank."""
    weights = {}
    for layer in range(layout.num_layers):
        for name, (wide, out) in layout.widths.items():
            down, up = torch.zeros(layout.rank, wide, dtype=dtype), torch.zeros(out, layout.rank, dtype=dtype)
            pair = adapter.places.get((layer, name))
            if pair is not None:
                down[: pair.rank] = pair.down
                # In fp32, so that it is rounded once.
                up[:, : pair.rank] = pair.up.float() * (pair.scale if folds_scale else 1.0)
            weights[layer, name] = down, up
    return weights
