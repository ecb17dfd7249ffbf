"""What pages of the engine's pool waste, by model and KV format: `python benchmarks/page_waste.py`."""

import torch

from verilora.kernels.cache.kv_pages import FORMATS, kv_page_bytes
from verilora.kernels.lora.page_layout import BLOCK_ROWS, AdapterLayout, PageLayout, tile_width_for
from verilora.serving.kv.page_size import page_size, page_size_beside

# KV heads, head_dim, layers, hidden, heads, intermediate
MODELS = {
    "Llama-3.1-8B": (8, 128, 32, 4096, 32, 14336),
    "Qwen2.5-7B": (4, 128, 28, 3584, 28, 18944),
    "SmolLM2-135M": (3, 64, 30, 576, 9, 1536),
    "Qwen2.5-0.5B": (2, 64, 24, 896, 14, 4864),
}


def main() -> None:
    print(f"{'model':14}{'type':6}{'format':10}{'page':>9}{'layers':>7}{'block':>7}{'rank 8':>8}{'full beside':>13}")
    for name, shape in MODELS.items():
        for dtype, short in ((torch.bfloat16, "bf16"), (torch.float32, "fp32")):
            for format in FORMATS:
                for has_side in (False, True):
                    print(f"{name:14}{short:6}{format + ('+side' if has_side else ''):10}", end="")
                    print(row(shape, dtype, format, has_side=has_side))


def row(shape: tuple[int, ...], dtype: torch.dtype, format: str, *, has_side: bool) -> str:
    kv_heads, head_dim, layers, hidden, heads, wide = shape
    query, keys = heads * head_dim, kv_heads * head_dim
    widths = {"q": (hidden, query), "k": (hidden, keys), "v": (hidden, keys), "o": (query, hidden)}
    widths |= {"gate": (hidden, wide), "up": (hidden, wide), "down": (wide, hidden)}
    tile = tile_width_for(*(width for both in widths.values() for width in both))
    own, full = (
        kv_page_bytes(one, kv_heads, head_dim, dtype, has_side_planes=has_side)  # type: ignore[arg-type]
        for one in (format, "full")
    )
    size = page_size(layers, own, BLOCK_ROWS * tile * dtype.itemsize)
    pages = PageLayout(page_bytes=size.num_bytes, tile_width=tile, dtype=dtype)
    adapter = AdapterLayout(pages=pages, rank=8, num_layers=layers, widths=widths)
    waste = 1 - adapter.weight_bytes / (adapter.num_pages * size.num_bytes)
    try:
        beside = f"{page_size_beside(size, full).waste(layers, full):.1%}"
    except ValueError:
        beside = "too large"
    return f"{size.num_bytes:9,}{size.num_layers:7}{size.waste(layers, own):7.1%}{waste:8.1%}{beside:>13}"


if __name__ == "__main__":
    main()
