"""How cache writes are compiled: 8 KV heads of 128, with side planes."""

FORMATS = ("full", "fp8", "int8", "int4")
STRIDES = ("keys_token", "keys_head", "values_token", "values_head", "page_keys", "page_values", "meta")


def write(format: str, targets: tuple[int, ...]) -> dict[str, object]:
    has_meta, page = format in ("int8", "int4"), "*bf16" if format == "full" else "*u8"
    return {
        "kernel": "cache_write.cache_write_kernel",
        "signature": {
            "keys": "*bf16",
            "values": "*bf16",
            "slots": "*i64",
            "positions": "*i32",
            "error_ranges": "*fp32",
            "errors": "*fp32",
            "page_keys": page,
            "page_values": page,
            **({"key_meta": "*i64", "value_meta": "*i64"} if has_meta else {}),
            "scores": "*fp32",
            "friendliness": "*fp16",
            "page_positions": "*i32",
            "num_tokens": "i32",
            **{f"{name}_stride": "i32:16" for name in STRIDES},
            "slots_token_stride": "i32",
            "slots_head_stride": "i32",
            "scores_stride": "i32:16",
            "friendliness_stride": "i32:16",
        },
        "constants": {
            **({} if has_meta else {"key_meta": None, "value_meta": None}),
            "NUM_KV_HEADS": 8,
            "HEADS": 16 if has_meta else 8,
            "HALF": 64,
            "FORMAT": FORMATS.index(format),
            "BITS": 8 if format == "int8" else 4,
            "ROTATE": has_meta,
            "HAS_SIDE": True,
            "HAS_RANGES": True,
        },
        "options": {"num_warps": 4, "enable_fp_fusion": False},
        "targets": targets,
        "note": format,
    }


ROWS = [write("full", (90,)), write("fp8", (80,)), write("int4", (80, 90))]
