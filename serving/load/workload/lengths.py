"""A range of whole numbers, of which each is as likely as another."""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LengthRange:
    """The whole numbers from `low` to `high`, both included: lengths in tokens, or the ids of tokens."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < 2**31:
            raise ValueError(f"got {self.low}:{self.high}, expected LOW:HIGH with 0 ≤ LOW ≤ HIGH")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the range that N or LOW:HIGH says; raises ValueError."""
        found = re.fullmatch(r"(\d{1,10})(?::(\d{1,10}))?", text)
        if not found:
            raise ValueError(f"got {text!r}, expected N or LOW:HIGH, as 512 or 8:511")
        return cls(int(found[1]), int(found[2] or found[1]))

    def draw(self, num: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return so many numbers of the range."""
        return generator.integers(self.low, self.high, size=num, endpoint=True)

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}:{self.high}"
