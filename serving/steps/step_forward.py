"""The forward pass of a step over what its buffers hold, in a shape that may be larger than what is in them."""

import torch

from ..kv.paged import PagedCache
from ..kv.paged_attention import PagedAttention, decode_steps, prefill_steps, write_steps
from ..memory.device_adapters import DeviceAdapters
from ..models.decoder import Decoder
from .step_buffers import NUM_NAMED, StepBuffers, StepShape


class StepForward:
    """The decoder over paged memory."""

    def __init__(self, decoder: Decoder, cache: PagedCache, adapters: DeviceAdapters, buffers: StepBuffers) -> None:
        self._decoder = decoder
        self._cache = cache
        self._adapters = adapters
        self._buffers = buffers

    def __call__(self, shape: StepShape) -> torch.Tensor:
        """Return the states [rows + tokens, hidden_size]; all that it is told lies in the buffers."""
        buffers, cache = self._buffers, self._cache
        numbers = buffers.numbers(shape)
        positions, adapter_ids, slots = numbers[2], numbers[3], numbers[NUM_NAMED:]
        chunk_adapters, prefix_lens, starts = buffers.chunks(shape)
        lens = (positions[: shape.rows] + 1).int()
        attention = PagedAttention(
            cache,
            shape.rows,
            write_steps(slots),
            decode_steps(cache, buffers.table(shape), lens) if shape.rows else {},
            prefill_steps(cache, buffers.chunk_table(shape), prefix_lens, starts, shape.longest)
            if shape.tokens
            else {},
        )
        adapters = None
        if shape.sets:
            adapters = self._adapters.step(
                adapter_ids[: shape.rows], chunk_adapters, starts + shape.rows, shape.tokens, shape.sets
            )
        return self._decoder.forward(buffers.token_ids(shape), positions, attention, adapters)
