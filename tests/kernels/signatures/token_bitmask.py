"""How the mask of tokens is compiled."""

ROWS = [
    {
        "kernel": "token_bitmask.apply_token_bitmask_kernel",
        "signature": {
            "logits": "*fp32",
            "bitmask": "*i32",
            "mask_ids": "*i32",
            "vocab_size": "i32:16",
            "logits_stride": "i32:16",
            "bitmask_stride": "i32",
        },
        "constants": {"BLOCK": 4096},
        "options": {"num_warps": 8},
    }
]
