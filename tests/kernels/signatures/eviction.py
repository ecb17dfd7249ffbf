"""How the choice of victims is compiled: 8 KV heads, 2048 and 16384 slots, a ring page of 32 at once."""

ROWS = [
    {
        "kernel": "eviction.eviction_kernel",
        "signature": {
            "victims": "*i32",
            "ranges": "*fp32",
            "scores": "*fp32",
            "friendliness": "*fp16",
            "positions": "*i32",
            "table": "*i32",
            "lens": "*i32",
            "seen": "*i32",
            "heavy": "*i32",
            "recent": "*i32",
            "side_stride": "i32:16",
            "friendliness_stride": "i32:16",
            "table_stride": "i32:16",
            "alpha": "fp32",
            "num_pinned": "i32",
        },
        "constants": {"NUM_KV_HEADS": 8, "HEADS": 8, "COUNT": 32, "COUNT_BLOCK": 32, "IS_LOG": True, "SLOTS": slots},
        "options": {"num_warps": num_warps},
        "targets": targets,
        "spills": spills,
        "note": f"{slots} slots",
    }
    for slots, num_warps, targets, spills in (
        (2048, 8, (80, 90), ""),
        (16384, 16, (90,), "16 warps leave 128 registers a thread; only budgets above 8192 slots come here"),
    )
] + [
    {
        "kernel": "eviction.attention_range_kernel",
        "signature": {
            "ranges": "*fp32",
            "scores": "*fp32",
            "positions": "*i32",
            "table": "*i32",
            "lens": "*i32",
            "seen": "*i32",
            "side_stride": "i32:16",
            "table_stride": "i32:16",
        },
        "constants": {"NUM_KV_HEADS": 8, "IS_LOG": True, "SLOTS": 2048},
        "options": {"num_warps": 8},
    }
]
