"""How the page copies are compiled: a page of 64 KiB."""

ROWS = [
    {
        "kernel": "page_copy.copy_pages_kernel",
        "signature": {
            "target": "*i64",
            "target_ids": "*i32",
            "source": "*i64",
            "source_ids": "*i32",
            "num_copies": "i32",
        },
        "constants": {"PAGE_WORDS": 8192, "BLOCK": 1024},
        "options": {"num_warps": 4},
    }
]
