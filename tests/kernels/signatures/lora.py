"""How SGMV is compiled for q|k|v of Llama-3.1-8B (hidden 4096) and for its down projection (14336)."""

from typing import Any

DECODE_SPLIT, PREFILL_SPLIT = 512, 2048
POINTERS = {"partial": "*fp32", "pool": "*bf16", "page_table": "*i32", "items": "*i32"}
NUMBERS = {"layer": "i32", "projection": "i32", "stride_table": "i32"}
PAGES = {"TILE": 256, "PAGE_TILES": 256, "MAX_RANK": 64}
QKV = {"WIDTH_0": 4096, "WIDTH_1": 1024, "WIDTH_2": 1024}
DOWN = {"WIDTH_0": 4096, "WIDTH_1": 0, "WIDTH_2": 0}


def shrink(phase: str, width: int, num_slices: int, **more: Any) -> dict[str, Any]:
    split = DECODE_SPLIT if phase == "decode" else PREFILL_SPLIT
    constants = {"WIDTH": width, "NUM_SLICES": num_slices, "NUM_SPLITS": -(-width // split), "SPLIT": split}
    return {
        "kernel": f"lora.shrink_{phase}_kernel",
        "signature": {**POINTERS, **NUMBERS, "x": "*bf16", "stride_x": "i32:16"},
        "constants": {**PAGES, **constants, **more.pop("constants")},
        "note": f"in {width}",
        **more,
    }


def expand(phase: str, width: int, widths: dict[str, int], num_slices: int, **more: Any) -> dict[str, Any]:
    num_splits = -(-width // (DECODE_SPLIT if phase == "decode" else PREFILL_SPLIT))
    constants = {"WIDTH_IN": width, "NUM_SLICES": num_slices, "NUM_SPLITS": num_splits, **widths}
    return {
        "kernel": f"lora.expand_{phase}_kernel",
        "signature": {**POINTERS, **NUMBERS, "output": "*bf16", "stride_output": "i32:16"},
        "constants": {**PAGES, **constants, **more.pop("constants")},
        "note": f"in {width}",
        **more,
    }


def decode(early: bool, targets: tuple[int, ...]) -> list[dict[str, Any]]:
    """An early start of expand needs sm_90."""
    constants = {"BLOCK_R": 16, "EARLY": early}
    warps, one_warp = {"num_warps": 4}, {"num_warps": 1}
    return [
        shrink("decode", 4096, 3, constants=constants, options=warps, targets=targets),
        shrink("decode", 14336, 1, constants=constants, options=warps, targets=targets),
        expand("decode", 4096, QKV, 3, constants={**constants, "BLOCK_S": 8}, options=one_warp, targets=targets),
        expand("decode", 14336, DOWN, 1, constants={**constants, "BLOCK_S": 32}, options=one_warp, targets=targets),
    ]


BLOCKS = {"BLOCK_M": 64, "BLOCK_R": 16}
SHRINK_OPTIONS, EXPAND_OPTIONS = {"num_warps": 4, "num_stages": 3}, {"num_warps": 8, "num_stages": 1}
ROWS = [
    *decode(True, (90,)),
    *decode(False, (80,)),
    shrink("prefill", 4096, 3, constants={**BLOCKS, "BLOCK_K": 128}, options=SHRINK_OPTIONS),
    expand("prefill", 4096, QKV, 3, constants=BLOCKS, options=EXPAND_OPTIONS),
    expand("prefill", 14336, DOWN, 1, constants=BLOCKS, options=EXPAND_OPTIONS, targets=(90,)),
]
