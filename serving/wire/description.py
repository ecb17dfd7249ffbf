"""What the engine's process is told when it starts: one line of JSON on its standard input."""

from pathlib import Path

import msgspec


class EngineDescription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model runs how, and where the engine is spoken to.

    model               a folder, a GGUF file or a hub id; None for the embedded model
    memory_utilization  the share of a GPU's memory that weights and pool take; a CPU's pool has memory_bytes
    max_rows            sequences that run at a time
    max_model_len       tokens of a prompt with its answer, where those are fewer than the model's own context has
    max_loaded          adapters that are on the device at a time, each of at most `max_rank`
    """

    folder: str
    number: int = 0
    model: str | None = None
    device: str = "cpu"
    memory_bytes: int = 2**30
    memory_utilization: float = 0.9
    max_rows: int = 128
    max_model_len: int | None = None
    max_loaded: int = 1024
    max_rank: int = 64

    @property
    def endpoint(self) -> str:
        """Where the engine takes and sends messages."""
        return f"ipc://{Path(self.folder) / f'engine-{self.number}'}"

    @property
    def tokens_path(self) -> str:
        """Where the engine writes what grammars are compiled for."""
        return str(Path(self.folder) / "tokens.json")

    @property
    def beat_endpoint(self) -> str:
        """Where it says that it is alive."""
        return f"ipc://{Path(self.folder) / f'beat-{self.number}'}"
