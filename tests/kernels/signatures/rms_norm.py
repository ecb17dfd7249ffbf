"""How the norms are compiled: a row of hidden size 4096 with its residual, and heads of 128."""

SIGNATURE = {
    "out": "*bf16",
    "x": "*bf16",
    "weight": "*bf16",
    "residual": "*bf16",
    "num_rows": "i32",
    "num_heads": "i32",
    "out_token_stride": "i32:16",
    "out_head_stride": "i32:16",
    "x_token_stride": "i32:16",
    "x_head_stride": "i32:16",
    "residual_token_stride": "i32:16",
    "residual_head_stride": "i32:16",
    "eps": "fp32",
}
ROWS = [
    {
        "kernel": "rms_norm.rms_norm_kernel",
        "signature": SIGNATURE,
        "constants": {"DIM": 4096, "BLOCK_DIM": 4096, "BLOCK_ROWS": 1, "HAS_RESIDUAL": True},
        "options": {"num_warps": 8, "enable_fp_fusion": False},
        "note": "residual",
    },
    {
        "kernel": "rms_norm.rms_norm_kernel",
        "signature": SIGNATURE,
        "constants": {"DIM": 14336, "BLOCK_DIM": 16384, "BLOCK_ROWS": 1, "HAS_RESIDUAL": True},
        "options": {"num_warps": 16, "enable_fp_fusion": False},
        "targets": (90,),
        "note": "widest",
    },
    {
        "kernel": "rms_norm.rms_norm_kernel",
        "signature": SIGNATURE,
        "constants": {"DIM": 128, "BLOCK_DIM": 128, "BLOCK_ROWS": 16, "HAS_RESIDUAL": False},
        "options": {"num_warps": 4, "enable_fp_fusion": False},
        "note": "heads",
    },
]
