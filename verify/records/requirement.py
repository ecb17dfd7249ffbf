"""What a run is required to reach: `train --require compliance=0.95 --require test:phi5=1`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from ...specs.task import Split


@dataclass(frozen=True, slots=True)
class Requirement:
    """The least that a measure, or the share of answers that keep a rule, must be after training, on a split or all."""

    name: str
    least: float
    split: Split | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise ValueError(f"require: expected a share from 0 to 1, got {self.least} for {self.name}")


def parse_requirements(texts: Sequence[str] | None) -> tuple[Requirement, ...] | None:
    """Return requirements from NAME=SHARE or SPLIT:NAME=SHARE, None for none; raises ValueError."""
    found = []
    for text in texts or ():
        name, _, least = text.partition("=")
        where, colon, rest = name.partition(":")
        try:
            share = float(least)
        except ValueError:
            raise ValueError(f"require: expected NAME=SHARE or SPLIT:NAME=SHARE, got {text!r}") from None
        split: Split | None = next((known for known in get_args(Split) if known == where), None)
        if colon and split is None:
            raise ValueError(f"require: expected one of the splits {', '.join(get_args(Split))}, got {where!r}")
        found.append(Requirement(rest if colon else name, share, split))
    return tuple(found) or None
