"""Adapters on a GPU: their pages in the pool, and the items of a step that take them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
from .upload import on_device


def adapter_layout(adapter: AdapterWeights, pages: PageLayout, num_layers: int) -> AdapterLayout:
    """Return where an adapter's tiles stand: at its largest rank, in all layers, for any projection that it changes."""
    widths = {name: (pair.down.shape[1], pair.up.shape[0]) for (_, name), pair in adapter.places.items()}
    return AdapterLayout(pages=pages, rank=adapter.max_rank, num_layers=num_layers, widths=widths)


class _Packed(NamedTuple):
    """An adapter as its pages hold it, in host memory."""

    layout: AdapterLayout
    scale: float
    pages: torch.Tensor


class DeviceAdapters:
    """The adapters that have pages, by their slots in the kernels' tables.

    An adapter has one rank and one scale for the kernels: smaller ranks are filled up with zeros, whose bytes the pool
    counts, and where scales differ they are multiplied into the weights.
    """

    def __init__(
        self, pool: torch.Tensor, pages: PageLayout, architecture: Architecture, *, num_slots: int, max_rank: int
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
        # What the next step loads.
        self._packed: dict[str, _Packed] = {}
        self._fused = {
            names: FusedProjections(names, tuple(architecture.widths[name][1] for name in names)) for names in FUSED
        }

    def prepare(self, adapter: AdapterWeights) -> None:
        """Pack an adapter that the next step may load."""
        layout = adapter_layout(adapter, self._pages, self._num_layers)
        scales = {pair.scale for pair in adapter.places.values()}
        scale = scales.pop() if len(scales) == 1 else 1.0
        pages = pack(layout, _filled(adapter, layout, self._pages.dtype, folds_scale=bool(scales)))
        self._packed[adapter.digest] = _Packed(layout, scale, pages)

    def load_all(self, loads: Sequence[AdapterLoad]) -> None:
        """Copy adapters that were prepared into their pages. Others that were are let go."""
        for load in loads:
            self._load(load, self._packed[load.digest])
        self._packed.clear()

    def reset(self) -> None:
        """Let go of what was prepared."""
        self._packed.clear()

    def _load(self, load: AdapterLoad, packed: _Packed) -> None:
        pool, table = self._memory.pool, self._memory.page_table
        ids = torch.tensor(load.pages, dtype=torch.int32).to(pool.device)
        copy_pages(pool, ids, packed.pages, torch.arange(len(ids), dtype=torch.int32, device=pool.device))
        table[load.slot, : len(ids)] = ids
        record = self._memory.record(packed.layout, load.slot, packed.scale, load.pages)
        self._records[load.slot] = torch.tensor(record, dtype=torch.int32, device=pool.device)
        if pool.is_cuda:
            # The pinned pages are read by the copy, and let go behind it.
            torch.cuda.current_stream().synchronize()

    def decoding(self, adapter_ids: torch.Tensor) -> "DeviceAdapterStep":
        """Return the adapters of rows that decode, for their slots on the device; a graph sees what changes there."""
        items = decode_items(self._records, adapter_ids)
        return DeviceAdapterStep([LoraStep(items=items, memory=self._memory, phase="decode")], self._fused)

    def step(self, decoding: Sequence[int], chunks: Sequence[tuple[int, int]]) -> "DeviceAdapterStep | None":
        """Return the adapters of a step: the slot of each row that decodes, slot and length of each chunk behind them.

        A slot of -1 is the base model; None where there is no other.
        """
        if max((*decoding, *(slot for slot, _ in chunks)), default=-1) < 0:
            return None
        device = self._records.device
        steps = []
        if decoding:
            ids = on_device(torch.tensor(decoding), device)
            steps.append(LoraStep(items=decode_items(self._records, ids), memory=self._memory, phase="decode"))
        if chunks:
            ends = torch.tensor([0, *(length for _, length in chunks)]).cumsum(0) + len(decoding)
            ids = on_device(torch.tensor([slot for slot, _ in chunks]), device)
            num_rows = int(ends[-1]) - len(decoding)
            items = prefill_items(self._records, ids, on_device(ends, device), num_rows)
            steps.append(LoraStep(items=items, memory=self._memory, phase="prefill"))
        return DeviceAdapterStep(steps, self._fused)


class DeviceAdapterStep:
    """The adapters of one step; see `Adapters`."""

    def __init__(self, steps: Sequence[LoraStep], fused: Mapping[tuple[str, ...], FusedProjections]) -> None:
        self._steps = steps
        self._fused = fused

    def add(self, layer: int, names: tuple[str, ...], output: torch.Tensor, x: torch.Tensor) -> None:
        """Add what the rows' adapters make of x to the output."""
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
