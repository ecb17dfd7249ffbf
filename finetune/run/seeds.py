"""Seeds: every part of a run draws from a stream of its own."""

import hashlib


def derived_seed(seed: int, *names: object) -> int:
    """Return a seed of 48 bits for one part of a run."""
    digest = hashlib.sha256(":".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:6], "big")
