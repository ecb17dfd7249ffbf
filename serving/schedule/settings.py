"""The engine's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How much an engine holds and does at a time.

    memory_bytes    of the pool: KV blocks, adapters and prefixes
    max_rows        sequences that run at a time
    token_budget    tokens of a step, those of prompts and one of each sequence that decodes
    chunk_len       a long prompt is read in chunks that end at multiples of this, whatever its neighbours are
    preemption      what becomes of the newest sequence when pages run out: its keys and values wait in host memory, or
                    are computed again
    swap_bytes      how much host memory those may take; beyond it they are computed again
    uses_graphs     whether steps that decode are CUDA graphs, where there is a GPU
    overlaps_steps  whether, where memory is pages, a step begins before the tokens of the one before are known
    is_deterministic  whether a sequence's tokens have the same bits whatever its neighbours are on a GPU, too, where
                    products are then slower
    caches_prefixes whether the beginnings of prompts are kept
    max_adapters    from so many adapters in a batch on, requests that take one of them go first; 0 for no such rule
    max_loaded      adapters that may have pages at a time
    max_rank        the highest rank an adapter may have on a GPU, whose kernels have room for it
    host_bytes      host memory for adapters
    weights         of tenants for fair share; 1 for those without
    """

    memory_bytes: int = 2**30
    max_rows: int = 128
    token_budget: int = 2048
    chunk_len: int = 512
    preemption: Literal["swap", "recompute"] = "swap"
    swap_bytes: int = 2**30
    uses_graphs: bool = True
    overlaps_steps: bool = True
    is_deterministic: bool = False
    caches_prefixes: bool = True
    max_adapters: int = 0
    max_loaded: int = 1024
    max_rank: int = 64
    host_bytes: int = 2**32
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "max_rows", "token_budget", "chunk_len", "max_loaded", "max_rank", "host_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}, got {getattr(self, name)}, expected at least 1")
        if self.token_budget < self.max_rows:
            raise ValueError(
                f"token_budget, got {self.token_budget}, expected at least max_rows {self.max_rows}: one for each row"
            )
        if self.preemption not in ("swap", "recompute"):
            raise ValueError(f"preemption, got {self.preemption!r}, expected 'swap' or 'recompute'")
        if self.swap_bytes < 0 or self.max_adapters < 0:
            raise ValueError(
                f"swap_bytes and max_adapters, got {self.swap_bytes} and {self.max_adapters}, expected 0 or more"
            )
