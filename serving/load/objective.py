"""What a request must keep to count as well served (DistServe, arXiv 2401.09670, section 2)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from .attempt import Attempt

_NAMES = ("ttft", "tpot", "e2e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The most milliseconds to the first token, for a token behind it, and to the last one; None is no limit."""

    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self | None:
        """Return the limits that texts of NAME:MILLISECONDS say, None for none; raises ValueError."""
        limits: dict[str, float] = {}
        for text in (word for given in texts for word in given.split()):
            name, _, number = text.partition(":")
            try:
                limit = float(number)
            except ValueError:
                limit = math.nan
            if name not in _NAMES or name in limits or not 0 < limit < math.inf:
                raise ValueError(f"got {text!r}, expected {', '.join(_NAMES)} once each, as ttft:500 tpot:50")
            limits[name] = limit
        return cls(**limits) if limits else None

    def is_met_by(self, attempt: Attempt) -> bool:
        """Return whether a request succeeded within the limits; a single token has no time a token to exceed one."""
        if not attempt.has_succeeded:
            return False
        pairs = ((self.ttft, attempt.ttft), (self.tpot, attempt.tpot), (self.e2e, attempt.e2e))
        return all(limit is None or took is None or took * 1000 <= limit for limit, took in pairs)
