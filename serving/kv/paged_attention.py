"""Attention of one step over the paged cache: rows that decode, then the chunks of prompts, in two calls a layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn.functional import pad

from ...kernels.attention.attention_decode import attention_decode
from ...kernels.attention.attention_prefill import attention_prefill
from ...kernels.attention.decode_step import DecodeStep
from ...kernels.attention.prefill_step import PrefillStep
from ...kernels.cache.cache_write import cache_write
from ...kernels.cache.write_step import WriteStep
from .paged import PagedCache


@dataclass(frozen=True, slots=True)
class PagedRow:
    """Tokens `start` .. `end` of a sequence, and the pages of its blocks, one a group of layers."""

    blocks: Sequence[tuple[int, ...]]
    start: int
    end: int


class PagedAttention:
    """Attention of a step whose rows are one token of each of `decoding`, and then the tokens of each of `chunks`."""

    def __init__(self, cache: PagedCache, decoding: Sequence[PagedRow], chunks: Sequence[PagedRow]) -> None:
        self._cache = cache
        self._num_decoding = len(decoding)
        device = cache.pool.device
        rows = [*decoding, *chunks]
        slots = torch.cat([cache.slots(row.blocks, row.start, row.end) for row in rows], 1).to(device)
        self._writes = [WriteStep(slots=slots[group]) for group in range(cache.num_groups)]
        windows = sorted(set(cache.architecture.windows))
        self._decode = self._decode_steps(decoding, windows) if decoding else {}
        self._prefill = self._prefill_steps(chunks, windows) if chunks else {}

    def attend(self, layer: int, query: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        """Return what the rows attend to, [num_rows, num_heads, head_dim]; see `Attention`."""
        cache, measures = self._cache, self._cache.architecture
        layer_cache, step = cache.layers[layer], (cache.group(layer), measures.windows[layer])
        missing = layer_cache.pages.head_dim - measures.head_dim
        if missing:
            query, keys_values = pad(query, (0, missing)), pad(keys_values, (0, missing))
        keys, values = torch.split(keys_values, measures.num_kv_heads, 1)
        cache_write(self._writes[step[0]], keys, values, layer_cache.pages)
        out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
        middle = self._num_decoding
        if self._decode:
            attention_decode(self._decode[step], query[:middle].contiguous(), layer_cache, out=out[:middle])
        if self._prefill:
            attention_prefill(
                self._prefill[step],
                query[middle:],
                keys[middle:],
                values[middle:],
                layer_cache,
                out=out[middle:],
            )
        return out[..., : measures.head_dim]

    def _decode_steps(self, rows: Sequence[PagedRow], windows: Sequence[int]) -> dict[tuple[int, int], DecodeStep]:
        table = self._cache.table([row.blocks for row in rows])
        lens = torch.tensor([row.end for row in rows], dtype=torch.int32).to(table.device)
        return {
            (group, window): DecodeStep(table=table[group], lens=lens, scale=self._scale, window=window)
            for group in range(self._cache.num_groups)
            for window in windows
        }

    def _prefill_steps(self, rows: Sequence[PagedRow], windows: Sequence[int]) -> dict[tuple[int, int], PrefillStep]:
        lens = [row.end - row.start for row in rows]
        table = self._cache.table([row.blocks for row in rows])
        starts = torch.tensor([0, *accumulate(lens)], dtype=torch.int32).to(table.device)
        prefix_lens = torch.tensor([row.start for row in rows], dtype=torch.int32).to(table.device)
        has_prefix = any(row.start for row in rows)
        return {
            (group, window): PrefillStep(
                starts=starts,
                max_len=max(lens),
                scale=self._scale,
                window=window,
                table=table[group] if has_prefix else None,
                prefix_lens=prefix_lens if has_prefix else None,
            )
            for group in range(self._cache.num_groups)
            for window in windows
        }

    @property
    def _scale(self) -> float:
        return float(self._cache.architecture.head_dim**-0.5)
