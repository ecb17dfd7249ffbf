"""How the batch-invariant product is compiled: all tiles."""


def row(kind: str, tile: tuple[int, int], num_warps: int, num_stages: int) -> dict[str, object]:
    """Return one row."""
    pointers = dict.fromkeys(("out", "x", "weight", "bias"), f"*{kind}")
    return {
        "kernel": "invariant_matmul.invariant_matmul_kernel",
        "signature": {**pointers, "num_rows": "i32", "x_stride": "i32:16", "in_dim": "i32:16", "out_dim": "i32:16"},
        "constants": {
            "BLOCK_ROWS": tile[0],
            "BLOCK_COLUMNS": tile[1],
            "STEP": 64,
            "IS_EVEN": True,
            "HAS_BIAS": True,
        },
        "options": {"num_warps": num_warps, "num_stages": num_stages},
        "note": f"{kind} {tile[0]}x{tile[1]}",
    }


ROWS = [
    row("bf16", (64, 32), 4, 6),
    row("bf16", (64, 64), 4, 6),
    row("bf16", (64, 128), 4, 4),
    row("bf16", (128, 128), 8, 4),
    row("fp32", (64, 32), 4, 2),
]
