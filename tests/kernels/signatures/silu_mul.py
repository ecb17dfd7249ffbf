"""How the gate is compiled."""

ROWS = [
    {
        "kernel": "silu_mul.silu_mul_kernel",
        "signature": {"out": "*bf16", "gate_up": "*bf16", "width": "i32:16", "gate_up_stride": "i32:16"},
        "constants": {"BLOCK": 1024},
        "options": {"num_warps": 4},
    }
]
