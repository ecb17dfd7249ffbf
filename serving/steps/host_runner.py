"""Carries out plans on a CPU: torch's own products over the contiguous cache."""

from collections.abc import Sequence

import torch

from ..kv.contiguous import ContiguousCache, capacity_blocks
from ..kv.contiguous_attention import Chunk, ContiguousAttention
from ..memory.adapter_store import AdapterCopy
from ..memory.adapter_weights import AdapterWeights
from ..memory.host_adapter import HostCopy
from ..models.decoder import Decoder
from ..models.host_adapters import HostAdapter, HostAdapters
from ..schedule.plan import Plan, Stored, Work
from .states import InFlight, States, states_of


class HostRunner:
    """The contents of the memory that the scheduler keeps the books of."""

    shares_pages = False
    blocks_for = staticmethod(capacity_blocks)

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._staged: dict[str, HostAdapter] = {}
        self._adapters: dict[str, HostAdapter] = {}
        self._slots: dict[int, str] = {}
        self._parts: dict[bytes, torch.Tensor] = {}
        # The states behind whole prompts.
        self._ends: dict[bytes, torch.Tensor] = {}
        self._swapped: dict[int, torch.Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Let go of all that is here, after a step that was cut off."""
        self._cache = ContiguousCache(self._decoder.architecture, self._decoder.weights.dtype)
        for kept in (self._swapped, self._staged, self._adapters, self._slots, self._parts, self._ends):
            kept.clear()

    def room_for(self, weights: AdapterWeights) -> HostCopy:
        """Return room for an adapter, which is not filled yet."""
        return HostCopy(weights.num_bytes, self._decoder.architecture, self._decoder.weights.dtype)

    def stage(self, digest: str, copy: AdapterCopy) -> None:
        """Take note of the copy of an adapter that the next plan loads."""
        assert isinstance(copy, HostCopy)
        self._staged[digest] = copy.adapter

    def run(self, plan: Plan, in_flight: InFlight | None = None) -> States:
        """Carry out a plan and return the states behind which tokens are drawn."""
        assert in_flight is None, "on a CPU a step waits for the tokens of the one before"
        self._let_go(plan)
        self._take_in(plan)
        known = {one.sequence: self._ends[one.known[-1].key] for one in plan.opened if one.has_state}
        states = self._compute(plan.work, known)
        for stored in plan.stored:
            self._store(stored, states)
        for sequence, num_tokens in _done_reading(plan):
            self._cache.join(sequence, num_tokens)
        return states

    def _let_go(self, plan: Plan) -> None:
        for sequence in plan.closed:
            self._cache.close(sequence)
        for swap in plan.swapped_out:
            self._swapped[swap.sequence] = self._cache.leave(swap.sequence)
        for sequence in plan.dropped_swaps:
            self._swapped.pop(sequence)
        for digest in plan.unloaded:
            self._adapters.pop(digest, None)
        for key in plan.dropped:
            self._parts.pop(key, None)
            self._ends.pop(key, None)

    def _take_in(self, plan: Plan) -> None:
        for load in plan.loaded:
            self._adapters[load.digest] = self._staged[load.digest]
            self._slots[load.slot] = load.digest
        # Others were given up before they were loaded.
        self._staged.clear()
        for swap in plan.swapped_in:
            self._cache.open(swap.sequence, swap.num_tokens, [self._swapped.pop(swap.sequence)])
        for opened in plan.opened:
            self._cache.open(opened.sequence, opened.num_tokens, [self._parts[part.key] for part in opened.known])

    def _store(self, stored: Stored, states: States) -> None:
        for part in stored.parts:
            self._parts[part.key] = self._cache.part(stored.sequence, part.start, part.end)
        if stored.has_end:
            self._ends[stored.parts[-1].key] = states.behind(stored.sequence)

    def _compute(self, work: Sequence[Work], known: dict[int, torch.Tensor]) -> States:
        if not work:
            return states_of((), (), torch.empty(0), known)
        by_sequence = {one.sequence: one for one in work}
        decoding = [
            by_sequence[sequence] for sequence in self._cache.advance([one.sequence for one in work if one.decodes])
        ]
        chunks = [one for one in work if not one.decodes]
        ordered = [*decoding, *chunks]
        token_ids = torch.tensor([token for one in ordered for token in one.token_ids])
        positions = torch.tensor([one.start + k for one in ordered for k in range(len(one.token_ids))])
        attention = ContiguousAttention(
            self._decoder.architecture,
            self._cache.shelves(),
            [Chunk(self._cache.prompt(one.sequence), one.start, one.start + len(one.token_ids)) for one in chunks],
        )
        states = self._decoder.forward(token_ids, positions, attention, self._adapters_of(ordered))
        return states_of(decoding, chunks, states, known)

    def _adapters_of(self, ordered: Sequence[Work]) -> HostAdapters | None:
        rows: dict[int, list[int]] = {}
        row = 0
        for one in ordered:
            if one.adapter >= 0:
                rows.setdefault(one.adapter, []).extend(range(row, row + len(one.token_ids)))
            row += len(one.token_ids)
        if not rows:
            return None
        return HostAdapters([(self._adapters[self._slots[slot]], taken) for slot, taken in sorted(rows.items())])


def _done_reading(plan: Plan) -> list[tuple[int, int]]:
    """Return the sequences that decode from the next step on, and how many tokens of each are cached."""
    read = [(one.sequence, one.start + len(one.token_ids)) for one in plan.work if one.samples and not one.decodes]
    known = [(one.sequence, one.num_tokens) for one in plan.opened if one.has_state]
    return [*read, *known, *((swap.sequence, swap.num_tokens) for swap in plan.swapped_in)]
