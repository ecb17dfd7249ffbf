"""How decode attention is compiled: 8 KV heads of 128, groups of 4, each format; splits, rings, scores and ranks."""

import triton.language as tl

from verilora.kernels.attention.attention_decode import LONG_SPLIT, decode_config
from verilora.kernels.attention.decode_step import SPLIT_LEN
from verilora.kernels.attention.score_export import SCORE_SLOTS, SCORE_WARPS

FORMATS = ("full", "fp8", "int8", "int4")
STRIDES = ("keys", "values", "meta", "ring", "ranks", "table")


def attend(
    format: str, targets: tuple[int, ...], *, is_single: bool = False, has_side: bool = False, has_ranks: bool = False
) -> dict[str, object]:
    """Return a row; `has_side` asks for a ring and scores."""
    is_full, has_meta = format == "full", format in ("int8", "int4")
    split_len = LONG_SPLIT if is_single else SPLIT_LEN
    config = decode_config(format, split_len, has_ranks=has_ranks)
    page = "*bf16" if is_full else "*u16"
    optional = {
        "exported": ("*fp16", has_side),
        "exported_max": ("*fp32", has_side),
        "key_meta": ("*i64", has_meta),
        "value_meta": ("*i64", has_meta),
        "ring_keys": ("*bf16", has_side),
        "ring_values": ("*bf16", has_side),
        "ring_table": ("*i32", has_side),
        "ring_lens": ("*i32", has_side),
        "ranks": ("*i32", has_ranks),
        "cos_sin": ("*fp32", has_ranks),
    }
    return {
        "kernel": "attention_decode.attention_decode_kernel",
        "signature": {
            "out": "*bf16" if is_single else "*fp32",
            "lse": "*fp32",
            "q": "*bf16",
            "keys": page,
            "values": page,
            "table": "*i32",
            "lens": "*i32",
            "scale": "fp32",
            "window": "i32",
            "num_tiles": "i32",
            **{f"{name}_stride": "i32:16" for name in STRIDES},
            **{name: kind for name, (kind, is_there) in optional.items() if is_there},
        },
        "constants": {
            **{name: None for name, (_, is_there) in optional.items() if not is_there},
            "NUM_KV_HEADS": 8,
            "GROUP": 4,
            "QUERIES": 8,
            "HALF": 64,
            "FORMAT": FORMATS.index(format),
            "COMPUTE": tl.bfloat16 if is_full else tl.float16,
            "PACKED": True,
            "IS_SINGLE": is_single,
            "HAS_RING": has_side,
            "HAS_RANKS": has_ranks,
            "HAS_SCORES": has_side,
            "SPLIT_LEN": split_len,
            "BLOCK": config.block,
            "STAGES": config.num_stages,
        },
        "options": {"num_warps": config.num_warps},
        "targets": targets,
        "note": f"{format}{' one split, ring, scores' if has_side else ''}{' ranks' if has_ranks else ''}",
    }


INT4 = decode_config("int4", SPLIT_LEN)
COMBINE = {
    "kernel": "split_combine.attention_combine_kernel",
    "signature": {
        "out": "*bf16",
        "lse": "*fp32",
        "part_out": "*fp32",
        "part_lse": "*fp32",
        "lens": "*i32",
        "ring_lens": "*i32",
        "window": "i32",
        "num_splits": "i32",
    },
    "constants": {"NUM_KV_HEADS": 8, "GROUP": 4, "HEAD_DIM": 128, "HAS_RING": True, "SPLIT_LEN": SPLIT_LEN},
    "options": {"num_warps": 4},
    "note": "ring",
}
SCORE = {
    "kernel": "score_export.score_kernel",
    "signature": {
        "exported": "*fp16",
        "exported_max": "*fp32",
        "lse": "*fp32",
        "scores": "*fp32",
        "table": "*i32",
        "lens": "*i32",
        "ring_scores": "*fp32",
        "ring_table": "*i32",
        "ring_lens": "*i32",
        "scores_stride": "i32:16",
        "ring_scores_stride": "i32:16",
        "table_stride": "i32:16",
        "window": "i32",
        "num_tiles": "i32",
    },
    "constants": {
        "NUM_KV_HEADS": 8,
        "GROUP": 4,
        "LANES": 4,
        "TILES": SCORE_SLOTS // INT4.block,
        "IS_PAIRED": True,
        "HAS_RING": True,
        "BLOCK": INT4.block,
    },
    "options": {"num_warps": SCORE_WARPS},
    "note": "int4, ring",
}
ROWS = [
    attend("full", (80, 90)),
    attend("full", (90,), has_ranks=True),
    attend("fp8", (80,)),
    attend("int8", (90,)),
    attend("int4", (80, 90)),
    attend("int4", (90,), is_single=True, has_side=True),
    COMBINE,
    SCORE,
]
