"""How SGMV is compiled for q|k|v of Llama-3.1-8B (hidden 4096) and for its down projection (14336)."""

from typing import Any

ADAPTERS = {"pool": "*bf16", "page_table": "*i32", "items": "*i32"}
NUMBERS = {"layer": "i32", "projection": "i32", "stride_table": "i32"}
PAGES = {"TILE": 256, "PAGE_TILES": 256, "ROOM": 64}
QKV = {"WIDTH_IN": 4096, "WIDTH_0": 4096, "WIDTH_1": 1024, "WIDTH_2": 1024, "NUM_SLICES": 3}
DOWN = {"WIDTH_IN": 14336, "WIDTH_0": 4096, "WIDTH_1": 0, "WIDTH_2": 0, "NUM_SLICES": 1}
SHRINK = {**ADAPTERS, **NUMBERS, "partial": "*fp32", "x": "*bf16", "stride_x": "i32:16"}
EXPAND = {**ADAPTERS, **NUMBERS, "output": "*bf16", "stride_output": "i32:16"}


def decode(early: bool, columns: dict[str, int], split: int, targets: tuple[int, ...]) -> list[dict[str, Any]]:
    """An early start of expand needs sm_90."""
    width, num_slices = columns["WIDTH_IN"], columns["NUM_SLICES"]
    rest = {**PAGES, "NUM_SPLITS": -(-width // split), "EARLY": early}
    shared = {"targets": targets, "note": f"in {width}"}
    return [
        {
            "kernel": "lora_decode.shrink_decode_kernel",
            "signature": SHRINK,
            "constants": {**rest, "WIDTH": width, "NUM_SLICES": num_slices, "SPLIT": split, "STAGES": 2},
            "options": {"num_warps": 4},
            **shared,
        },
        {
            "kernel": "lora_decode.expand_decode_kernel",
            "signature": {**EXPAND, "partial": "*fp32"},
            "constants": {**rest, **columns, "BLOCK_S": 16, "STAGES": 1},
            "options": {"num_warps": 1},
            **shared,
        },
    ]


def prefill(columns: dict[str, int], targets: tuple[int, ...]) -> list[dict[str, Any]]:
    width, num_slices = columns["WIDTH_IN"], columns["NUM_SLICES"]
    splits = {"NUM_SPLITS": -(-width // 2048), "NUM_SLICES": num_slices, "BLOCK_M": 64}
    shared = {"targets": targets, "note": f"in {width}"}
    return [
        {
            "kernel": "lora_prefill.shrink_prefill_kernel",
            "signature": SHRINK,
            "constants": {**PAGES, **splits, "WIDTH": width, "SPLIT": 2048, "BLOCK_K": 128, "ROWS": 64},
            "options": {"num_warps": 8, "num_stages": 3},
            **shared,
        },
        {
            "kernel": "lora_prefill.sum_splits_kernel",
            "signature": {"partial": "*fp32", "shrunk": "*fp32", "items": "*i32", "projection": "i32"},
            "constants": {**splits, "ROOM": 64},
            **shared,
        },
        {
            "kernel": "lora_prefill.expand_prefill_kernel",
            "signature": {**EXPAND, "shrunk": "*fp32"},
            "constants": {**PAGES, **columns, "BLOCK_M": 64},
            "options": {"num_warps": 8, "num_stages": 1},
            **shared,
        },
    ]


ROWS = [
    *decode(True, QKV, 256, (90,)),
    *decode(True, DOWN, 1024, (90,)),
    *decode(False, QKV, 256, (80,)),
    *prefill(QKV, (80, 90)),
]
