"""How moves are compiled: 8 KV heads of 128 into int4 with rotation and side planes, and the measuring of errors."""

SOURCE = {"source_keys": "*bf16", "source_values": "*bf16", "source_slots": "*i64", "errors": "*fp32"}
TARGET = {
    "target_slots": "*i32",
    "error_ranges": "*fp32",
    "source_scores": "*fp32",
    "source_positions": "*i32",
    "target_keys": "*u8",
    "target_values": "*u8",
    "key_meta": "*i64",
    "value_meta": "*i64",
    "target_scores": "*fp32",
    "target_friendliness": "*fp16",
    "target_positions": "*i32",
}
STRIDES = {
    **{f"{name}_stride": "i32" for name in ("source_entry", "source_head", "target_entry", "target_head")},
    **{f"{name}_stride": "i32:16" for name in ("source", "source_side", "target_keys", "target_values", "meta")},
    **{f"{name}_stride": "i32:16" for name in ("target_side", "friendliness")},
}
ROWS = [
    {
        "kernel": "cache_move.cache_move_kernel",
        "signature": {
            **SOURCE,
            **(TARGET if has_target else {}),
            **STRIDES,
            "num_entries": "i32",
            "entries_per_range": "i32",
        },
        "constants": {
            **({} if has_target else dict.fromkeys(TARGET)),
            "NUM_KV_HEADS": 8,
            "HEADS": 16,
            "HALF": 64,
            "FORMAT": 3,
            "BITS": 4,
            "ROTATE": True,
            "HAS_TARGET": has_target,
            "HAS_SIDE": has_target,
        },
        "options": {"num_warps": 4, "enable_fp_fusion": False},
        "targets": targets,
        "note": "into int4" if has_target else "errors only",
    }
    for has_target, targets in ((True, (80, 90)), (False, (90,)))
]
