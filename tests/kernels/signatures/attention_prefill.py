"""How prefill attention and its scores are compiled: 8 KV heads of 128, groups of 4, without and with prefixes."""

import triton.language as tl

from verilora.kernels.attention.attention_prefill import prefill_config
from verilora.kernels.attention.attention_scores import SCORES_CONFIG

FORMATS = ("full", "fp8", "int8", "int4")
PREFIX = ("page_keys", "page_values", "key_meta", "value_meta", "table", "prefix_lens", "ranks", "cos_sin")


def attend(
    format: str, targets: tuple[int, ...], *, has_prefix: bool = True, has_ranks: bool = False, spills: str = ""
) -> dict[str, object]:
    is_full, has_meta = format == "full", format in ("int8", "int4")
    page = "*bf16" if is_full else "*u16"
    config = prefill_config(has_prefix=has_prefix)
    prefix = {"page_keys": page, "page_values": page, "table": "*i32", "prefix_lens": "*i32"}
    meta = {"key_meta": "*i64", "value_meta": "*i64"} if has_meta else {}
    ranks = {"ranks": "*i32", "cos_sin": "*fp32"} if has_ranks else {}
    signature = {**(prefix if has_prefix else {}), **meta, **ranks}
    return {
        "kernel": "attention_prefill.attention_prefill_kernel",
        "signature": {
            "out": "*bf16",
            "lse": "*fp32",
            **dict.fromkeys(("q", "q_prefix", "keys", "values"), "*bf16"),
            "starts": "*i32",
            **signature,
            **{
                f"{name}_stride": "i32:16" for name in ("q", "q_head", "q_prefix", "q_prefix_head", "keys", "keys_head")
            },
            **{
                f"{name}_stride": "i32:16"
                for name in ("values", "values_head", "page_keys", "page_values", "meta", "ranks")
            },
            "table_stride": "i32:16",
            "scale": "fp32",
            "window": "i32",
            "num_heads": "i32:16",
        },
        "constants": {
            **{name: None for name in PREFIX if name not in signature},
            "GROUP": 4,
            "HALF": 64,
            "HAS_PREFIX": has_prefix,
            "HAS_RANKS": has_ranks,
            "FORMAT": FORMATS.index(format),
            "COMPUTE": tl.bfloat16 if is_full else tl.float16,
            "PACKED": True,
            "HAS_WINDOW": False,
            "ROWS": config.rows,
            "BLOCK": config.block,
            "STAGES": config.num_stages,
        },
        "options": {"num_warps": config.num_warps},
        "targets": targets,
        "spills": spills,
        "note": f"{format}{' ranks' if has_ranks else ''}" if has_prefix else "no prefix",
    }


def add_scores(format: str, targets: tuple[int, ...]) -> dict[str, object]:
    is_full = format == "full"
    return {
        "kernel": "attention_scores.attention_scores_kernel",
        "signature": {
            "scores": "*fp32",
            "q": "*bf16",
            "lse": "*fp32",
            "starts": "*i32",
            "page_keys": "*bf16" if is_full else "*u8",
            **({} if is_full else {"key_meta": "*i64"}),
            "table": "*i32",
            "context_lens": "*i32",
            **{f"{name}_stride": "i32:16" for name in ("q", "q_head", "page_keys", "meta", "scores", "table")},
            "scale": "fp32",
            "window": "i32",
            "last": "i32",
            "num_tokens": "i32",
        },
        "constants": {
            **({"key_meta": None} if is_full else {}),
            "GROUP": 4,
            "HALF": 64,
            "FORMAT": FORMATS.index(format),
            "COMPUTE": tl.bfloat16 if is_full else tl.float16,
            "HAS_WINDOW": False,
            "KEYS": SCORES_CONFIG.keys,
            "BLOCK": SCORES_CONFIG.block,
            "STAGES": SCORES_CONFIG.num_stages,
        },
        "options": {"num_warps": SCORES_CONFIG.num_warps},
        "targets": targets,
        "note": format,
    }


ROWS = [
    attend("full", (80, 90), has_prefix=False),
    attend("full", (90,)),
    attend("full", (90,), has_ranks=True),
    attend("int8", (90,)),
    attend("int4", (90,)),
    attend("int4", (80,), spills="on sm_80 eleven registers, stored and loaded outside of the loops"),
    add_scores("full", (80, 90)),
    add_scores("int4", (90,)),
]
