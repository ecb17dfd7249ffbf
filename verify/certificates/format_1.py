"""Certificates of format 1, which counted answers as if each stood alone: they stay readable, and count as stale."""

from typing import Self

from pydantic import Field, model_validator

from ...specs.files.yaml_file import Row
from ..records.interval import clopper_pearson
from .content import Content
from .counts import check_interval

FORMAT = 1


class OldCount(Row):
    """How many of how many, with the exact interval of answers; raises ValueError if it does not follow from them."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    low: float
    high: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.count > self.of:
            raise ValueError(f"count: got {self.count}, expected at most {self.of}")
        check_interval(self.low, self.high, clopper_pearson(self.count, self.of))
        return self


class OldRuleCount(OldCount):
    """Answers that keep a rule, and beside them those that do by observation only."""

    observed_only: int = Field(ge=0)


class OldCounts(Row):
    """What the sampled answers were worth."""

    num_samples: int = Field(ge=1)
    invalid: OldCount
    gates: OldCount
    all_kept: OldCount
    rules: dict[str, OldRuleCount]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("invalid", "gates", "all_kept"):
            if getattr(self, name).of != self.num_samples:
                raise ValueError(f"{name}.of: got {getattr(self, name).of}, expected {self.num_samples}, num_samples")
        return self


class OldSettings(Row):
    """What decided verdicts besides rulebook, tasks and worlds. `paths` is what is called `runs` now."""

    world: str
    mode: str
    paths: str
    ending: str
    otherwise: str
    max_steps: int
    time_limit: float


class OldCertificate(Content):
    """A certificate of format 1."""

    settings: OldSettings
    counts: OldCounts
