"""The memory of one engine: the pool, and the adapters and prefixes that share it with KV blocks."""

from dataclasses import dataclass

from ...kernels.cache.kv_pages import PAGE_SIZE
from ...kernels.lora.page_layout import BLOCK_ROWS, AdapterLayout, PageLayout, tile_width_for
from ..memory.adapter_files import read_adapter
from ..memory.adapter_store import AdapterStore
from ..memory.adapter_weights import AdapterWeights
from ..memory.page_size import PageSize, page_size
from ..memory.pool import Pool
from ..memory.prefix_cache import PrefixCache
from ..models.decoder import Decoder
from ..schedule.settings import EngineSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMemory:
    """What lies where, and how large a page is."""

    size: PageSize
    pages: PageLayout
    pool: Pool
    adapters: AdapterStore
    prefixes: PrefixCache
    # Of a block of 32 tokens in all layers.
    block_pages: int
    block_bytes: int


def engine_memory(decoder: Decoder, settings: EngineSettings) -> EngineMemory:
    """Return the memory of an engine, empty."""
    measures, weights = decoder.architecture, decoder.weights
    layer_bytes = 2 * measures.kv_width * PAGE_SIZE * weights.dtype.itemsize
    tile_width = tile_width_for(*(width for both in measures.widths.values() for width in both))
    size = page_size(measures.num_layers, layer_bytes, BLOCK_ROWS * tile_width * weights.dtype.itemsize)
    pages = PageLayout(page_bytes=size.num_bytes, tile_width=tile_width, dtype=weights.dtype)
    pool = Pool(max(1, settings.memory_bytes // size.num_bytes))

    def num_pages(adapter: AdapterWeights) -> int:
        return adapter_layout(adapter, pages, measures.num_layers).num_pages

    adapters = AdapterStore(
        pool,
        lambda folder: read_adapter(folder, measures, weights.embedding),
        num_pages,
        num_slots=settings.max_loaded,
        host_bytes=settings.host_bytes,
    )
    return EngineMemory(
        size=size,
        pages=pages,
        pool=pool,
        adapters=adapters,
        prefixes=PrefixCache(pool),
        block_pages=size.num_pages(measures.num_layers),
        block_bytes=layer_bytes * measures.num_layers,
    )


def adapter_layout(adapter: AdapterWeights, pages: PageLayout, num_layers: int) -> AdapterLayout:
    """Return where an adapter's tiles stand: at its largest rank, in all layers, for any projection that it changes."""
    widths = {name: (pair.down.shape[1], pair.up.shape[0]) for (_, name), pair in adapter.places.items()}
    return AdapterLayout(pages=pages, rank=adapter.max_rank, num_layers=num_layers, widths=widths)
