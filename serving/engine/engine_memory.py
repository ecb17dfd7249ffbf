"""The memory of one engine: the pool, what shares it, and the runner that knows what lies in it."""

from dataclasses import dataclass

import torch

from ...kernels.cache.kv_pages import PAGE_SIZE
from ...kernels.lora.page_layout import BLOCK_ROWS, PageLayout, tile_width_for
from ..kv.page_size import page_size
from ..kv.paged import PagedCache, paged_layer_bytes
from ..memory.adapter_files import read_adapter
from ..memory.adapter_store import AdapterStore
from ..memory.adapter_weights import AdapterWeights, check_fits
from ..memory.device_adapters import DeviceAdapters, adapter_layout
from ..memory.pool import Pool
from ..memory.prefix_cache import PrefixCache
from ..models.decoder import Decoder
from ..schedule.settings import EngineSettings
from ..steps.device_runner import DeviceRunner
from ..steps.host_runner import HostRunner
from ..steps.step_buffers import StepBuffers
from ..steps.step_forward import StepForward
from ..steps.step_graphs import StepGraphs, decode_shapes, mixed_shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMemory:
    """The books of the memory, and the runner with its contents.

    block_pages, block_bytes  of a block of 32 tokens in all layers
    """

    pool: Pool
    adapters: AdapterStore
    prefixes: PrefixCache
    runner: HostRunner | DeviceRunner
    block_pages: int
    block_bytes: int


def engine_memory(decoder: Decoder, settings: EngineSettings, *, is_paged: bool) -> EngineMemory:
    """Return the memory of an engine, empty; `is_paged` says whether its bytes are one pool, as on a GPU."""
    measures, dtype = decoder.architecture, decoder.weights.dtype
    layer_bytes = paged_layer_bytes(measures, dtype) if is_paged else 2 * measures.kv_width * PAGE_SIZE * dtype.itemsize
    tile_width = tile_width_for(*(width for both in measures.widths.values() for width in both))
    size = page_size(measures.num_layers, layer_bytes, BLOCK_ROWS * tile_width * dtype.itemsize)
    pages = PageLayout(page_bytes=size.num_bytes, tile_width=tile_width, dtype=dtype)
    pool = Pool(max(1, settings.memory_bytes // size.num_bytes))

    def num_pages(adapter: AdapterWeights) -> int:
        check_fits(adapter, measures)
        if is_paged and adapter.max_rank > settings.max_rank:
            raise ValueError(
                f"rank, got {adapter.max_rank}, expected at most the engine's max_rank {settings.max_rank}"
            )
        return adapter_layout(adapter, pages, measures.num_layers).num_pages

    runner: HostRunner | DeviceRunner = HostRunner(decoder)
    if is_paged:
        contents = torch.zeros(pool.num_pages, size.num_bytes, dtype=torch.uint8, device=decoder.weights.device)
        loaded = DeviceAdapters(
            contents,
            pages,
            measures,
            num_slots=settings.max_loaded,
            max_rank=settings.max_rank,
            host_bytes=settings.host_bytes,
        )
        runner = device_runner(decoder, PagedCache(measures, contents, size, dtype), loaded, settings)
    embeddings = {"embed_tokens": decoder.weights.embedding, "lm_head": decoder.weights.head.in_files}
    adapters = AdapterStore(
        pool,
        lambda folder: read_adapter(folder, measures, embeddings),
        num_pages,
        runner,
        num_slots=settings.max_loaded,
        host_bytes=settings.host_bytes,
    )
    return EngineMemory(
        pool=pool,
        adapters=adapters,
        prefixes=PrefixCache(pool),
        runner=runner,
        block_pages=size.num_pages(measures.num_layers),
        block_bytes=layer_bytes * measures.num_layers,
    )


def device_runner(
    decoder: Decoder, cache: PagedCache, adapters: DeviceAdapters, settings: EngineSettings
) -> DeviceRunner:
    """Return the runner of an engine with pages, its graphs captured where there is a GPU."""
    # The first chunk of a step may be larger than the budget.
    max_tokens = max(settings.token_budget, settings.chunk_len)
    max_blocks = DeviceRunner.blocks_for(decoder.architecture.context_len)
    buffers = StepBuffers(cache, settings.max_rows, max_tokens, max_blocks)
    forward = StepForward(decoder, cache, adapters, buffers)
    graphs = None
    if decoder.weights.device.type == "cuda" and settings.uses_graphs:
        shapes = (
            *decode_shapes(settings.max_rows, max_blocks),
            *mixed_shapes(settings.max_rows, max_tokens, settings.chunk_len, max_blocks),
        )
        adapters.warm_up()
        graphs = StepGraphs(forward, buffers, shapes)
        states = decoder.weights.embedding.new_empty(settings.max_rows + max_tokens, decoder.architecture.hidden_size)
        graphs.capture(StepForward(decoder.beginning(), cache, adapters, buffers), states)
    return DeviceRunner(cache, adapters, buffers, forward, graphs)
