"""What a server is told about adapters when it starts."""

from dataclasses import dataclass
from pathlib import Path

from ..models.projections import Projections


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """Where adapters come from, where they are kept, and what is accepted.

    base_name, base_digest, projections  of the base model that they are for
    state        the server's folder: the store of adapters, and the database unless `database` names another
    roots        folders that adapters may be registered from
    resolver     a folder whose sub-folders are adapters that are registered when they are first asked for
    max_rank, max_bytes  of one adapter
    seconds      within which one must be taken in
    """

    base_name: str
    base_digest: str
    projections: Projections
    state: Path
    database: str | None = None
    roots: tuple[Path, ...] = ()
    resolver: Path | None = None
    max_rank: int = 256
    max_bytes: int = 2**32
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("max_rank", "max_bytes", "seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}, got {getattr(self, name)}, expected more than 0")

    @property
    def store(self) -> Path:
        """The folder of the adapters' folders."""
        return self.state / "adapters"
