"""How log-probabilities are compiled: a vocabulary of 151936."""

ROWS = [
    {
        "kernel": "logprobs.logprobs_kernel",
        "signature": {
            "chosen": "*fp32",
            "top": "*fp32",
            "top_ids": "*i64",
            "logits": "*bf16",
            "tokens": "*i64",
            "vocab_size": "i32:16",
            "logits_stride": "i32:16",
            "num_top": "i32",
        },
        "constants": {"NUM_BLOCKS": 64, "BLOCK": 4096},
        "options": {"num_warps": 8},
    }
]
