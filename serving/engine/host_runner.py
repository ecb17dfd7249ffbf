"""Carries out plans on a CPU: torch's own products over the contiguous cache."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..kv.contiguous import ContiguousCache, capacity_blocks
from ..kv.contiguous_attention import Chunk, ContiguousAttention
from ..memory.adapter_weights import AdapterWeights
from ..memory.host_adapter import host_adapter
from ..models.decoder import Decoder
from ..models.host_adapters import HostAdapter, HostAdapters
from ..schedule.plan import Opened, Plan, Stored, Work


class States(NamedTuple):
    """What a step computed: the states behind which tokens are drawn, whose they are, and those of scored prompts."""

    drawn: torch.Tensor
    sequences: list[int]
    scored: dict[int, torch.Tensor]


class HostRunner:
    """The contents of the memory that the scheduler keeps the books of."""

    blocks_for = staticmethod(capacity_blocks)

    def __init__(self, decoder: Decoder, weights_of: Callable[[str], AdapterWeights]) -> None:
        self._decoder = decoder
        self._weights_of = weights_of
        self._adapters: dict[str, HostAdapter] = {}
        self._slots: dict[int, str] = {}
        self._parts: dict[bytes, torch.Tensor] = {}
        # The states behind whole prompts.
        self._ends: dict[bytes, torch.Tensor] = {}
        self._swapped: dict[int, tuple[torch.Tensor, int]] = {}
        self.reset()

    def reset(self) -> None:
        """Let go of all that is here, after a step that was cut off."""
        self._cache = ContiguousCache(self._decoder.architecture, self._decoder.weights.dtype)
        self._lens: dict[int, int] = {}
        for kept in (self._swapped, self._adapters, self._slots, self._parts, self._ends):
            kept.clear()

    def run(self, plan: Plan) -> States:
        """Carry out a plan and return the states behind which tokens are drawn."""
        self._let_go(plan)
        self._take_in(plan)
        known = [(opened.sequence, self._ends[opened.known[-1].key]) for opened in plan.opened if opened.has_state]
        computed, scored = self._compute(plan.work)
        for stored in plan.stored:
            self._store(stored, computed[stored.sequence])
        for work in plan.work:
            self._lens[work.sequence] = work.start + len(work.token_ids)
            if work.samples and not work.decodes:
                self._cache.join(work.sequence, self._lens[work.sequence])
        for opened in plan.opened:
            if opened.has_state:
                self._lens[opened.sequence] = opened.num_tokens
                self._cache.join(opened.sequence, opened.num_tokens)
        drawn = [*computed.items(), *known]
        states = torch.stack([state for _, state in drawn]) if drawn else torch.empty(0)
        return States(states, [sequence for sequence, _ in drawn], scored)

    def _let_go(self, plan: Plan) -> None:
        for sequence in plan.closed:
            self._cache.close(sequence)
            self._lens.pop(sequence, None)
        for sequence in plan.swapped_out:
            content = self._cache.leave(sequence)
            assert content is not None, "what is swapped out was there"
            self._swapped[sequence] = (content, self._lens.pop(sequence))
        for sequence in plan.dropped_swaps:
            self._swapped.pop(sequence)
        for digest in plan.unloaded:
            self._adapters.pop(digest, None)
        for key in plan.dropped:
            self._parts.pop(key, None)
            self._ends.pop(key, None)

    def _take_in(self, plan: Plan) -> None:
        architecture, dtype = self._decoder.architecture, self._decoder.weights.dtype
        for load in plan.loaded:
            self._adapters[load.digest] = host_adapter(self._weights_of(load.digest), architecture, dtype)
            self._slots[load.slot] = load.digest
        for sequence in plan.swapped_in:
            content, num_tokens = self._swapped.pop(sequence)
            self._cache.open(sequence, num_tokens, [content])
            self._cache.join(sequence, num_tokens)
            self._lens[sequence] = num_tokens
        for opened in plan.opened:
            self._open(opened)

    def _open(self, opened: Opened) -> None:
        self._cache.open(opened.sequence, opened.num_tokens, [self._parts[part.key] for part in opened.known])

    def _store(self, stored: Stored, state: torch.Tensor) -> None:
        for part in stored.parts:
            self._parts[part.key] = self._cache.part(stored.sequence, part.start, part.end)
        if stored.has_end:
            self._ends[stored.parts[-1].key] = state

    def _compute(self, work: Sequence[Work]) -> tuple[dict[int, torch.Tensor], dict[int, torch.Tensor]]:
        """Return the last state of each sequence that draws, and all states of the chunks."""
        if not work:
            return {}, {}
        by_sequence = {one.sequence: one for one in work}
        decoding = self._cache.advance([one.sequence for one in work if one.decodes])
        chunks = [one for one in work if not one.decodes]
        ordered = [*(by_sequence[sequence] for sequence in decoding), *chunks]
        token_ids = torch.tensor([token for one in ordered for token in one.token_ids])
        positions = torch.tensor([one.start + k for one in ordered for k in range(len(one.token_ids))])
        attention = ContiguousAttention(
            self._decoder.architecture,
            self._cache.shelves(),
            [Chunk(self._cache.prompt(one.sequence), one.start, one.start + len(one.token_ids)) for one in chunks],
        )
        states = self._decoder.forward(token_ids, positions, attention, self._adapters_of(ordered))
        drawn, scored, row = {}, {}, 0
        for one in ordered:
            row += len(one.token_ids)
            if one.samples:
                drawn[one.sequence] = states[row - 1]
            if one.scores:
                scored[one.sequence] = states[row - len(one.token_ids) : row]
        return drawn, scored

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
