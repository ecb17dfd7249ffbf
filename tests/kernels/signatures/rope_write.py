"""How the fused kernel is compiled: 32 heads and 8 of keys of 128, codes with the Hadamard rotation, narrow heads."""

FORMATS = ("full", "fp8", "int8", "int4")


def write(
    note: str,
    targets: tuple[int, ...],
    *,
    format: str = "full",
    head_dim: int = 128,
    num_kv_heads: int = 8,
    has_norms: bool = True,
) -> dict[str, object]:
    has_meta, page = format in ("int8", "int4"), "*bf16" if format == "full" else "*u8"
    norms = {"query_norm": "*bf16", "key_norm": "*bf16"}
    meta = {"key_meta": "*i64", "value_meta": "*i64"}
    # Triton takes a whole number that is a multiple of 16 for one.
    aligned = "i32:16" if head_dim % 16 == 0 else "i32"
    return {
        "kernel": "rope_write.rope_write_kernel",
        "signature": {
            "query": "*bf16",
            "new_keys": "*bf16",
            "qkv": "*bf16",
            **(norms if has_norms else {}),
            "positions": "*i64",
            "table": "*fp32",
            "slots": "*i64",
            "page_keys": page,
            "page_values": page,
            **(meta if has_meta else {}),
            "token_stride": "i32:16",
            "head_stride": aligned,
            "slots_token_stride": "i32",
            "slots_head_stride": "i32",
            "page_keys_stride": "i32:16",
            "page_values_stride": "i32:16",
            "meta_stride": "i32:16",
            "eps": "fp32",
        },
        "constants": {
            **({} if has_norms else dict.fromkeys(norms)),
            **({} if has_meta else dict.fromkeys(meta)),
            "NUM_HEADS": 32,
            "NUM_KV_HEADS": num_kv_heads,
            "DIM": head_dim,
            "HALF": head_dim // 2,
            "PAGE_HALF": 128 if head_dim > 128 else 64,
            "FORMAT": FORMATS.index(format),
            "BITS": 8 if format == "int8" else 4,
            "ROTATE": has_meta,
            "HAS_NORMS": has_norms,
            "HEADS": 16 if has_meta else 4 if head_dim > 128 else 8,
        },
        "options": {"num_warps": 4, "enable_fp_fusion": False},
        "targets": targets,
        "note": note,
    }


ROWS = [
    write("norms", (80, 90)),
    write("plain", (90,), has_norms=False),
    write("heads of 100", (90,), head_dim=100),
    write("heads of 256, one of keys", (90,), head_dim=256, num_kv_heads=1),
    write("fp8", (80,), format="fp8"),
    write("int4", (80, 90), format="int4"),
]
