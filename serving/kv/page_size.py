"""How large a page is: the one decision that lets KV blocks of any format, adapters and rings share a pool.

A KV block is 32 tokens of one sequence in all layers. A page holds the block of some layers, as many as make its size a
multiple of what adapters need (16 tiles) at little or no waste: a page of one layer often fits none (int4 with side
planes on 8 heads of 128: 39,424 bytes, while 16 tiles have 8,192), and one of 16 layers fits exactly. All layers divide
into groups of equal size, so a block is one page a group, and a table of page ids has a row for each group.

Whatever else lies in the pool, such as a prompt in full precision beside codes, takes the same pages and puts as many
layers into one as fit.
"""

from dataclasses import dataclass

# A page of less makes many ids, a page of more wastes the ends of small adapters.
LEAST_BYTES, LARGEST_BYTES = 128 * 1024, 1024 * 1024
TOLERATED_WASTE = 0.01


@dataclass(frozen=True, slots=True)
class PageSize:
    """Bytes of a page, and the layers whose KV block it holds."""

    num_bytes: int
    num_layers: int

    def num_pages(self, num_layers: int) -> int:
        """Return how many pages the block of all layers takes."""
        return -(-num_layers // self.num_layers)

    def waste(self, num_layers: int, layer_bytes: int) -> float:
        """Return which share of a block's pages holds nothing."""
        return 1 - num_layers * layer_bytes / (self.num_pages(num_layers) * self.num_bytes)


def page_size(num_layers: int, layer_bytes: int, unit: int) -> PageSize:
    """Return the size of a page for a model whose block takes `layer_bytes` a layer.

    `unit` is what a page must be a multiple of, 16 tiles of an adapter. Of the divisors of the number of layers, it is
    the least one that wastes at most 1 % and makes a page of 128 KiB. If all that waste so little make less, it is the
    largest of them; if none wastes so little, it is the one that wastes least.
    """
    counts = [count for count in range(1, num_layers + 1) if num_layers % count == 0]
    sizes = [PageSize(-(-count * layer_bytes // unit) * unit, count) for count in counts]
    sizes = [size for size in sizes if size.num_bytes <= LARGEST_BYTES] or sizes[:1]
    fitting = [size for size in sizes if size.waste(num_layers, layer_bytes) <= TOLERATED_WASTE]
    if not fitting:
        return min(sizes, key=lambda size: (size.waste(num_layers, layer_bytes), size.num_bytes))
    return next((size for size in fitting if size.num_bytes >= LEAST_BYTES), fitting[-1])


def page_size_beside(size: PageSize, layer_bytes: int) -> PageSize:
    """Return how blocks of another format use pages of a size; raises ValueError where one layer is too much."""
    if layer_bytes > size.num_bytes:
        raise ValueError(f"page, got {size.num_bytes} bytes, expected {layer_bytes} or more for one layer of a block")
    return PageSize(size.num_bytes, size.num_bytes // layer_bytes)
