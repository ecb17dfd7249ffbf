"""Carries out plans on a GPU: kernels over the pages of the pool."""

from collections.abc import Sequence

import torch

from ...kernels.cache.kv_pages import PAGE_SIZE
from ..kv.paged import PagedCache
from ..memory.adapter_store import AdapterCopy
from ..memory.adapter_weights import AdapterWeights
from ..memory.device_adapters import DeviceAdapters, PackedAdapter
from ..schedule.plan import Opened, Plan, Stored, Work
from .states import InFlight, States, states_of
from .step_buffers import StepBuffers, StepShape
from .step_forward import StepForward
from .step_graphs import StepGraphs


class DeviceRunner:
    """The contents of the pages that the scheduler keeps the books of; on a CPU kernels' references compute."""

    shares_pages = True

    def __init__(
        self,
        cache: PagedCache,
        adapters: DeviceAdapters,
        buffers: StepBuffers,
        forward: StepForward,
        graphs: StepGraphs | None = None,
    ) -> None:
        self._cache = cache
        self._adapters = adapters
        self._buffers = buffers
        self._forward = forward
        self._graphs = graphs
        # The states behind whole prompts.
        self._ends: dict[bytes, torch.Tensor] = {}
        self._swapped: dict[int, torch.Tensor] = {}

    @staticmethod
    def blocks_for(num_tokens: int) -> int:
        """Return how many blocks a sequence of so many tokens takes."""
        return max(1, -(-num_tokens // PAGE_SIZE))

    def reset(self) -> None:
        """Let go of all that is here, after a step that was cut off."""
        self._ends.clear()
        self._swapped.clear()
        self._adapters.reset()
        self._buffers.reset()

    def room_for(self, weights: AdapterWeights) -> PackedAdapter:
        """Return room for an adapter, which is not filled yet."""
        return self._adapters.room_for(weights)

    def stage(self, digest: str, copy: AdapterCopy) -> None:
        """Take note of the copy of an adapter that the next plan loads."""
        assert isinstance(copy, PackedAdapter)
        self._adapters.stage(digest, copy)

    def run(self, plan: Plan, in_flight: InFlight | None = None) -> States:
        """Carry out a plan and return the states behind which tokens are drawn; nothing is waited for."""
        for swap in plan.swapped_out:
            self._swapped[swap.sequence] = self._cache.read(_pages(swap.blocks))
        for sequence in plan.dropped_swaps:
            self._swapped.pop(sequence)
        for key in plan.dropped:
            self._ends.pop(key, None)
        self._adapters.load_all(plan.loaded)
        for swap in plan.swapped_in:
            content = self._swapped.pop(swap.sequence)
            pages = _pages(swap.blocks)[: len(content)]
            self._cache.write(pages, content[: len(pages)])
        for opened in plan.opened:
            self._take_end(opened)
        known = {one.sequence: self._ends[one.known[-1].key] for one in plan.opened if one.has_state}
        states = self._compute(plan.work, known, in_flight)
        blocks = {work.sequence: work.blocks for work in plan.work}
        for stored in plan.stored:
            self._store(stored, blocks[stored.sequence], states)
        self._adapters.has_run(plan.number)
        return states

    def _take_end(self, opened: Opened) -> None:
        """Copy the end of a prompt, the block that is not whole, to where its sequence goes on writing."""
        end = opened.known[-1] if opened.known else None
        if end is not None and 0 < end.end - end.start < PAGE_SIZE:
            self._cache.copy(end.pages, opened.blocks[end.start // PAGE_SIZE])

    def _store(self, stored: Stored, blocks: Sequence[tuple[int, ...]], states: States) -> None:
        """Keep a prompt's end; its whole blocks stay where they are."""
        if stored.has_end:
            end = stored.parts[-1]
            if end.end > end.start:
                self._cache.copy(blocks[end.start // PAGE_SIZE], end.pages)
            self._ends[end.key] = states.behind(stored.sequence)

    def _compute(self, work: Sequence[Work], known: dict[int, torch.Tensor], in_flight: InFlight | None) -> States:
        if not work:
            return states_of((), (), torch.empty(0), known)
        decoding = self._buffers.in_order([one for one in work if one.decodes])
        chunks = [one for one in work if not one.decodes]
        lens = [len(one.token_ids) for one in chunks]
        exact = StepShape(
            rows=len(decoding),
            tokens=sum(lens),
            chunks=len(chunks),
            longest=max(lens, default=0),
            width=max(len(one.blocks) for one in work),
            sets=self._adapters.sets_of(one.adapter for one in work),
        )
        shape = exact if self._graphs is None else self._graphs.shape_of(exact)
        self._buffers.fill(decoding, chunks, shape, in_flight)
        states = self._forward(shape) if self._graphs is None else self._graphs.run(shape)
        return states_of(decoding, chunks, states, known, chunks_at=shape.rows)


def _pages(blocks: Sequence[tuple[int, ...]]) -> list[int]:
    return [page for block in blocks for page in block]
