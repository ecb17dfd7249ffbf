"""What a server knows of one version of an adapter."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class AdapterState(StrEnum):
    """Whether a version can be served: being checked, the one its name stands for, replaced, or refused."""

    CHECKING = "checking"
    ACTIVE = "active"
    RETIRED = "retired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRecord:
    """A version of an adapter as it is registered.

    digest      SHA-256 of its content in hexadecimal digits, which names its folder in the store; "" before it is known
    folder      where the engine reads it; None where it was refused
    rank        the largest rank of its projections
    num_bytes   of its weights
    error       why it was refused, for people; it names no path of the server
    """

    name: str
    version: int
    digest: str
    rank: int
    num_bytes: int
    state: AdapterState
    created_at: datetime
    folder: Path | None = None
    error: str = ""
