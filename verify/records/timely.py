"""The timely gate: in which share of recorded waits a task's event began within its limit. Measured, never proved."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ...specs.files.record import Record
from .by_prompt import interval_by_group

LEAST = 0.8
"""The share that reaches the gate, at every line."""
_TENTHS = 10


class TimelyStatus(StrEnum):
    """Outcome of the timely gate. Without recordings it asks for nothing."""

    NOT_REACHED = "not_reached"
    NO_RECORDINGS = "no_recordings"
    REACHED = "reached"

    @property
    def is_kept(self) -> bool:
        return self is not TimelyStatus.NOT_REACHED


class TimelyWitness(Record):
    """A window in which the event did not begin: the seed of its recording, and the second of it that it begins at."""

    seed: int
    second: int


class TimelyLine(Record):
    """One line to wait at: in how many of its windows the event began. `left_out` were never as the task presumes.

    `low` and `high` are the interval of 95 % whose unit is the recording, None where recordings are too few.
    """

    line: int
    reached: int = Field(ge=0)
    windows: int = Field(ge=0)
    left_out: int = Field(ge=0)
    low: float | None
    high: float | None
    witness: TimelyWitness | None = None

    @classmethod
    def counted(
        cls, line: int, outcomes: Sequence[Sequence[bool]], left_out: int, witness: TimelyWitness | None
    ) -> Self:
        """Return what was counted of a line, recording by recording."""
        counts, sizes = list(map(sum, outcomes)), list(map(len, outcomes))
        low, high = interval_by_group(counts, sizes) or (None, None)
        return cls(
            line=line, reached=sum(counts), windows=sum(sizes), left_out=left_out, low=low, high=high, witness=witness
        )

    @property
    def share(self) -> float:
        """The share of its windows in which the event began; 0 of none."""
        return self.reached / self.windows if self.windows else 0.0


class TimelyVerdict(Record):
    """The timely gate of a task: `event` begins within `limit` seconds of a wait, in windows that meet the `premise`.

    `recordings` names the set that was replayed. `reference` is the share of windows in which a second comes at which
    the event breaks no safety rule: a controller that waits for just that reaches it. The line with the least share
    decides.
    """

    event: str
    limit: int
    premise: str
    recordings: str
    status: TimelyStatus
    lines: tuple[TimelyLine, ...]
    reference: float | None

    @property
    def slowest(self) -> TimelyLine | None:
        """The line with the least share, the first of equals."""
        return min(self.lines, key=lambda line: line.share, default=None)

    @property
    def share(self) -> float | None:
        """The share at the slowest line, None without recordings."""
        return self.slowest.share if self.slowest else None

    @property
    def tenths(self) -> int:
        """The share in whole tenths, as ranking has it: no more than the reference's, and 0 without recordings."""
        most = self.share if self.reference is None else min(self.share or 0.0, self.reference)
        return int((most or 0.0) * _TENTHS + 1e-9)

    @model_serializer(mode="wrap")
    def _with_share(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"share": self.share, **fields(self)}


def status_of(lines: Sequence[TimelyLine]) -> TimelyStatus:
    """Return what the shares at all lines amount to."""
    if not lines or not all(line.windows for line in lines):
        return TimelyStatus.NO_RECORDINGS
    return TimelyStatus.REACHED if all(line.share >= LEAST for line in lines) else TimelyStatus.NOT_REACHED
