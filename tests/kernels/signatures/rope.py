"""How the rotation is compiled: heads of 128, and one key head, whose number becomes a constant."""

SIGNATURE = {
    "query": "*bf16",
    "key": "*bf16",
    "positions": "*i64",
    "table": "*fp32",
    "num_query_heads": "i32",
    "num_key_heads": "i32",
    "query_token_stride": "i32:16",
    "query_head_stride": "i32:16",
    "key_token_stride": "i32:16",
    "key_head_stride": "i32:16",
}
CONSTANTS = {"HALF": 64, "BLOCK_HALF": 64, "BLOCK_HEADS": 8}
ROWS = [
    {
        "kernel": "rope.rope_kernel",
        "signature": SIGNATURE,
        "constants": CONSTANTS,
        "options": {"num_warps": 4, "enable_fp_fusion": False},
        "note": "grouped",
    },
    {
        "kernel": "rope.rope_kernel",
        "signature": {name: kind for name, kind in SIGNATURE.items() if name != "num_key_heads"},
        "constants": {**CONSTANTS, "num_key_heads": 1},
        "options": {"num_warps": 4, "enable_fp_fusion": False},
        "targets": (90,),
        "note": "one key head",
    },
]
