"""Shrink a prompt's cache to its budget at the end of prefill, and flush full ring pages while decoding.

Semantics of the cut, for each KV head of one prompt of n tokens, A^, Q and S as in `eviction`:
    recent: the last `recent` tokens;  heavy: the top `heavy` by A^ of the others (pinned ones count as recent)
    kept = recent, heavy, and the top `hitters` by S of what is left;  slots 0, 1, .. = kept, in order of position
Semantics of the flush: the tokens of a full ring page overwrite as many victims that `eviction` names, in one launch.

Errors are measured over all heads and tokens of the prompt; their ranges scale the friendliness of the prompt's tokens
and, frozen, of every token that is flushed later.

The selection runs once a prompt and layer, on sizes that the host knows, so it stands on torch's stable sort (a kernel
of our own could save nothing that shows); the moves are kernels.
"""

from dataclasses import dataclass

import torch

from .cache_move import cache_errors, cache_move, is_turned
from .cache_slot import friendliness_of
from .eviction import normalised_attention
from .eviction_step import EvictionRule
from .kv_pages import PAGE_SIZE, KVPages, page_slots, read_plane
from .token_moves import TokenMoves


@dataclass(frozen=True, slots=True, kw_only=True)
class CutBudget:
    """How many tokens each head keeps: by attention, by the combined score, and the newest."""

    heavy: int
    hitters: int
    recent: int

    @property
    def total(self) -> int:
        return self.heavy + self.hitters + self.recent


@dataclass(frozen=True, slots=True, kw_only=True)
class CutStep:
    """One prompt that is cut in every layer: from which pages [max_pages] into which, and what stays of it."""

    source_table: torch.Tensor
    target_table: torch.Tensor
    num_tokens: int
    budget: CutBudget
    rule: EvictionRule

    def __post_init__(self) -> None:
        total, num_slots = self.budget.total, self.target_table.shape[0] * PAGE_SIZE
        if not 0 < total <= min(self.num_tokens, num_slots):
            raise ValueError(
                f"budget, got {total}, expected at most {self.num_tokens} tokens and the target's {num_slots} slots"
            )
        if self.source_table.shape[0] * PAGE_SIZE < self.num_tokens:
            raise ValueError(
                f"source_table, got {self.source_table.shape[0]} pages, expected those of {self.num_tokens} tokens"
            )


def cut(step: CutStep, source: KVPages, target: KVPages) -> torch.Tensor:
    """Move what each head of one prompt keeps into the target's first slots; return the error ranges, fp32 [1, 4]."""
    (source_scores, _, _), _ = source.side_planes(), target.side_planes()
    num_tokens, total = step.num_tokens, step.budget.total
    slots = page_slots(step.source_table.long())[:num_tokens]
    everywhere = slots[:, None].expand(-1, source.num_kv_heads)
    errors = cache_errors(source, everywhere, target.format, rotate=is_turned(source, target))
    ranges = torch.stack([errors.amin((1, 2)), errors.amax((1, 2))], 1).reshape(1, 4)
    friendliness = friendliness_of(errors, ranges.expand(num_tokens, 4)).T
    scores = read_plane(source_scores, step.source_table[None])[0, :, :num_tokens]
    kept = kept_tokens(scores, friendliness, step.budget, step.rule).T
    into = page_slots(step.target_table.long())[:total, None].expand_as(kept)
    moves = TokenMoves(source_slots=slots[kept], target_slots=into, error_ranges=ranges, entries_per_range=total)
    cache_move(moves, source, target)
    return ranges


def flush(
    ring: KVPages, ring_table: torch.Tensor, target: KVPages, victims: torch.Tensor, *, error_ranges: torch.Tensor
) -> torch.Tensor:
    """Overwrite the victims [num_rows, num_kv_heads, PAGE_SIZE] with the rows' ring pages (int32 [num_rows]), in order.

    A row whose victims are -1 is left alone: only rows with a full ring are due. Fit for CUDA graphs.
    """
    num_rows, num_kv_heads, count = victims.shape
    if count != PAGE_SIZE or error_ranges.shape != (num_rows, 4):
        raise ValueError(f"victims, got {tuple(victims.shape)}, expected [num_rows, num_kv_heads, {PAGE_SIZE}]")
    slots = page_slots(ring_table[:, None]).reshape(-1, 1).expand(-1, num_kv_heads)
    targets = victims.transpose(1, 2).reshape(-1, num_kv_heads)
    moves = TokenMoves(source_slots=slots, target_slots=targets, error_ranges=error_ranges, entries_per_range=PAGE_SIZE)
    return cache_move(moves, ring, target)


def kept_tokens(
    scores: torch.Tensor, friendliness: torch.Tensor, budget: CutBudget, rule: EvictionRule
) -> torch.Tensor:
    """Return which of n tokens each head keeps, int64 [num_kv_heads, budget.total], in order of position."""
    num_tokens = scores.shape[1]
    positions = torch.arange(num_tokens, device=scores.device).expand_as(scores)
    attention = normalised_attention(scores, num_tokens - positions, torch.ones_like(scores, dtype=torch.bool), rule)
    combined = rule.alpha * attention + (1 - rule.alpha) * friendliness
    # Three tiers, so that one sort orders all: what is always kept, heavy tokens, the rest. Scores are below 2.
    is_fixed = (positions >= num_tokens - budget.recent) | (positions < rule.num_pinned)
    by_attention = torch.argsort(attention.masked_fill(is_fixed, -1.0), dim=1, descending=True, stable=True)
    tier = torch.zeros_like(scores).scatter_(1, by_attention[:, : budget.heavy], 2.0).masked_fill(is_fixed, 4.0)
    order = torch.argsort(combined + tier, dim=1, descending=True, stable=True)
    return order[:, : budget.total].sort(dim=1).values
