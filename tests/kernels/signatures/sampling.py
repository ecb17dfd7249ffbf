"""How sampling is compiled."""

FLOATS = (
    "temperatures",
    "top_ps",
    "min_ps",
    "repetition_penalties",
    "presence_penalties",
    "frequency_penalties",
    "probabilities",
)
ROWS = [
    {
        "kernel": "sampling.sample_kernel",
        "signature": {
            **dict.fromkeys(FLOATS, "*fp32"),
            **dict.fromkeys(("out", "positions", "seeds"), "*i64"),
            **dict.fromkeys(("slots", "top_ks", "prompt_tokens", "output_counts", "candidates"), "*i32"),
            "logits": "*bf16",
            "vocab_size": "i32:16",
            "logits_stride": "i32:16",
        },
        "constants": {"BLOCK": 4096, "NUM_CANDIDATES": 4096},
        "options": {"num_warps": 16, "enable_fp_fusion": False},
    }
]
