"""Attention of one step over the paged cache: rows that decode, then the chunks of prompts, in two calls a layer."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch.nn.functional import pad

from ...kernels.attention.attention_decode import attention_decode
from ...kernels.attention.attention_prefill import attention_prefill
from ...kernels.attention.decode_step import DecodeStep
from ...kernels.attention.prefill_step import PrefillStep
from ...kernels.cache.write_step import WriteStep
from ...kernels.layers.rope_write import rope_write
from ...kernels.layers.rotation import HeadNorms, Rotation
from .paged import PagedCache


class PagedAttention:
    """Attention of a step whose rows are one token of each sequence that decodes, and then the tokens of chunks.

    writes   where the tokens go, for each group of layers
    decode   the step of the rows that decode, by group and window; empty without such rows
    prefill  the same of the chunks
    """

    def __init__(
        self,
        cache: PagedCache,
        num_decoding: int,
        writes: Sequence[WriteStep],
        decode: Mapping[tuple[int, int], DecodeStep],
        prefill: Mapping[tuple[int, int], PrefillStep],
    ) -> None:
        self._cache = cache
        self._num_decoding = num_decoding
        self._writes = writes
        self._decode = decode
        self._prefill = prefill

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation, norms: HeadNorms | None) -> torch.Tensor:
        """Return what the rows attend to, [num_rows, num_heads, head_dim]; see `Attention`."""
        cache, measures = self._cache, self._cache.architecture
        layer_cache, step = cache.layers[layer], (cache.group(layer), measures.windows[layer])
        query, keys = rope_write(self._writes[step[0]], rotation, qkv, layer_cache.pages, norms=norms)
        out = torch.empty_like(query)
        middle = self._num_decoding
        if self._decode:
            attention_decode(self._decode[step], query[:middle], layer_cache, out=out[:middle])
        if self._prefill:
            values = qkv[middle:, -measures.num_kv_heads :]
            missing = layer_cache.pages.head_dim - measures.head_dim
            attention_prefill(
                self._prefill[step],
                query[middle:],
                keys[middle:],
                pad(values, (0, missing)) if missing else values,
                layer_cache,
                out=out[middle:],
            )
        return out[..., : measures.head_dim]


def write_steps(slots: Iterable[torch.Tensor]) -> list[WriteStep]:
    """Return where tokens go in each group of layers, for its slots int64 [num_tokens]."""
    return [WriteStep(slots=own) for own in slots]


def decode_steps(cache: PagedCache, table: torch.Tensor, lens: torch.Tensor) -> dict[tuple[int, int], DecodeStep]:
    """Return the steps of rows that decode by group and window; int32 [num_groups, num_rows, width], [num_rows]."""
    return {
        (group, window): DecodeStep(table=table[group], lens=lens, scale=_scale(cache), window=window)
        for group in range(cache.num_groups)
        for window in set(cache.architecture.windows)
    }


def prefill_steps(
    cache: PagedCache, table: torch.Tensor, prefix_lens: torch.Tensor, starts: torch.Tensor, longest: int
) -> dict[tuple[int, int], PrefillStep]:
    """Return the steps of chunks by group and window; int32 [num_groups, num_chunks, width], [num_chunks], [.. + 1].

    Also where no chunk has a prefix: so a row's bits do not depend on whether another has one.
    """
    return {
        (group, window): PrefillStep(
            starts=starts,
            max_len=longest,
            scale=_scale(cache),
            window=window,
            table=table[group],
            prefix_lens=prefix_lens,
        )
        for group in range(cache.num_groups)
        for window in set(cache.architecture.windows)
    }


def _scale(cache: PagedCache) -> float:
    return float(cache.architecture.head_dim**-0.5)
