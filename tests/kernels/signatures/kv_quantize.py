"""How the quantiser and the rotation are compiled: 8 KV heads of 128."""

ROWS = [
    {
        "kernel": "kv_quantize.kv_quantize_kernel",
        "signature": {
            "codes": "*u8",
            "meta": "*i64",
            "error": "*fp32",
            "x": "*bf16",
            "num_rows": "i32",
            "token_stride": "i32:16",
            "head_stride": "i32:16",
        },
        "constants": {"NUM_KV_HEADS": 8, "HALF": 64, "BITS": 4, "ROTATE": True, "BLOCK": 16},
        "options": {"num_warps": 4, "enable_fp_fusion": False},
    },
    {
        "kernel": "hadamard.hadamard_kernel",
        "signature": {"out": "*bf16", "x": "*bf16", "num_rows": "i32", "x_stride": "i32:16", "norm": "fp32"},
        "constants": {"SIZE": 128, "BLOCK": 64},
        "options": {"num_warps": 4, "enable_fp_fusion": False},
    },
]
